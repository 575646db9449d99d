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


SSD_SIDE, SSD_ROWS = 300, 3000  # 6 priors for each of 19 * 19 + 10 * 10 + 5 * 5 + 3 * 3 + 2 * 2 + 1 cells


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("rows", [SSD_ROWS, SSD_ROWS + 1])
def test_the_ssd_of_jetson_inference_has_a_background_and_fractions(tmp_path: Path, classes: int, rows: int) -> None:
    """[BACKGROUND, ...]: with one class it has the shapes of a face detector, and another number of priors."""
    scores = np.full((1, rows, classes), 0.01 / (classes - 1), np.float32)
    boxes = np.tile(np.array([0.1, 0.1, 0.2, 0.2], np.float32), (1, rows, 1))
    scores[..., 0], scores[0, 5], boxes[0, 5] = 0.99, 0, (0.2, 0.3, 0.4, 0.5)
    scores[0, 5, [0, classes - 1]] = 0.1, 0.9
    path = write(tmp_path / "ssd.onnx", {"scores": scores, "boxes": boxes}, shape=(1, 3, SSD_SIDE, SSD_SIDE))
    if rows != SSD_ROWS and classes > 2:
        with pytest.raises(InputError, match=r"ssd\.onnx: .*onnx-contradicted"):
            opened(path)
        return
    candidate = opened(path)
    box, score, label = best(candidate)
    assert (box, label) == ([round(side * SIDE) for side in (0.2, 0.3, 0.4, 0.5)], classes - 2)
    assert score == pytest.approx(0.9) and layout_of(candidate).outputs.background == "first"
    assert candidate.labels == (() if rows == SSD_ROWS else ("face",))
    assert layout_of(candidate).pixels.std == (128.0,) * 3
