"""The layers of an ONNX graph: in which precision they compute."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

# Operators of ONNX and of ONNX Runtime's optimizer that compute products; a layer has constant weights.
PRODUCTS = frozenset(("Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"))
INTEGER_PRODUCTS = frozenset(
    ("QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat")
)
TYPES = {"FLOAT": "fp32", "FLOAT16": "fp16", "BFLOAT16": "bf16", "DOUBLE": "fp64"}


def precisions(model: Any) -> Mapping[str, int]:
    """Number of layers of an onnx.ModelProto by the precision in which they compute."""
    return Counter(filter(None, _Graph(model).precisions()))


class _Graph:
    def __init__(self, model: Any) -> None:
        self.nodes = model.graph.node
        self.types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
        self.constants = {"", *self.types}  # and what is made of these alone, such as dequantized weights
        for node in self.nodes:  # in the order in which they are computed
            if self.constants.issuperset(node.input):
                self.constants.update(node.output)

    def precisions(self) -> Iterator[str | None]:
        for node in self.nodes:
            if node.op_type in INTEGER_PRODUCTS:
                yield "int8"
            elif self._is_layer(node):
                yield self._precision(node)

    def _is_layer(self, node: Any) -> bool:
        return node.op_type in PRODUCTS and not self.constants.isdisjoint(node.input[:2])

    def _precision(self, node: Any) -> str:
        """By the type of the weights; whatever is computed from stored weights is float32."""
        import onnx

        types = [self.types[name] for name in node.input[:2] if name in self.types]
        return TYPES.get(onnx.TensorProto.DataType.Name(types[0]), "fp32") if types else "fp32"
