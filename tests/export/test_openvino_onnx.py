"""ONNX files that OpenVINO reads otherwise: the numbers of ONNX Runtime, or refused. Files have one node.

Established with OpenVINO 2025.4 and 2026.4.1.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("openvino", reason="openvino is not installed: pip install 'paretodet[openvino]'")

from paretodet.errors import InputError
from paretodet.export import openvino_onnx
from paretodet.export.openvino_onnx import TABLE, opset
from paretodet.extras import MissingExtra
from paretodet.runtimes.onnxruntime import OnnxProgram
from paretodet.runtimes.openvino import OpenVinoProgram

FEED = {"x": np.random.default_rng(0).random((1, 2, 6, 7), np.float32)}
SCALES = np.array([1, 1, 1.5, 0.5], np.float32)
SIDES = np.array([9, 9])
BOXES = {"boxes": np.array([[0, 1, 5, 4.5]], np.float32), "image": np.zeros(1, np.int64)}


class Case(NamedTuple):
    operator: str
    opset: int
    attributes: dict[str, Any]
    constants: dict[str, np.ndarray] = {}
    inputs: str = "x"
    part: str = ""  # of the table's entry


def node(case: Case) -> onnx.NodeProto:
    inputs = [name.replace("-", "") for name in case.inputs.split()]
    return helper.make_node(case.operator, inputs, ["y"], name="it", **case.attributes)


def write(path: Path, case: Case, nodes: Sequence[onnx.NodeProto] = ()) -> Path:
    """A file with the node of a case, or other nodes."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y"))
    x.type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, FEED["x"].shape))
    stored = [numpy_helper.from_array(value, name) for name, value in case.constants.items()]
    graph = helper.make_graph(nodes or [node(case)], "g", [x], [y], stored)
    sets = [helper.make_opsetid("", case.opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=sets, ir_version=9)), path)
    return path


REDUCTIONS = [
    Case(operator, opset, {"axes": axes, "keepdims": kept}, part="axes" if opset > 12 else "")
    for operator in ("ReduceL1", "ReduceLogSum", "ReduceLogSumExp", "ReduceL2", "ReduceMean")
    for opset in (11, 13, 17)
    for axes, kept in (([2], 0), ([-1, 1], 1))
]
SOFTMAXES = [
    Case(operator, opset, {} if axis is None else {"axis": axis})
    for operator in ("Softmax", "LogSoftmax")
    for opset in (9, 11, 12, 13)
    for axis in (None, 0, 2, 3)
]
CROP = Case("RoiAlign", 16, {"output_height": 2, "output_width": 2}, BOXES, "x boxes image", "sampling_ratio")
SCALED = {"constants": {"scales": SCALES}, "inputs": "x - scales"}
FITTED: dict[str, Any] = {"axes": [2, 3], "mode": "linear", "keep_aspect_ratio_policy": "stretch"}
POLICY = "keep_aspect_ratio_policy"
CUBIC: dict[str, Any] = {"mode": "cubic", "exclude_outside": 1}
KERNEL = {"w": np.random.default_rng(1).random((2, 3, 4, 4), np.float32)}
TRANSPOSED: dict[str, Any] = {"strides": [2, 2], "output_shape": [11, 13], "auto_pad": "SAME_UPPER"}
POOLS = [
    Case(operator, 12, {"kernel_shape": [3, 3], "strides": [3, 3], "pads": pads, "ceil_mode": up})
    for operator in ("MaxPool", "AveragePool")
    for pads in ([0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 2])
    for up in (0, 1)
]
INCLUDED: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 2], "count_include_pad": 1}
COMPUTED = [
    *REDUCTIONS,
    *SOFTMAXES,
    *POOLS,
    Case("MaxPool", 12, {"kernel_shape": [2, 2], "strides": [3, 5], "ceil_mode": 1}),
    Case("AveragePool", 11, INCLUDED | {"ceil_mode": 1}),
    Case("AveragePool", 11, INCLUDED | {"pads": [1, 1, 1, 1]}),
    Case("ConvTranspose", 11, {"strides": [2, 2], "auto_pad": "SAME_UPPER"}, KERNEL, "x w"),
    CROP,
    Case("Resize", 19, FITTED, {"sizes": SIDES}, "x - - sizes"),
    Case("Resize", 19, CUBIC | {"exclude_outside": 0}, **SCALED),
    Case("Resize", 19, {"mode": "linear", "antialias": 0}, **SCALED),
]
REFUSED = [
    Case("Resize", 19, FITTED | {"keep_aspect_ratio_policy": "not_larger"}, {"sizes": SIDES}, "x - - sizes", POLICY),
    Case("Resize", 18, FITTED | {"keep_aspect_ratio_policy": "not_smaller"}, {"sizes": SIDES}, "x - - sizes", POLICY),
    Case("Resize", 13, CUBIC, part="exclude_outside", **SCALED),
    Case("Resize", 18, {"mode": "linear", "antialias": 1}, part="antialiasing", **SCALED),
    CROP._replace(attributes=CROP.attributes | {"mode": "max"}, part="mode max"),
    Case("ConvTranspose", 11, TRANSPOSED, KERNEL, "x w", "output_shape"),
]


