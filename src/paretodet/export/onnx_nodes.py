"""The layers of an ONNX graph: in which precision they compute, and which nodes stay in float."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from paretodet.export.float_part import GraphNode, float_part, last_layers

# Operators of ONNX and of ONNX Runtime's optimizer that compute products; a layer has constant weights.
PRODUCTS = frozenset(("Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"))
INTEGER_PRODUCTS = frozenset(
    ("QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat")
)
TYPES = {"FLOAT": "fp32", "FLOAT16": "fp16", "BFLOAT16": "bf16", "DOUBLE": "fp64"}


def precisions(model: Any) -> Mapping[str, int]:
    """Number of layers of an onnx.ModelProto by the precision in which they compute."""
    return Counter(filter(None, _Graph(model).precisions()))


def layers(model: Any) -> list[str]:
    """Names of the layers of an onnx.ModelProto in the order in which they are computed; every node needs a name."""
    graph = _Graph(model)
    return [node.name for node in graph.nodes if graph.is_layer(node)]


def float_nodes(model: Any) -> list[str]:
    """Names of the nodes of an onnx.ModelProto that stay in float; every node needs a name.

    Beside `float_part` these are the last layers of the heads: in int8, their results would have 8 bits too. Gemms with
    a factor `alpha` or `beta` are kept because ONNX Runtime's quantizer loses that of the bias.
    """
    return sorted(_Graph(model).float_nodes())


class _Graph:
    def __init__(self, model: Any) -> None:
        self.nodes = model.graph.node
        self.outputs = [output.name for output in model.graph.output]
        self.makers = {output: node for node in self.nodes for output in node.output}
        self.types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
        self.constants = {"", *self.types}  # and what is made of these alone, such as dequantized weights
        for node in self.nodes:  # in the order in which they are computed
            if self.constants.issuperset(node.input):
                self.constants.update(node.output)

    def precisions(self) -> Iterator[str | None]:
        for node in self.nodes:
            if node.op_type in INTEGER_PRODUCTS:
                yield "int8"
            elif self.is_layer(node):
                yield self._precision(node)

    def float_nodes(self) -> set[str]:
        nodes = {
            node.name: GraphNode(operator=node.op_type, inputs=tuple(self._sources(node)), is_layer=self.is_layer(node))
            for node in self.nodes
        }
        ends = [self.makers[name].name for name in self.outputs if name in self.makers]
        scaled = {node.name for node in self.nodes if _has_factors(node)}
        return float_part(nodes, ends) | last_layers(nodes, ends) | scaled

    def _sources(self, node: Any) -> Iterator[str]:
        return (self.makers[name].name for name in node.input if name in self.makers)

    def is_layer(self, node: Any) -> bool:
        return node.op_type in PRODUCTS and not self.constants.isdisjoint(node.input[:2])

    def _precision(self, node: Any) -> str:
        """By the type of the weights; whatever is computed from stored weights is float32."""
        import onnx

        types = [self.types[name] for name in node.input[:2] if name in self.types]
        return TYPES.get(onnx.TensorProto.DataType.Name(types[0]), "fp32") if types else "fp32"


def _has_factors(node: Any) -> bool:
    """Whether a Gemm multiplies its product or its bias by another number than 1."""
    factors = (attribute for attribute in node.attribute if attribute.name in ("alpha", "beta"))
    return node.op_type == "Gemm" and any(factor.f != 1 for factor in factors)
