"""Layers of ONNX graphs: their precision, and what follows them."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from paretodet.export.onnx_nodes import float_nodes, layers, precisions


def model(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """A graph from `x` to `y`."""
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    return helper.make_model(helper.make_graph(nodes, "g", ports[:1], ports[1:], stored))


def node(operator: str, inputs: str, output: str) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), [output], name=output)


ONE = np.ones((1, 1), np.float32)


def test_layers_are_counted_by_the_type_of_their_weights() -> None:
    nodes = [
        node("Conv", "x one", "a"),
        node("MatMul", "a half", "b"),
        node("QLinearConv", "b s z one s z s z", "c"),
        node("MatMul", "c x", "d"),  # of two computed tensors: no layer
        node("Relu", "d", "y"),
    ]
    assert precisions(model(nodes, {"one": ONE, "half": ONE.astype(np.float16)})) == {"fp32": 1, "fp16": 1, "int8": 1}


def test_dequantized_weights_compute_in_float() -> None:
    nodes = [node("DequantizeLinear", "bytes s z", "w"), node("Gemm", "x w", "y")]
    assert precisions(model(nodes, {"bytes": ONE.astype(np.int8), "s": ONE, "z": ONE.astype(np.int8)})) == {"fp32": 1}


def test_layers_have_their_order() -> None:
    nodes = [node("Conv", "x w", "b"), node("Relu", "b", "r"), node("MatMul", "r w", "a"), node("MatMul", "a b", "y")]
    assert layers(model(nodes, {"w": ONE})) == ["b", "a"]


def test_a_graph_without_layers_has_no_precision() -> None:
    assert precisions(model([node("Relu", "x", "y")], {})) == {}


def test_the_last_layer_and_what_follows_are_named() -> None:
    nodes = [node("Conv", "x w", "trunk"), node("Conv", "trunk w", "head"), node("Sigmoid", "head", "score")]
    nodes.append(node("Mul", "score x", "y"))
    assert float_nodes(model(nodes, {"w": ONE})) == ["head", "score", "y"]


@pytest.mark.parametrize(("factors", "kept"), [({"alpha": 1.0}, []), ({"beta": 0.5}, ["a"]), ({"alpha": 2.0}, ["a"])])
def test_a_product_with_a_factor_stays_in_float(factors: dict[str, float], kept: list[str]) -> None:
    scaled = helper.make_node("Gemm", ["x", "w", "w"], ["a"], name="a", **factors)
    nodes = [scaled, node("Relu", "a", "r"), node("MatMul", "r w", "y")]
    assert float_nodes(model(nodes, {"w": ONE})) == [*kept, "y"]