def test_every_entry_of_the_table_has_a_case() -> None:
    cases = {(case.operator, case.part) for case in (*COMPUTED, *REFUSED)}
    assert {(each.operator, each.part) for each in TABLE} <= cases


@pytest.mark.parametrize("case", COMPUTED, ids=str)
def test_the_numbers_are_those_of_onnx_runtime(tmp_path: Path, case: Case) -> None:
    path = write(tmp_path / "it.onnx", case)
    (found,), (wanted,) = OpenVinoProgram(path, "fp32", 1)(FEED), OnnxProgram(path, "cpu", 1)(FEED)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_is_not_computed_is_refused(tmp_path: Path, case: Case) -> None:
    path = write(tmp_path / "it.onnx", case)
    with pytest.raises(InputError, match=rf"^{path}: .* {case.part} of {case.operator} it; .*\[graph-failed\]"):
        OpenVinoProgram(path, "fp32", 1)


def test_an_average_over_padding_that_is_rounded_up_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "it.onnx", Case("AveragePool", 11, INCLUDED | {"pads": [1, 1, 1, 1], "ceil_mode": 1}))
    with pytest.raises(InputError, match=rf"^{path}: OpenVINO .* AveragePool \w.*\[graph-failed\]"):
        OpenVinoProgram(path, "fp32", 1)


@pytest.mark.parametrize(("version", "is_refused"), [("2026.4.1", False), ("2025.4.1", True)])
def test_a_stated_size_of_a_transposed_convolution_needs_a_recent_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, is_refused: bool
) -> None:
    stated = {"strides": [2, 2], "output_shape": [11, 13]}
    path = write(tmp_path / "it.onnx", Case("ConvTranspose", 11, stated, KERNEL, "x w"))
    monkeypatch.setattr(openvino_onnx, "version_of", lambda library: version)
    if is_refused:
        with pytest.raises(InputError, match="output_shape of ConvTranspose it"):
            openvino_onnx.rewritten(path)
    else:
        assert openvino_onnx.rewritten(path) is None


@pytest.mark.parametrize("case", [REDUCTIONS[4], REFUSED[0]], ids=["rewritten", "refused"])
def test_branches_of_if_are_looked_into(tmp_path: Path, case: Case) -> None:
    branch = helper.make_graph([node(case)], "b", [], [onnx.ValueInfoProto(name="y")])
    last = helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)
    path = write(tmp_path / "it.onnx", case._replace(constants={**case.constants, "yes": np.array(True)}), [last])
    if case in REFUSED:
        with pytest.raises(InputError, match=case.part):
            OpenVinoProgram(path, "fp32", 1)
        return
    (found,), (wanted,) = OpenVinoProgram(path, "fp32", 1)(FEED), OnnxProgram(path, "cpu", 1)(FEED)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_only_a_file_that_is_rewritten_needs_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, other = write(tmp_path / "plain.onnx", SOFTMAXES[5]), write(tmp_path / "crop.onnx", CROP)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert OpenVinoProgram(plain, "fp32", 1)(FEED)[0].shape == FEED["x"].shape
    with pytest.raises(MissingExtra, match=r"RoiAlign of runtime openvino .*paretodet\[onnx\]"):
        OpenVinoProgram(other, "fp32", 1)


def test_the_version_is_that_of_onnx_operators(tmp_path: Path) -> None:
    assert opset(write(tmp_path / "it.onnx", REDUCTIONS[0])) == 11
