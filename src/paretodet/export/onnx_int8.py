"""ONNX files in int8: QuantizeLinear and DequantizeLinear, which ONNX Runtime turns into integer operators."""

from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np

from paretodet.export import onnx_nodes
from paretodet.export.calibration import CountedFeeds, Feed, Feeds
from paretodet.export.quantizer import Quantized, Quantizer, Run
from paretodet.export.steps import BuildSteps

# What may compute in int8: layers with weights, and what hands their values on unchanged or nearly so.
OPERATORS = (
    "Conv", "Gemm", "MatMul", "Relu", "Clip", "LeakyRelu", "Add", "MaxPool", "AveragePool", "GlobalAveragePool",
    "Concat", "Resize",
)  # fmt: skip


class OnnxInt8(Quantizer):
    """The graphs are ONNX Runtime's own: it executes those of NNCF, whose layers have float outputs, in float32.

    The last layers of the heads stay in float too: in int8, their results would have 8 bits.
    """

    name: ClassVar[str] = "onnxruntime"
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    artifact: ClassVar[str] = "int8.onnx"

    def calibrate(self, graph: Path, feeds: Feeds, steps: BuildSteps) -> "QuantizedOnnx":
        """Ranges are the mean over batches; they are kept."""
        import onnx
        from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

        model = onnx.shape_inference.infer_shapes(onnx.load(graph))
        for index, node in enumerate(model.graph.node):
            node.name = node.name or f"node_{index}"
        found = steps.value("ranges", lambda: _ranges(model, CountedFeeds(feeds, steps)))
        ranges = {name: tuple(map(np.float32, ends)) for name, ends in found.items()}
        return QuantizedOnnx(model, TensorsData(CalibrationMethod.MinMax, ranges))


def _ranges(model: Any, feeds: Feeds) -> dict[str, list[float]]:
    """The lowest and the highest value of every tensor, the mean over batches."""
    import onnx
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

    with TemporaryDirectory() as folder:
        named, augmented = Path(folder) / "named.onnx", Path(folder) / "augmented.onnx"
        onnx.save(model, named)
        mean = {"moving_average": True}
        calibrator = create_calibrator(named, OPERATORS, str(augmented), CalibrationMethod.MinMax, extra_options=mean)
        calibrator.collect_data(_FeedReader(feeds))
        return {
            name: [np.asarray(end).item() for end in data.range_value]
            for name, data in calibrator.compute_data().items()
        }


class QuantizedOnnx(Quantized):
    """Activations are unsigned, as processors multiply unsigned by signed bytes; weights have a range a channel."""

    def __init__(self, model: Any, ranges: Any) -> None:
        self.model, self.ranges = model, ranges
        self.kept = onnx_nodes.float_nodes(model)
        layers = onnx_nodes.layers(model)
        self.layers, self.total = tuple(name for name in layers if name not in self.kept), len(layers)

    def program(self, in_float: Collection[str]) -> Run:
        return _program(self._quantized(in_float))

    def original(self) -> Run:
        return _program(self.model)

    def save(self, path: Path, in_float: Collection[str]) -> None:
        import onnx

        onnx.save(self._quantized(in_float), path)

    def _quantized(self, in_float: Collection[str]) -> Any:
        import onnx
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        copy = onnx.ModelProto()
        copy.CopyFrom(self.model)
        quantizer = QDQQuantizer(
            copy,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=self.ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=[*self.kept, *in_float],
            op_types_to_quantize=list(OPERATORS),
            extra_options={},
        )
        quantizer.quantize_model()
        return quantizer.model.model


class _FeedReader:
    """Feeds as calibrators read them: until None."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def _program(model: Any) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(feed: Feed) -> list[Any]:
        return list(session.run(None, dict(feed)))

    return run
