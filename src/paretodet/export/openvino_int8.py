"""Models of OpenVINO in int8, quantized by NNCF."""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

from paretodet.export import openvino_model
from paretodet.export.calibration import Feed, Feeds
from paretodet.export.quantizer import Quantized, Quantizer, Run

FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}  # of what the model has in float


class OpenVinoInt8(Quantizer):
    """Depthwise convolutions stay in float: OpenVINO executes them in float32 anyway, of values that were rounded."""

    name: ClassVar[str] = "openvino"
    libraries: ClassVar[tuple[str, ...]] = ("openvino", "nncf")
    extras: ClassVar[tuple[str, ...]] = ("nncf",)
    artifact: ClassVar[str] = "int8.xml"

    def calibrate(self, graph: Path, feeds: Feeds) -> "QuantizedModel":
        return QuantizedModel(openvino_model.read(graph), feeds)


class QuantizedModel(Quantized):
    """Ranges of activations are asymmetric, the mean over batches; biases are corrected by the mean error of layers."""

    def __init__(self, model: Any, feeds: Feeds) -> None:
        self.model, self.feeds = model, feeds
        nodes = *openvino_model.float_nodes(model), *openvino_model.depthwise(model)
        self.kept = tuple(node.get_friendly_name() for node in nodes)
        self.quantized = self._quantized(())
        self.layers = tuple(node.get_friendly_name() for node in openvino_model.quantized_layers(self.quantized))
        self.total = sum(node.is_layer for node in openvino_model.described(model)[1].values())

    def program(self, in_float: Collection[str]) -> Run:
        """Without the rounding of the values that these layers read; their weights stay rounded."""
        model = self.quantized.clone()
        for node in openvino_model.quantized_layers(model):
            if node.get_friendly_name() in in_float:
                node.input(0).replace_source_output(node.input_value(0).get_node().input_value(0))
        return _program(model)

    def original(self) -> Run:
        return _program(self.model)

    def save(self, path: Path, in_float: Collection[str]) -> None:
        openvino_model.save(self._quantized(in_float) if in_float else self.quantized, path)

    def _quantized(self, in_float: Collection[str]) -> Any:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # nncf reports its use through it
        import nncf

        return nncf.quantize(
            self.model,
            nncf.Dataset(self.feeds),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(self.feeds),
            ignored_scope=nncf.IgnoredScope(names=[*self.kept, *in_float]),
        )


def _program(model: Any) -> Run:
    request = openvino_model.core().compile_model(model, "CPU", FLOAT32).create_infer_request()
    count = len(model.outputs)

    def run(feed: Feed) -> list[Any]:
        results = request.infer(dict(feed))
        return [results[index] for index in range(count)]

    return run
