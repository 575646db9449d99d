"""ONNX files as artifacts: one file, every tensor inside of it."""

import ast
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, starmap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np

from paretodet.config import CandidateConfig
from paretodet.detectors.detector import Detector
from paretodet.export.graph import GRAPH, GRAPHS, exported_graph
from paretodet.export.int8 import quantized_detector
from paretodet.export.layers import Layer, Shown
from paretodet.export.onnx_int8 import OnnxInt8
from paretodet.export.open_size import SizeRange
from paretodet.export.quantizer import Quantizer
from paretodet.export.target import Suppression, Target, Written, check_references
from paretodet.export.unselected import MEANINGS
from paretodet.onnx_references import DOMAINS, references

ROOT = "detector."  # of the modules in the scopes of a node


class OnnxTarget(Target):
    """A file of opset 20, batch norms folded."""

    name: ClassVar[str] = "onnx"
    runtime: ClassVar[str] = "onnxruntime"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "int8")
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxscript", "onnxruntime")
    extras: ClassVar[str] = "onnx,onnxruntime"
    quantizer: ClassVar[Quantizer | None] = OnnxInt8()
    shows_layers: ClassVar[bool] = True
    takes_any_number: ClassVar[bool] = True
    takes_any_size: ClassVar[bool] = True

    def write(self, detector: Detector, folder: Path, config: CandidateConfig, batch: int | None) -> Written:
        entry = exported_graph(detector, batch=batch, form=GRAPHS[self.suppression])
        path = entry.folder / GRAPHS[self.suppression]
        if images := self.calibration(config):
            made = quantized_detector(
                OnnxInt8(),
                images,
                exported=entry,
                fit=detector.spec.fit,
                batch=batch or 1,
                unselected=detector.spec if self.suppression == "out" else None,
            )
            path = made.folder / OnnxInt8.artifact
        shutil.copyfile(path, folder / GRAPH)
        return Written(artifact=GRAPH)

    def write_any_size(
        self, detector: Detector, folder: Path, config: CandidateConfig, batch: int | None, sizes: SizeRange
    ) -> Written:
        shutil.copyfile(exported_graph(detector, batch=batch, sizes=sizes).folder / GRAPH, folder / GRAPH)
        return Written(artifact=GRAPH)

    def inspect(self, folder: Path, files: Sequence[str], artifact: str) -> None:
        check_references(folder, artifact, files=files, references=_references)

    def layers(
        self,
        path: Path,
        layers: Sequence[Layer],
        *,
        calls: Sequence[Layer],
        open_program: Callable[[Path], Any],
        feed: dict[str, np.ndarray],
    ) -> Iterator[Shown]:
        with TemporaryDirectory() as folder:
            probe = Path(folder) / path.name
            shown = _with_outputs(path, set(layers), probe)
            outputs = open_program(probe)(feed)[-len(shown) :] if shown else ()
            yield from starmap(Shown, zip(shown, outputs, strict=True))


class UnselectedOnnxTarget(OnnxTarget):
    """The same of a one-stage detector without its suppression.

    Its input is `pixels` [B, 3, H, W], its outputs are `boxes` [B, N, 4] and `scores` [B, N, K].
    """

    suppression: ClassVar[Suppression] = "out"
    takes_any_size: ClassVar[bool] = False
    meanings: ClassVar[Mapping[str, str]] = MEANINGS


def _references(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    found = references(path)
    return found.files, found.domains - DOMAINS


def _with_outputs(path: Path, layers: set[Layer], probe: Path) -> list[Layer]:
    """Writes a copy of an ONNX file whose last outputs are those of some layers, and returns these in order."""
    import onnx

    model = onnx.load(path)
    shown = [(layer, tensor) for layer, tensor in _calls(model.graph.node) if layer in layers]
    for _, tensor in shown:
        model.graph.output.append(onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
    onnx.save(model, probe)
    return [layer for layer, _ in shown]


def _calls(nodes: Sequence[Any]) -> Iterator[tuple[Layer, str]]:
    """Every call of a module, and the tensor that it returns: the output of its last node."""
    times = dict[str, int]()
    for module, group in groupby(filter(_module, nodes), _module):
        times[module] = times.get(module, -1) + 1
        *_, last = group
        yield (module, times[module]), last.output[0]


def _module(node: Any) -> str:
    """The path of the innermost module of a node: of ["", "detector", "detector.stem.conv", "conv2d"], stem.conv."""
    from paretodet.export.onnx import SCOPES

    scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "[]")
    names = ast.literal_eval(scopes)
    return str(names[-2]).removeprefix(ROOT) if len(names) > 1 else ""
