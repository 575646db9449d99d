"""Networks of ncnn as artifacts, for phones and boards: everything up to the scores of all boxes."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from paretodet import schema
from paretodet.config import CandidateConfig
from paretodet.detectors.detector import Detector
from paretodet.errors import InputError, words
from paretodet.export.apart import OF_NETWORK
from paretodet.export.graph import TORCHSCRIPT
from paretodet.export.layers import Activation, Layer, Shown, no_activation
from paretodet.export.ncnn import BIN, LAYERS, PARAM, NcnnLayer, converted, read_layers
from paretodet.export.target import Suppression, Target, Written
from paretodet.export.torchscript import SHAPES, WHOLE
from paretodet.export.unselected import MEANINGS, PIXELS, check_one_stage

TENSORS = 3  # an input and two outputs
ACTIVATION, LIMITS = 9, 10  # keys of a layer's numbers
NONE, RELU, LEAKY, CLIP = range(4)  # activations
ARTIFACT, WEIGHTS = f"{WHOLE}.{PARAM}", f"{WHOLE}.{BIN}"


class NcnnTarget(Target):
    """Two files, batch norms folded, of a one-stage detector without its suppression, and the shapes of its tensors.

    Its input `in0` is `pixels` [3, H, W] in float32, its outputs `out0` and `out1` are `boxes` [N, 4] and `scores`
    [N, K]: ncnn has no batches.
    """

    name: ClassVar[str] = "ncnn"
    runtime: ClassVar[str] = "ncnn"
    suppression: ClassVar[Suppression] = "out"
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    libraries: ClassVar[tuple[str, ...]] = ("ncnn", "pnnx")
    extras: ClassVar[str] = "ncnn"
    shows_layers: ClassVar[bool] = True
    meanings: ClassVar[Mapping[str, str]] = {
        "pixels": "RGB, 0 to 255 in float32, as `fit` brings an image to the canvas; ncnn calls it in0",
        "boxes": f"{MEANINGS['boxes']}; ncnn calls them out0",
        "scores": f"{MEANINGS['scores']}; ncnn calls them out1",
    }

    def check(self, config: CandidateConfig) -> None:
        super().check(config)
        if config.batch != 1:
            message = f"batch: got {config.batch}, --to ncnn writes artifacts for one image a call"
            raise InputError(message, "option-value")

    def write(self, detector: Detector, folder: Path, config: CandidateConfig, batch: int | None) -> Written:
        check_one_stage(detector.spec, "ncnn")
        try:
            entry = converted(detector, TORCHSCRIPT)
        except InputError as error:
            if error.id not in (*OF_NETWORK, "operator-missing"):
                raise
            message = f"to: ncnn cannot take {detector.spec.name} whole ({words(error)}); give --to litert or onnx"
            raise InputError(message, "export-failed") from error
        for name in (ARTIFACT, WEIGHTS, SHAPES):
            shutil.copyfile(entry.folder / name, folder / name)
        return Written(artifact=ARTIFACT, others=(WEIGHTS, SHAPES))

    def inspect(self, folder: Path, files: Sequence[str], artifact: str) -> None:
        """A text of layers refers to no file; the runtime finds the two others by their names."""
        if artifact != ARTIFACT or not {WEIGHTS, SHAPES} <= set(files):
            message = f"{folder / artifact}: it is not a {ARTIFACT} with {WEIGHTS} and {SHAPES} beside it"
            raise InputError(message, "bundle-unsafe")
        read_layers(folder / artifact)
        shapes = schema.read(folder / SHAPES, dict[str, tuple[tuple[schema.Pixels, ...], ...]])
        if {name: len(each) for name, each in shapes.items()} != {WHOLE: TENSORS}:
            message = f"{folder / SHAPES}: it does not state the shapes of {TENSORS} tensors; export the bundle again"
            raise InputError(message, "bundle-altered")

    def layers(
        self,
        path: Path,
        layers: Sequence[Layer],
        *,
        calls: Sequence[Layer],
        open_program: Callable[[Path], Any],
        feed: dict[str, np.ndarray],
    ) -> Iterator[Shown]:
        """Files have no names of modules: layers are known by their order, if there are as many."""
        found = [each for each in read_layers(path) if each.type in LAYERS]
        if len(found) != len(calls):
            return
        shown = {layer: each for layer, each in zip(calls, found, strict=True) if layer in set(layers)}
        (pixels,) = feed[PIXELS].astype(np.float32)
        outputs = open_program(path).program.extract(pixels, [each.output for each in shown.values()])
        for (layer, made), values in zip(shown.items(), outputs, strict=True):
            if activation := _fused(made):
                yield Shown(layer, values[None], activation)


def _fused(layer: NcnnLayer) -> Activation | None:
    """The activation of a layer; None if it is another one than those of our detectors."""
    (kind,), limits = layer.numbers.get(ACTIVATION, (NONE,)), layer.numbers.get(LIMITS, ())
    if kind == LEAKY:
        return partial(_leaky, slope=limits[0])
    if kind in (RELU, CLIP):
        low, high = limits if kind == CLIP else (0, None)
        return partial(np.clip, a_min=low, a_max=high)
    return no_activation if kind == NONE else None


def _leaky(values: np.ndarray, slope: float) -> np.ndarray:
    return np.where(values > 0, values, slope * values)
