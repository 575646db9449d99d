"""The structure of an ONNX file, read without a library."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from made_onnx import write
from paretodet.errors import InputError
from paretodet.readings.onnx_graph import read_graph

HEAD = {"out": np.zeros((1, 756, 6), np.float32)}


def test_metadata_and_operators(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", HEAD, metadata={"names": "{0: 'cat'}"}, operators=("Sigmoid", "Exp"))
    graph = read_graph(path)
    assert graph.metadata == {"names": "{0: 'cat'}"} and graph.has_layers
    assert graph.tail("out") == {"Add", "Mul", "ReduceMean", "Exp", "Sigmoid"}
    assert [node.operator for node in graph.head("images")] == ["Cast"]
    assert not read_graph(write(tmp_path / "b.onnx", HEAD)).has_layers


def test_small_constants_and_operators_of_subgraphs(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [helper.make_node("NonMaxSuppression", ["b", "s"], ["i"])],
        "branch",
        [],
        [helper.make_tensor_value_info("i", TensorProto.INT64, ["n", 3])],
    )
    value = numpy_helper.from_array(np.array([255.0], np.float32), "value")
    nodes = [
        helper.make_node("Constant", [], ["scale"], value=value),
        helper.make_node("Div", ["x", "scale"], ["scaled"]),
        helper.make_node("If", ["c"], ["i"], then_branch=branch, else_branch=branch),
    ]
    tensors = [numpy_helper.from_array(np.array([1, 2], np.float32), "pair")]
    tensors.append(numpy_helper.from_array(np.zeros(100, np.float32), "large"))
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    path = tmp_path / "a.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [image], [], tensors)), path)
    graph = read_graph(path)
    assert graph.constants == {"pair": (1.0, 2.0), "scale": (255.0,)}
    assert "NonMaxSuppression" in graph.operators and graph.nodes[1].inputs == ("x", "scale")


def test_the_sizes_of_what_layers_write_are_known(tmp_path: Path) -> None:
    shapes = {"kernel": (300, 3, 1, 1), "matrix": (7, 2), "vector": (9,), "rows": (1, 11, 4)}
    tensors = [numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in shapes.items()]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [image], [], tensors)
    onnx.save(helper.make_model(graph), tmp_path / "a.onnx")
    assert read_graph(tmp_path / "a.onnx").sizes == {300, 7, 2}


@pytest.mark.parametrize("content", [b"no", b"\xff" * 40, b"\x3a\x7f"])
def test_bytes_that_are_no_graph_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.onnx: not an ONNX file .*\[graph-failed\]"):
        read_graph(tmp_path / "bad.onnx")
