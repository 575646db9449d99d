"""ONNX files: how images are fed and how outputs are read. What outputs mean is tested in `readings`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from paretodet.bench.candidate import Candidate, Stated
from paretodet.candidate import NetworkCandidate
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.layouts.layout import BGR_BYTES, IMAGENET, FileLayout, Normalization, OutputLayout
from paretodet.opening import open_candidate
from paretodet.records.profile import LayerTime
from paretodet.runtimes.graph import FileSession
from paretodet.runtimes.onnxruntime import OnnxProgram, OnnxRuntime
from paretodet.sources.onnx_file import OnnxFile
from paretodet.transforms.resize_policy import Letterbox, Stretch

BOXES = np.array([[[10, 20, 30, 60], [5, 5, 15, 15]]], np.float32)
SCORES = np.array([[0.25, 0.75]], np.float32)
LABELS = np.array([[3, 7]], np.int64)
IMAGE = np.full((50, 100, 3), 51, np.uint8)  # 51 / 255 = 0.2
SIZES = torch.tensor([[50.0, 100.0]])
COLUMNS = (("boxes", ("box",)), ("scores", ("score",)), ("labels", ("label",)))
TRIPLE = FileLayout(family="a test", outputs=OutputLayout(columns=COLUMNS, keep=2))
ROWS = FileLayout(family="a test", outputs=OutputLayout(columns=(("y", ("box", "score", "label")),)))


def opened(path: Path, device: str = "cpu", **options: Any) -> NetworkCandidate:
    network = OnnxFile().load(CandidateConfig(name=str(path), **{"layout": TRIPLE} | options))
    return NetworkCandidate(network, OnnxRuntime(device=device, threads=1))


def session(candidate: NetworkCandidate) -> FileSession:
    assert isinstance(candidate.session, FileSession)
    return candidate.session


def write(
    path: Path,
    outputs: dict[str, np.ndarray],
    *,
    shape: tuple[int | str, ...] = (1, 3, 64, 64),
    kind: int = TensorProto.FLOAT,
    extra: tuple[onnx.ValueInfoProto, ...] = (),
    dynamic: tuple[str, ...] = (),
) -> Path:
    """A file that returns constants, whatever it is given."""
    image = helper.make_tensor_value_info("images", kind, shape)
    names = {name: numpy_helper.from_array(value, f"{name}_value") for name, value in outputs.items()}
    infos = [
        helper.make_tensor_value_info(
            name,
            helper.np_dtype_to_tensor_dtype(value.dtype),
            [f"{name}{i}" for i in range(value.ndim)] if name in dynamic else value.shape,
        )
        for name, value in outputs.items()
    ]
    nodes = [helper.make_node("Identity", [f"{name}_value"], [name]) for name in outputs]
    graph = helper.make_graph(nodes, "detector", [image, *extra], infos, list(names.values()))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def separate(tmp_path: Path) -> Path:
    return write(tmp_path / "separate.onnx", {"scores": SCORES, "boxes": BOXES, "labels": LABELS})


def test_boxes_scores_and_labels_come_back_to_the_image(separate: Path) -> None:
    candidate = opened(separate)
    assert isinstance(candidate, Candidate) and isinstance(candidate, Stated)
    assert candidate.session.fit == Stretch(height=64, width=64)
    found = candidate.finish(candidate.infer(candidate.prepare([IMAGE])), SIZES)
    assert found.scores.tolist() == [[0.75, 0.25]] and found.labels.tolist() == [[7, 3]]
    stretch = torch.tensor([100 / 64, 50 / 64] * 2)  # of a 64 x 64 canvas back to 50 x 100
    assert torch.allclose(found.boxes[0], torch.from_numpy(BOXES[0, ::-1].copy()) * stretch)


def raw_output(anchors: list[tuple[float, ...]], count: int) -> np.ndarray:
    out = np.zeros((1, len(anchors[0]), count), np.float32)
    for column, anchor in enumerate(anchors):
        out[0, :, column] = anchor
    return out


def test_score_and_nms_override_the_files_own(tmp_path: Path, separate: Path) -> None:
    anchors = [(20.0, 20.0, 10.0, 20.0, 0.9), (20.0, 20.0, 10.0, 21.0, 0.8), (50.0, 50.0, 8.0, 8.0, 0.1)]
    path = write(tmp_path / "raw.onnx", {"output0": raw_output(anchors, 84)})  # 84 cells of strides 8, 16 and 32
    candidate = opened(path, score=0.5, nms=0.99, layout=None)
    assert candidate.session.fit == Letterbox(height=64, width=64, fill=114, sampling="opencv")
    found = candidate.finish(candidate.infer(candidate.prepare([IMAGE])), SIZES)
    assert (found.scores > 0).sum() == 2
    plain = opened(separate, score=0.5)
    assert plain.finish(plain.infer(plain.prepare([IMAGE])), SIZES).scores.tolist() == [[0.75, 0.0]]
    with pytest.raises(ValueError, match="nms: separate returns finished detections"):
        opened(separate, nms=0.5)


def test_outputs_without_a_batch_are_taken_one_image_at_a_time(tmp_path: Path) -> None:
    path = write(tmp_path / "single.onnx", {"boxes": BOXES[0], "labels": LABELS[0], "scores": SCORES[0]})
    candidate = opened(path)
    found = candidate.finish(candidate.infer(candidate.prepare([IMAGE, IMAGE])), SIZES.expand(2, 2))
    assert found.labels.tolist() == [[7, 3], [7, 3]]


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_file_of_more_images_a_call_takes_any_number(tmp_path: Path, count: int) -> None:
    """Its last call is filled up with copies, and the row states how many images a call has."""
    outputs = {"boxes": BOXES, "labels": LABELS, "scores": SCORES}
    many = {name: np.repeat(value, 3, axis=0) for name, value in outputs.items()}
    candidate = opened(write(tmp_path / "three.onnx", many, shape=(3, 3, 64, 64)))
    found = candidate.finish(candidate.infer(candidate.prepare([IMAGE] * count)), SIZES.expand(count, 2))
    assert found.labels.tolist() == [[7, 3]] * count
    assert ("images_a_call", "3") in session(candidate).facts()["runtime_settings"]


@pytest.mark.parametrize(
    ("kind", "shape", "pixels", "expected"),
    [
        (TensorProto.UINT8, (1, 3, 8, 8), Normalization(), 51.0),
        (TensorProto.UINT8, ("batch", 8, 8, 3), IMAGENET, 51.0),
        (TensorProto.FLOAT, (1, 3, 8, 8), Normalization(), 0.2),
        (TensorProto.FLOAT, (1, 8, 8, 3), Normalization(), 0.2),
        (TensorProto.FLOAT16, ("b", 3, 8, 8), Normalization(), 0.2),
        (TensorProto.FLOAT, (1, 3, 8, 8), BGR_BYTES, 51.0),
        (TensorProto.FLOAT, (1, 3, 8, 8), Normalization(mean=(50.0,) * 3, std=(4.0,) * 3), 0.25),
    ],
)
def test_the_image_is_fed_in_the_files_type_and_order(
    tmp_path: Path, kind: int, shape: tuple[int | str, ...], pixels: Normalization, expected: float
) -> None:
    """The one score is a thousandth of the mean of what the file was given, in float32."""
    image = helper.make_tensor_value_info("x", kind, shape)
    constants = [
        numpy_helper.from_array(np.array([[[0, 0, 4, 4]]], np.float32), "one_box"),
        numpy_helper.from_array(np.zeros((1, 1), np.int64), "one_label"),
        numpy_helper.from_array(np.array([1, 1], np.int64), "to"),
        numpy_helper.from_array(np.array(1000, np.float32), "thousand"),
    ]
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f"], ["m"], keepdims=0),
        helper.make_node("Div", ["m", "thousand"], ["less"]),
        helper.make_node("Reshape", ["less", "to"], ["scores"]),
        helper.make_node("Identity", ["one_box"], ["boxes"]),
        helper.make_node("Identity", ["one_label"], ["labels"]),
    ]
    infos = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, (1, 1, 4)),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 1)),
        helper.make_tensor_value_info("labels", TensorProto.INT64, (1, 1)),
    ]
    graph = helper.make_graph(nodes, "mean", [image], infos, constants)
    path = tmp_path / "mean.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    candidate = opened(path, layout=replace(TRIPLE, pixels=pixels))
    assert candidate.infer(candidate.prepare([IMAGE]))[1].amax().item() == pytest.approx(expected / 1000, rel=2e-3)


def test_open_sizes_default_to_640_and_can_be_set(tmp_path: Path) -> None:
    outputs = {"boxes": BOXES, "scores": SCORES, "labels": LABELS}
    path = write(tmp_path / "open.onnx", outputs, shape=(1, 3, "h", "w"))
    assert opened(path).session.fit == Stretch(height=640, width=640)
    assert opened(path, height=320, width=352).session.fit == Stretch(height=320, width=352)
    fixed = write(tmp_path / "fixed.onnx", outputs)
    with pytest.raises(InputError, match=r"fixed\.onnx: size: got 320x320, this file reads 64x64 only"):
        opened(fixed, height=320, width=320)


def test_a_size_in_the_metadata_is_taken_where_the_file_leaves_it_open(tmp_path: Path) -> None:
    path = write(tmp_path / "open.onnx", {"boxes": BOXES, "scores": SCORES, "labels": LABELS}, shape=(1, 3, "h", "w"))
    model = onnx.load(path)
    helper.set_model_props(model, {"imgsz": "[320, 416]"})
    onnx.save(model, path)
    assert opened(path).session.fit == Stretch(height=320, width=416)
    assert opened(path, height=64).session.fit == Stretch(height=64, width=64)


def test_a_second_input_for_the_target_size_is_fed(tmp_path: Path) -> None:
    target = helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ("n", 2))
    outputs = {"labels": LABELS, "boxes": BOXES, "scores": SCORES}
    columns = (("boxes", ("box",)), ("scores", ("score",)), ("labels", ("label",)))
    layout = FileLayout(family="DETR", outputs=OutputLayout(columns=columns))
    candidate = opened(write(tmp_path / "detr.onnx", outputs, extra=(target,)), layout=layout)
    feed = session(candidate).input.feed(candidate.prepare([IMAGE]))
    assert feed["orig_target_sizes"].tolist() == [[64, 64]] and feed["orig_target_sizes"].dtype == np.int64


def test_unknown_inputs_show_their_shapes(tmp_path: Path) -> None:
    path = write(tmp_path / "in.onnx", {"scores": SCORES}, shape=(1, 64, 64))
    with pytest.raises(InputError, match=r"in\.onnx: inputs: got images tensor\(float\) \[1, 64, 64\]"):
        opened(path)


def test_a_file_that_is_no_onnx_and_a_missing_one_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"bad\.onnx: ONNX Runtime cannot load it"):
        opened(tmp_path / "bad.onnx")
    with pytest.raises(ValueError, match=r"none\.onnx: No such file"):
        opened(tmp_path / "none.onnx")
    with pytest.raises(ValueError, match="device: 'tpu'"):
        opened(tmp_path / "bad.onnx", device="tpu")


def test_facts_identify_the_file(separate: Path, tmp_path: Path) -> None:
    facts = opened(separate).facts()
    assert facts.runtime == "onnxruntime" and (facts.height, facts.width) == (64, 64)
    assert len(facts.weights) == len(facts.artefact) == 64
    assert facts.artefact != opened(separate, score=0.5).facts().artefact
    other = write(tmp_path / "b.onnx", {"scores": SCORES + 0.1, "boxes": BOXES, "labels": LABELS})
    assert facts.weights != opened(other).facts().weights


def test_a_file_of_integers_runs_as_it_is_stored_and_is_not_fp32(tmp_path: Path) -> None:
    """Its precision is that of the layers that ONNX Runtime executes."""
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 32, 32))
    rows = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 1024, 6))
    constants = [
        numpy_helper.from_array(np.ones((6, 3, 1, 1), np.uint8), "w"),
        numpy_helper.from_array(np.array([1, -1, 6]), "to"),
    ]
    constants += [numpy_helper.from_array(np.array([0, 0, 9, 9, 0.5, 1], np.float32), "row")]
    constants += [numpy_helper.from_array(np.array(1e-9, np.float32), "little")]
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["bytes", "scale", "zero"]),
        helper.make_node("ConvInteger", ["bytes", "w", "zero"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["floats", "to"], ["rows"]),
        helper.make_node("Mul", ["rows", "little"], ["less"]),
        helper.make_node("Add", ["less", "row"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "integers", [image], [rows], constants)
    path = tmp_path / "integers.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    facts = open_candidate(str(path), layout=ROWS).facts()  # type: ignore[attr-defined]
    assert facts.precision == "int8" and facts.precision_layers == {"int8": 1}
    with pytest.raises(InputError, match=r"fp32 is requested, but onnxruntime executes int8 .*\[precision-fallback\]"):
        open_candidate(str(path), layout=ROWS, precision="fp32")
    allowed = open_candidate(str(path), layout=ROWS, precision="fp32", allow_fallback=True).facts()  # type: ignore[attr-defined]
    assert (allowed.precision, allowed.artefact) == ("int8", facts.artefact)


def test_the_layers_of_a_file_are_timed_in_as_many_runs_as_a_call_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of three images runs twice for five, and computes six."""
    outputs = {"boxes": BOXES, "labels": LABELS, "scores": SCORES}
    many = {name: np.repeat(value, 3, axis=0) for name, value in outputs.items()}
    candidate = opened(write(tmp_path / "three.onnx", many, shape=(3, 3, 64, 64)))
    monkeypatch.setattr(OnnxProgram, "profile", lambda self, feed, calls: (LayerTime("a", "Conv", 2.0),))
    assert candidate.profile(candidate.prepare([IMAGE] * 5), 3) == (LayerTime("a", "Conv", 4.0, 6),)
