"""Models of OpenVINO in int8, quantized by NNCF."""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

from paretodet.export import openvino_model
from paretodet.export.calibration import CountedFeeds, Feed, Feeds
from paretodet.export.quantizer import Quantized, Quantizer, Run
from paretodet.export.steps import BuildSteps

SETTINGS = {
    "INFERENCE_PRECISION_HINT": "f32",  # of what the model has in float
    "PERFORMANCE_HINT": "LATENCY",  # one stream on all cores
}


class OpenVinoInt8(Quantizer):
    """Depthwise convolutions stay in float: OpenVINO executes them in float32 anyway, of values that were rounded."""

    name: ClassVar[str] = "openvino"
    libraries: ClassVar[tuple[str, ...]] = ("openvino", "nncf")
    extras: ClassVar[tuple[str, ...]] = ("nncf",)
    artifact: ClassVar[str] = "int8.xml"

    def calibrate(self, graph: Path, feeds: Feeds, steps: BuildSteps) -> "QuantizedModel":
        """Ranges of activations are asymmetric, the mean over batches; biases are corrected by layers' mean errors.

        What NNCF writes is kept, with all layers in int8: variants are made of it, and of the model in float.
        """
        model = openvino_model.read(graph)

        def quantize(folder: Path) -> None:
            openvino_model.save(_quantized(model, CountedFeeds(feeds, steps)), folder / self.artifact)

        with steps.folder("ranges", quantize) as folder:
            return QuantizedModel(model, openvino_model.read(folder / self.artifact))


class QuantizedModel(Quantized):
    """A model in float, and the same with all layers in int8 that can be."""

    def __init__(self, model: Any, quantized: Any) -> None:
        self.model, self.quantized = model, quantized
        self.layers = tuple(node.get_friendly_name() for node in openvino_model.quantized_layers(quantized))
        self.total = sum(node.is_layer for node in openvino_model.described(model)[1].values())

    def program(self, in_float: Collection[str]) -> Run:
        return _program(self._variant(in_float))

    def original(self) -> Run:
        return _program(self.model)

    def save(self, path: Path, in_float: Collection[str]) -> None:
        openvino_model.save(self._variant(in_float), path)

    def _variant(self, in_float: Collection[str]) -> Any:
        """These layers read values that are not rounded, and have the weights and biases of the model in float."""
        if not in_float:
            return self.quantized
        variant = self.quantized.clone()
        openvino_model.restore_layers(variant, self.model, in_float)
        return variant


def _quantized(model: Any, feeds: Feeds) -> Any:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # nncf reports its use through it
    import nncf

    nodes = *openvino_model.float_nodes(model), *openvino_model.depthwise(model)
    return nncf.quantize(
        model,
        nncf.Dataset(feeds),
        preset=nncf.QuantizationPreset.MIXED,
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(feeds),
        ignored_scope=nncf.IgnoredScope(names=[node.get_friendly_name() for node in nodes]),
    )


def _program(model: Any) -> Run:
    request = openvino_model.core().compile_model(model, "CPU", SETTINGS).create_infer_request()
    count = len(model.outputs)

    def run(feed: Feed) -> list[Any]:
        results = request.infer(dict(feed))
        return [results[index] for index in range(count)]

    return run
