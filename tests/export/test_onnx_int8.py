"""ONNX files in int8: what ONNX Runtime's quantizer would change beyond rounding stays in float."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from paretodet.export.onnx_int8 import OnnxInt8
from paretodet.export.steps import BuildSteps

FEEDS = [{"x": np.concatenate([np.zeros((1, 8)), np.linspace(-6, 6, 504).reshape(63, 8)]).astype(np.float32)}]


@pytest.mark.parametrize("factors", [{"beta": 0.5}, {"beta": 2.0}, {"alpha": 0.5, "beta": 2.0}], ids=str)
def test_the_factors_of_a_product_are_kept(tmp_path: Path, factors: dict[str, float]) -> None:
    """Of its bias too; the layer behind it is in float, as the last one."""
    constants = {
        "w": np.linspace(-1, 1, 32, dtype=np.float32).reshape(8, 4),
        "bias": np.array([30, -20, 10, 20], np.float32),
        "last": np.eye(4, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w", "bias"], ["a"], name="a", **factors),
        helper.make_node("MatMul", ["a", "last"], ["y"], name="last"),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [64, n]) for name, n in (("x", 8), ("y", 4))]
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "g.onnx")
    made = OnnxInt8().calibrate(tmp_path / "g.onnx", FEEDS, BuildSteps())
    found, wanted = made.program(())(FEEDS[0])[0], made.original()(FEEDS[0])[0]
    np.testing.assert_allclose(found, wanted, atol=0.02 * np.abs(wanted).max())
