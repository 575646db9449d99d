"""Models of OpenVINO as artifacts: an .xml file with the graph, and a .bin with its weights."""

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from itertools import starmap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np

from paretodet.config import CandidateConfig
from paretodet.detectors.detector import Detector
from paretodet.errors import InputError
from paretodet.export import openvino_model
from paretodet.export.graph import GRAPH, GRAPHS, exported_graph
from paretodet.export.int8 import quantized_detector
from paretodet.export.layers import Layer, Shown
from paretodet.export.open_size import SizeRange
from paretodet.export.openvino_int8 import OpenVinoInt8
from paretodet.export.quantizer import Quantizer
from paretodet.export.target import Suppression, Target, Written
from paretodet.export.unselected import MEANINGS

MODEL, WEIGHTS = "detector.xml", "detector.bin"
OUTPUT = re.compile(r"(.+)/(?:conv2d|conv_transpose2d|linear)(?:_([0-9]+))?")  # of a layer: its module and its rank


class OpenVinoTarget(Target):
    """The types of the graph are those that execute, because the runtime sets OpenVINO to leave float32 as it is."""

    name: ClassVar[str] = "openvino"
    runtime: ClassVar[str] = "openvino"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16", "int8")
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxscript", "openvino")
    extras: ClassVar[str] = "onnx,openvino"
    quantizer: ClassVar[Quantizer | None] = OpenVinoInt8()
    shows_layers: ClassVar[bool] = True
    takes_any_number: ClassVar[bool] = True
    takes_any_size: ClassVar[bool] = True

    def write(self, detector: Detector, folder: Path, config: CandidateConfig, batch: int | None) -> Written:
        entry = exported_graph(detector, batch=batch, form=GRAPHS[self.suppression])
        if images := self.calibration(config):
            made = quantized_detector(
                OpenVinoInt8(),
                images,
                exported=entry,
                fit=detector.spec.fit,
                batch=batch or 1,
                unselected=detector.spec if self.suppression == "out" else None,
            )
            written = made.folder / OpenVinoInt8.artifact
            shutil.copyfile(written, folder / MODEL)
            shutil.copyfile(written.with_suffix(".bin"), folder / WEIGHTS)
        else:
            _convert(entry.folder / GRAPHS[self.suppression], folder / MODEL, config.precision)
        return Written(artifact=MODEL, others=(WEIGHTS,))

    def write_any_size(
        self, detector: Detector, folder: Path, config: CandidateConfig, batch: int | None, sizes: SizeRange
    ) -> Written:
        _convert(exported_graph(detector, batch=batch, sizes=sizes).folder / GRAPH, folder / MODEL, config.precision)
        return Written(artifact=MODEL, others=(WEIGHTS,))

    def inspect(self, folder: Path, files: Sequence[str], artifact: str) -> None:
        """OpenVINO decides by the ending what a file is, and finds the weights of an .xml by its name."""
        path = Path(artifact)
        if path.suffix != ".xml" or path.with_suffix(".bin").as_posix() not in files:
            message = f"{folder / artifact}: it is not an .xml file with a .bin file of the bundle beside it"
            raise InputError(message, "bundle-unsafe")

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
            probe, model = Path(folder) / path.name, openvino_model.read(path)
            shown = _with_results(model, set(layers))
            openvino_model.save(model, probe)
            outputs = open_program(probe)(feed)[-len(shown) :] if shown else ()
            yield from starmap(Shown, zip(shown, outputs, strict=True))


class UnselectedOpenVinoTarget(OpenVinoTarget):
    """The same of a one-stage detector without its suppression; its tensors are those of `UnselectedOnnxTarget`."""

    suppression: ClassVar[Suppression] = "out"
    takes_any_size: ClassVar[bool] = False
    meanings: ClassVar[Mapping[str, str]] = MEANINGS


def _convert(graph: Path, path: Path, precision: str | None) -> None:
    model = openvino_model.read(graph)
    if precision == "bf16":
        openvino_model.in_bf16(model)
    openvino_model.save(model, path)


def _with_results(model: Any, layers: Set[Layer]) -> list[Layer]:
    """Adds the outputs of some layers to the results of an openvino.Model, in float32, and returns these in order."""
    ports = ((port, name) for node in model.get_ops() for port in node.outputs() for name in port.get_names())
    found = [(match[1], int(match[2] or 0), port) for port, name in ports if (match := OUTPUT.fullmatch(name))]
    times, shown = Counter[str](), list[Layer]()
    for module, _, port in sorted(found, key=lambda each: each[:2]):
        layer = module, times[module]
        times[module] += 1
        if layer in layers:
            openvino_model.add_result(model, port, f"layer {len(shown)}")
            shown.append(layer)
    return shown
