"""Boxes and scores of every cell as two outputs, in the forms of several exporters."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from made_onnx import ANSWER, BOX, CELLS, SIDE, center, fractions, write
from opened_files import best, layout_of, opened
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.inspecting import inspect
from paretodet.layouts.layout import UNIT_RANGE
from paretodet.transforms.resize_policy import Stretch

ANCHORS = 3 * CELLS
LABEL = 7


def pair(first: tuple[float, ...], others: tuple[float, ...], count: int = ANCHORS) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [N, 4] and scores [N, 80] of one object."""
    boxes, scores = np.tile(np.array(others, np.float32), (count, 1)), np.zeros((count, 80), np.float32)
    boxes[3], scores[3, LABEL] = first, 0.9
    return boxes, scores


@pytest.mark.parametrize("names", [("boxes", "confs"), ("a", "b")])
def test_boxes_that_stand_alone_in_a_dimension_are_of_pytorch_yolov4(tmp_path: Path, names: tuple[str, str]) -> None:
    boxes, scores = pair(fractions(), (0.1, 0.1, 0.2, 0.2))
    outputs = dict(zip(names, (boxes[None, :, None], scores[None]), strict=True))
    candidate = opened(write(tmp_path / "yolov4.onnx", outputs))
    assert best(candidate) == (ANSWER, pytest.approx(0.9), LABEL)
    layout = layout_of(candidate)
    assert (layout.outputs.unit, layout.outputs.suppressed, layout.pixels) == ("fractions", False, UNIT_RANGE)
    assert isinstance(candidate.session.fit, Stretch)


def test_such_boxes_in_pixels_are_refused(tmp_path: Path) -> None:
    boxes, scores = pair(BOX, (10, 10, 30, 40))
    with pytest.raises(InputError, match=r"yolov4\.onnx: .*\[onnx-contradicted\]"):
        opened(write(tmp_path / "yolov4.onnx", {"boxes": boxes[None, :, None], "confs": scores[None]}))


def paddle(path: Path) -> Path:
    """PP-YOLOE without its suppression."""
    boxes, scores = pair(BOX, (10, 10, 30, 40), CELLS)
    return write(path, {"tmp_17": boxes[None], "concat_14.tmp_0": scores.T[None].copy()})


def yolov3(path: Path) -> Path:
    """YOLOv3 of ultralytics in 2020: no batch, fractions."""
    boxes, scores = pair(tuple(center(scale=1 / SIDE)), (0.5, 0.5, 0.1, 0.1))
    return write(path, {"classes": scores, "boxes": boxes})


@pytest.mark.parametrize("made", [paddle, yolov3], ids=lambda made: made.__name__)
def test_pairs_of_other_forms_are_read_by_the_layout_that_inspect_writes(
    tmp_path: Path, made: Callable[[Path], Path]
) -> None:
    path = made(tmp_path / "net.onnx")
    found = inspect(CandidateConfig(name=str(path)))
    with pytest.raises(InputError, match="pixels-unknown"):
        opened(path)
    candidate = opened(path, layout=found.layout)
    assert best(candidate) == (ANSWER, pytest.approx(0.9), LABEL)
    assert found.layout.outputs.transposed is (made is paddle)
