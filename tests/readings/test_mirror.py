"""Boxes of a mirrored photograph: an order or unit that numbers alone do not contradict is refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from made_onnx import SIDE, rows, write
from opened_files import layout_of, opened
from paretodet.diagnosis import doctor
from paretodet.errors import InputError
from paretodet.layouts.layout import UNIT_RANGE, FileLayout, OutputLayout
from paretodet.readings.mirror import at_left, not_mirrored
from paretodet.transforms.resize_policy import Stretch

HALF = 30.0  # of the box around the middle of what is not gray
COLUMNS = {"xyxy": (0, 2), "yxyx": (1, 3)}
LAYOUT = FileLayout(family="", outputs=OutputLayout(columns=(("output0", ("box", "score", "label")),)))


def following(path: Path, order: str, *, scale: float = 1.0) -> Path:
    """Finished rows [1, 100, 6] with one box around the columns that are not gray, in pixels times `scale`."""
    middle = 90.0
    box = {"xyxy": [-HALF, middle - HALF, HALF, middle + HALF], "yxyx": [middle - HALF, -HALF, middle + HALF, HALF]}
    base = rows([*(side * scale for side in box[order]), 0.9, 0], 100)
    moved = np.zeros_like(base)
    moved[0, 0, list(COLUMNS[order])] = scale
    constants = {
        "gray": np.float32(114 / 255),
        "noise": np.float32(0.02),
        "places": np.arange(SIDE, dtype=np.float32),
        "few": np.float32(1e-6),
        "base": base,
        "moved": moved,
    }
    nodes = [
        helper.make_node("Sub", ["images", "gray"], ["from_gray"]),
        helper.make_node("Abs", ["from_gray"], ["distance"]),
        helper.make_node("Sub", ["distance", "noise"], ["above"]),
        helper.make_node("Relu", ["above"], ["seen"]),
        helper.make_node("ReduceMean", ["seen"], ["columns"], axes=[0, 1, 2], keepdims=0),
        helper.make_node("Mul", ["columns", "places"], ["weighted"]),
        helper.make_node("ReduceMean", ["weighted"], ["sum"], keepdims=0),
        helper.make_node("ReduceMean", ["columns"], ["mass"], keepdims=0),
        helper.make_node("Add", ["mass", "few"], ["some"]),
        helper.make_node("Div", ["sum", "some"], ["middle"]),
        helper.make_node("Mul", ["moved", "middle"], ["shift"]),
        helper.make_node("Add", ["base", "shift"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, SIDE, SIDE))],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, base.shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_rows_that_follow_the_photograph_are_read(tmp_path: Path) -> None:
    assert layout_of(opened(following(tmp_path / "a.onnx", "xyxy"))).outputs.unit == "pixels"
    assert layout_of(opened(following(tmp_path / "b.onnx", "xyxy", scale=1 / SIDE))).outputs.unit == "fractions"


def test_outputs_that_no_photograph_changes_are_doubtful(tmp_path: Path) -> None:
    assert "mirror image" not in opened(following(tmp_path / "a.onnx", "xyxy")).doubt
    candidate = opened(write(tmp_path / "b.onnx", {"output0": rows([60, 90, 120, 150, 0.9, 0], 100)}))
    assert "mirror image" in candidate.doubt and "mirror image" in str(candidate.reading)
    assert any("mirror image" in (check.broken or "") for check in doctor(candidate))
    empty = rows([60, 90, 120, 150, 0.1, 0], 100)  # nothing clear
    assert "mirror image" not in opened(write(tmp_path / "c.onnx", {"output0": empty})).doubt


@pytest.mark.parametrize(("order", "scale"), [("yxyx", 1.0), ("yxyx", 1 / SIDE), ("xyxy", 100 / SIDE)])
def test_rows_with_y_first_or_in_percent_are_refused(tmp_path: Path, order: str, scale: float) -> None:
    path = following(tmp_path / "a.onnx", order, scale=scale)
    with pytest.raises(InputError) as caught:
        opened(path)
    assert caught.value.id == "onnx-contradicted"
    assert "is mirrored" in caught.value.message and f"paretodet inspect {path}" in caught.value.message


def test_a_given_layout_is_not_mirrored(tmp_path: Path) -> None:
    layout = FileLayout(family="", outputs=OutputLayout(columns=LAYOUT.outputs.columns, box="yxyx"))
    assert layout_of(opened(following(tmp_path / "a.onnx", "yxyx"), layout=layout)).outputs.box == "yxyx"


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        ([10, 20, 60, 90, 0.9, 0], [140, 20, 190, 90, 0.9, 0], False),  # mirrored in 200 px
        ([10, 20, 60, 90, 0.9, 0], [120, 20, 180, 90, 0.6, 0], False),  # mirrored, and a little off
        ([10, 20, 60, 90, 0.9, 0], [12, 20, 62, 90, 0.9, 0], True),  # stays
        ([10, 20, 60, 90, 0.9, 0], [12, 20, 62, 90, 0.3, 0], False),  # nothing is clear in one of both
        ([10, 20, 60, 90, 0.9, 0], [10, 20, 60, 90, 0.9, 0], False),  # the same outputs
    ],
)
def test_clear_boxes_are_compared(first: list[float], second: list[float], refused: bool) -> None:
    answers = iter([first, second])
    against = not_mirrored(
        lambda image, pixels, policy: {"output0": torch.tensor([[next(answers)]])},
        FileLayout(family="", outputs=LAYOUT.outputs, pixels=UNIT_RANGE),
        Stretch(height=100, width=200),
        (100, 200),
        np.zeros((50, 50, 3), np.uint8),
    )
    assert bool(against) == refused


@pytest.mark.parametrize("size", [(384, 384), (100, 300), (300, 100)])
@pytest.mark.parametrize("canvas", [(192, 192), (640, 384), (96, 512)])
def test_the_photograph_fills_the_left_of_a_canvas(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    whole = at_left(np.zeros((*size, 3), np.uint8), canvas)
    assert whole.shape == (*canvas, 3)
    dark = (whole == 0).all(axis=2)
    wide, high = int(dark.any(axis=0).sum()), int(dark.any(axis=1).sum())
    assert dark[:high, :wide].all() and not dark[high:].any() and not dark[:, wide:].any()
    assert wide <= 0.6 * canvas[1] + 1 and wide / high == pytest.approx(size[1] / size[0], rel=0.05)
