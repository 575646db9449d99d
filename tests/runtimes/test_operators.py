"""An operator that a runtime lacks: the message names it, its layer, and the runtimes that may have it."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import onnx
import pytest
from onnx import TensorProto, helper

from paretodet.candidate import NetworkCandidate
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.export import ncnn
from paretodet.opening import open_candidate
from paretodet.runtimes import opencv
from paretodet.runtimes.operators import in_onnxruntime, lacking
from paretodet.runtimes.runtime import Runtime
from paretodet.runtimes.table import RUNTIMES, others, runtime_of


def write_operator(path: Path, operator: str, *, opset: int = 20, **attributes: Any) -> str:
    """A file whose second layer has this operator."""
    source, target = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("images", "out"))
    source.type.tensor_type.shape.CopyFrom(helper.make_tensor_type_proto(1, [1, 3, 32, 32]).tensor_type.shape)
    last = helper.make_node(operator, ["a", *attributes.pop("reads", ())], ["out"], name="head/second", **attributes)
    nodes = [helper.make_node("Relu", ["images"], ["a"], name="head/first"), last]
    rois = helper.make_tensor("rois", TensorProto.FLOAT, [1, 5], [0.0, 0, 0, 8, 8])
    graph = helper.make_graph(nodes, "graph", [source], [target], [rois])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return str(path)


def refusal(name: str, runtime: str) -> str:
    pytest.importorskip(runtime)
    with pytest.raises(InputError) as refused:
        open_candidate(name, runtime=runtime)
    assert refused.value.id == "operator-missing"
    return refused.value.message


def test_onnxruntime_names_it_and_its_layer(tmp_path: Path) -> None:
    name = write_operator(tmp_path / "pool.onnx", "MaxRoiPool", opset=22, reads=("rois",), pooled_shape=[2, 2])
    message = refusal(name, "onnxruntime")
    assert message.startswith(f"{name}: ONNX Runtime lacks operator MaxRoiPool of layer 'head/second'; try --runtime ")
    assert "openvino" in message and "eager" not in message


def test_openvino_names_it_and_its_layer(tmp_path: Path) -> None:
    message = refusal(name := write_operator(tmp_path / "det.onnx", "Det"), "openvino")
    assert message.startswith(f"{name}: OpenVINO lacks operator Det of layer 'head/second'; try --runtime onnxruntime")


def test_the_words_of_onnxruntime_web_are_known() -> None:
    said = "Can't create a session. ERROR_CODE: 6, ERROR_MESSAGE: No Op registered for Odd with domain_version of 17"
    refused = in_onnxruntime(Path("a.onnx"), "onnxruntime-web", said)
    assert refused and refused.id == "operator-missing" and refused.message.endswith("lacks operator Odd")


def test_an_operator_that_onnx_lacks_is_named_too(tmp_path: Path) -> None:
    message = refusal(write_operator(tmp_path / "odd.onnx", "Odd"), "onnxruntime")
    assert "lacks operator Odd of layer 'head/second'" in message


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("Load model from a.onnx failed:Fatal error: my.ops:Foo(-1) is not a registered function/op", "my.ops:Foo"),
        ("Could not find an implementation for RoiAlign(22) node with name ''", "RoiAlign"),
    ],
)
def test_layers_without_a_name_are_left_out(message: str, named: str) -> None:
    error = in_onnxruntime(Path("a.onnx"), "onnxruntime-web", message)
    assert error and error.message == f"a.onnx: onnxruntime-web lacks operator {named}"
    assert in_onnxruntime(Path("a.onnx"), "onnxruntime-web", "Protobuf parsing failed.") is None


def test_several_layers_are_counted() -> None:
    message = lacking("a.onnx", "OpenVINO", "Det", ["first", "", "second", "third"]).message
    assert message == "a.onnx: OpenVINO lacks operator Det of layer 'first' and 2 more"


def test_opencv_names_it_and_its_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise cv2.error("(-2) in function handleNode\n> Node [Mod@ai.onnx]:(onnx_node!node_mod) parse error")

    monkeypatch.setattr(cv2.dnn, "readNetFromONNX", refuse)
    with pytest.raises(InputError, match=r"^runtime: OpenCV lacks operator Mod of layer 'node_mod' \[operator-missing"):
        opencv.DnnProgram(tmp_path / "trunk.onnx", 1)


def test_ncnn_names_it_and_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "7767517", "4 4",
        "Input in0 0 1 in0",
        "Convolution conv_0 1 1 in0 1 0=4 1=3",
        "Tensor.masked_fill fill_3 1 1 1 2 mask=@mask value=-1.000000e+00",
        "Convolution conv_1 1 1 2 out0 0=4 1=3",
    ]  # fmt: skip

    def convert(command: list[str], **_: Any) -> SimpleNamespace:
        (target,) = (word.removeprefix("ncnnparam=") for word in command if word.startswith("ncnnparam="))
        Path(target).write_text("\n".join(lines))
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setitem(__import__("sys").modules, "pnnx", SimpleNamespace(EXEC_PATH="pnnx"))
    monkeypatch.setattr(ncnn.subprocess, "run", convert)
    (tmp_path / "trunk.pt").write_bytes(b"")
    (tmp_path / "shapes.json").write_text('{"trunk": [[1, 3, 8, 8]]}')
    (tmp_path / "made").mkdir()
    with pytest.raises(InputError, match=r"ncnn lacks operator Tensor\.masked_fill of layer 'fill_3', .* 1 layer"):
        ncnn.convert(tmp_path, tmp_path / "made")


@pytest.mark.parametrize("id", ["operator-missing", "export-failed", "graph-failed", "parity-failed"])
def test_a_detector_that_a_runtime_cannot_run_may_run_in_others(id: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(self: Runtime, network: Any) -> Any:
        raise InputError("runtime: it cannot", id)

    network = SimpleNamespace(form="torch", name="it", spec=None, describe=None, identity={})
    runtime = runtime_of(CandidateConfig(name="it", runtime="opencv"), "torch")
    monkeypatch.setattr(opencv.OpenCv, "build", build)
    with pytest.raises(InputError, match=r"^runtime: it cannot; try --runtime eager or winograd or") as refused:
        NetworkCandidate(network, runtime)  # type: ignore[arg-type]
    assert refused.value.id == id and "opencv" not in refused.value.message
    network.form = "onnx"
    with pytest.raises(InputError) as refused:
        NetworkCandidate(network, runtime)  # type: ignore[arg-type]
    assert ("--runtime onnxruntime" in refused.value.message) == (id == "operator-missing")


def test_others_have_the_form_the_device_and_the_precision() -> None:
    assert others(runtime_of(CandidateConfig(name="a", runtime="eager", precision="bf16"), "torch"), "torch", None) == (
        "compiled",
    )
    for kind in RUNTIMES:
        for form in kind.forms:
            named = others(kind(), form, None)
            assert kind.name not in named
            assert all(form in other.forms for other in RUNTIMES if other.name in named)


def test_a_runtime_that_is_not_installed_is_no_error_where_others_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    named = others(runtime_of(CandidateConfig(name="a", runtime="openvino"), "onnx"), "onnx", None)
    assert "onnxruntime" not in named and "web" in named


def test_where_no_other_runtime_can_be_chosen_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(self: Runtime, network: Any) -> Any:
        raise InputError("runtime: it cannot", "operator-missing")

    network = SimpleNamespace(form="onnx-bundle", name="it", spec=None, describe=None, identity={})
    runtime = runtime_of(CandidateConfig(name="it", runtime="onnxruntime"), "onnx-bundle")
    monkeypatch.setattr(type(runtime), "build", build)
    for switchable in (True, False):
        with pytest.raises(InputError) as refused:
            NetworkCandidate(network, runtime, switchable=switchable)  # type: ignore[arg-type]
        assert ("--runtime" in refused.value.message) == switchable and refused.value.id == "operator-missing"
