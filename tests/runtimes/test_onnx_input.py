"""What ONNX files read: the image with or without a batch, and the inputs beside it; others are refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from made_onnx import ANSWER, BOX, SIDE, separate, write
from opened_files import IMAGE, best, opened
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.inspecting import inspect
from paretodet.layouts.layout import FileLayout, OutputLayout
from paretodet.runtimes.graph import FileSession, Port
from paretodet.runtimes.onnx_input import recognize_input
from paretodet.types import Images

COLUMNS = (("boxes", ("box",)), ("scores", ("score",)), ("labels", ("label",)))
LAYOUT = FileLayout(family="a test", outputs=OutputLayout(columns=COLUMNS, keep=100))


def made(path: Path, *extra: tuple[str, int, tuple[Any, ...]], shape: tuple[Any, ...] = (1, 3, SIDE, SIDE)) -> Path:
    """A file with `extra` inputs, which it does not use: names, types and shapes."""
    outputs = dict(zip(("boxes", "scores", "labels"), separate(BOX, label=2), strict=True))
    path = write(path, outputs, shape=shape)
    model = onnx.load(path)
    for name, kind, sides in extra:
        model.graph.input.append(helper.make_tensor_value_info(name, kind, sides))
    onnx.save(model, path)
    return path


def fed(path: Path) -> dict[str, np.ndarray]:
    candidate = opened(path, layout=LAYOUT)
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 2)
    assert isinstance(candidate.session, FileSession)
    return candidate.session.input.feed(candidate.prepare([IMAGE]))


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT, TensorProto.BOOL])
@pytest.mark.parametrize(("sides", "expected"), [((1, 64, 64), (1, 64, 64)), (("b", "h", "w"), (1, SIDE, SIDE))])
def test_a_mask_of_the_whole_canvas_is_fed(tmp_path: Path, kind: int, sides: Any, expected: tuple[int, ...]) -> None:
    found = fed(made(tmp_path / "detr.onnx", ("pixel_mask", kind, sides)))["pixel_mask"]
    assert found.shape == expected and found.all()
    assert found.dtype == helper.tensor_dtype_to_np_dtype(kind)


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32])
@pytest.mark.parametrize("sides", [(1, 2), ("n", 2), (2,)])
def test_sizes_are_fed_in_their_type_and_rank(tmp_path: Path, kind: int, sides: tuple[Any, ...]) -> None:
    found = fed(made(tmp_path / "detr.onnx", ("orig_target_sizes", kind, sides)))["orig_target_sizes"]
    assert found.dtype == helper.tensor_dtype_to_np_dtype(kind)
    assert found.shape == ((2,) if len(sides) == 1 else (1, 2))
    assert found.ravel().tolist() == [SIDE, SIDE]


def test_sizes_are_width_and_height() -> None:
    ports = [
        Port("x", ("b", 3, 64, 96), "tensor(float)"),
        Port("orig_target_sizes", (2,), "tensor(int32)"),
        Port("im_shape", ("b", 2), "tensor(float)"),
        Port("scale_factor", ("b", 2), "tensor(float)"),
    ]
    found = recognize_input(ports)
    assert (found.height, found.width, found.batch) == (64, 96, 1)  # its sizes are of one image
    assert found.others == ("orig_target_sizes", "im_shape", "scale_factor")
    assert [each.role for each in found.beside] == ["target", "inside", "factor"]


@pytest.mark.parametrize("kind", ["tensor(float)", "tensor(float16)"])
def test_floats_beside_the_image_are_of_their_type(kind: str) -> None:
    names = ("orig_target_sizes", "im_shape", "scale_factor")
    found = recognize_input([Port("x", (1, 3, 64, 96), kind), *(Port(name, (1, 2), kind) for name in names)])
    assert [each.role for each in found.beside] == ["target", "inside", "factor"] and not found.sized
    feed = found.feed(Images(torch.zeros(1, 3, 64, 96, dtype=torch.uint8), torch.tensor([[48.0, 96.0]])))
    assert [feed[name].tolist() for name in names] == [[[96, 64]], [[48, 96]], [[1, 1]]]
    assert {str(each.dtype) for each in feed.values()} == {"float32" if kind == "tensor(float)" else "float16"}


@pytest.mark.parametrize("shape", [(3, SIDE, SIDE), (SIDE, SIDE, 3)])
def test_an_image_without_a_batch_is_one_image(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = made(tmp_path / "tv.onnx", shape=shape)
    assert fed(path)["images"].shape == shape
    candidate = opened(path, layout=LAYOUT)
    two = candidate.infer(candidate.prepare([IMAGE, IMAGE]))
    assert two.scores.shape[0] == 2 and np.array_equal(two.boxes[0], two.boxes[1])


def test_the_pixels_without_a_batch_are_those_of_the_image(tmp_path: Path) -> None:
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, (3, 8, 8))
    row = numpy_helper.from_array(np.array([[[0, 0, 4, 4, 1, 0]]], np.float32), "row")
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Mul", ["row", "m"], ["y"]),
    ]
    rows = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 1, 6))
    graph = helper.make_graph(nodes, "max", [image], [rows], [row])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "max.onnx"
    )
    layout = FileLayout(family="a test", outputs=OutputLayout(columns=(("y", ("box", "score", "label")),)))
    candidate = opened(tmp_path / "max.onnx", layout=layout)
    assert candidate.infer(candidate.prepare([IMAGE])).scores[0, 0].item() == pytest.approx(51 / 255)


UNKNOWN: list[tuple[tuple[tuple[str, int, tuple[Any, ...]], ...], tuple[int, ...], str]] = [
    ((), (1, 1, SIDE, SIDE), "images is not an image of 3 channels"),
    ((), (1, SIDE, SIDE), "images is not an image of 3 channels"),
    ((("anchors", TensorProto.FLOAT, (1, 9)),), (1, 3, SIDE, SIDE), "anchors tensor(float) [1, 9] is not known"),
    ((("mask", TensorProto.BOOL, (1, 8, 8)),), (1, 3, SIDE, SIDE), "mask tensor(bool) [1, 8, 8] is not known"),
    ((("shape", TensorProto.INT32, (1, 2)),), (1, 3, SIDE, SIDE), "shape tensor(int32) [1, 2] is not known"),
    (
        (("first", TensorProto.INT64, (1, 2)), ("second", TensorProto.INT64, (1, 2))),
        (1, 3, SIDE, SIDE),
        "second tensor(int64) [1, 2] is not known",
    ),
]


@pytest.mark.parametrize(("extra", "shape", "seen"), UNKNOWN, ids=[seen.split(" ")[0] for _, _, seen in UNKNOWN])
def test_an_input_that_is_not_known_is_named_with_a_way_out(
    tmp_path: Path, extra: Any, shape: tuple[int, ...], seen: str
) -> None:
    path = made(tmp_path / "odd.onnx", *extra, shape=shape)
    with pytest.raises(InputError) as caught:
        opened(path)
    assert caught.value.id == "onnx-layout" and seen in caught.value.message
    assert caught.value.message.startswith(f"{path}: inputs: got images tensor(float)")
    assert "module:make" in caught.value.message and "paretodet inspect" in caught.value.message


def test_inspect_shows_what_a_file_states_whose_inputs_are_not_known(tmp_path: Path) -> None:
    path = made(tmp_path / "odd.onnx", ("anchors", TensorProto.FLOAT, (1, 9)))
    found = inspect(CandidateConfig(name=str(path)))
    assert found.reading is None and "anchors" in str(found.refused)
    text, data = found.to_toml(), found.to_json()
    assert "# refused: " in text and "boxes [1, 100, 4]" in text
    assert data["image"] is None and data["outputs"]["boxes"] == [1, 100, 4]
    with pytest.raises(InputError, match="size-unsupported"):
        inspect(CandidateConfig(name=str(made(tmp_path / "net.onnx")), height=64))


def test_a_size_inside_the_file_that_its_input_leaves_open_is_asked_for(tmp_path: Path) -> None:
    path = made(tmp_path / "net.onnx", shape=(1, 3, "h", "w"))
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.array([3, 64 * 64]), "fixed"))
    model.graph.node.insert(1, helper.make_node("Reshape", ["pixels", "fixed"], ["flat"]))
    for node in model.graph.node[2:]:
        node.input[:] = ["flat" if name == "pixels" else name for name in node.input]
    onnx.save(model, path)
    with pytest.raises(InputError) as caught:
        opened(path, layout=LAYOUT)
    assert caught.value.id == "graph-failed"
    assert "cannot run at 640x640" in caught.value.message and "--size" in caught.value.message
