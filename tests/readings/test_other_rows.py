"""Rows of poses and of oriented boxes are named as such by what their columns hold, and detections are not."""

from pathlib import Path

import numpy as np
import pytest

from made_onnx import ANSWER, CELLS, SIDE, write
from opened_files import best, layout_of, opened
from paretodet.errors import InputError
from paretodet.layouts.layout import FileLayout, OutputLayout

RANDOM = np.random.default_rng(0)
FINISHED = 100


def columns(count: int = CELLS) -> tuple[np.ndarray, np.ndarray]:
    """Centers and sides of boxes, px; the first is ANSWER."""
    centers, sides = RANDOM.uniform(10, 180, (count, 2)), RANDOM.uniform(4, 60, (count, 2))
    centers[0], sides[0] = (90, 120), (60, 60)
    return centers, sides


def scores(count: int, classes: int) -> np.ndarray:
    found = RANDOM.uniform(0, 0.02, (count, classes))
    found[0, 0] = 0.9
    return found


def points(centers: np.ndarray, sides: np.ndarray, count: int, width: int) -> np.ndarray:
    found = centers[:, None] + RANDOM.uniform(-0.6, 0.6, (len(centers), count, 2)) * sides[:, None]
    seen = RANDOM.uniform(0, 1, (len(centers), count, width - 2))
    return np.concatenate((found, seen), axis=2).reshape(len(centers), -1)


def joined(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts, axis=1).astype(np.float32)[None]


def dense(*parts: np.ndarray) -> np.ndarray:
    """As Ultralytics has it: [1, columns, N]."""
    return joined(*parts).transpose(0, 2, 1).copy()


def corners(centers: np.ndarray, sides: np.ndarray) -> np.ndarray:
    return np.concatenate((centers - sides / 2, centers + sides / 2), axis=1)


def pose(count: int, width: int, classes: int = 1, last: int = 0) -> np.ndarray:
    centers, sides = columns()
    ends = RANDOM.uniform(0, 1, (CELLS, last))
    return joined(centers, sides, scores(CELLS, classes), points(centers, sides, count, width), ends)


def finished_pose() -> np.ndarray:
    centers, sides = columns(FINISHED)
    labels = np.zeros((FINISHED, 1))
    return joined(corners(centers, sides), scores(FINISHED, 1), labels, points(centers, sides, 17, 3))


POSES = {
    "Ultralytics": (lambda: pose(17, 3).transpose(0, 2, 1).copy(), "from column 5 on 17 points of x, y and a score"),
    "without visibility": (lambda: pose(4, 2).transpose(0, 2, 1).copy(), "from column 5 on 4 points of x and y"),
    "two classes": (lambda: pose(9, 3, 2).transpose(0, 2, 1).copy(), "from column 6 on 9 points"),
    "YOLOv7": (lambda: pose(17, 3, 2), "from column 6 on 17 points"),
    "YOLOv5-Face": (lambda: pose(5, 2, 1, 1), "from column 5 on 5 points of x and y"),
    "finished": (finished_pose, "from column 6 on 17 points"),
    "fractions": (lambda: pose(17, 3).transpose(0, 2, 1) / np.float32(SIDE), "17 points"),
}


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        opened(path)
    assert str(path) in caught.value.message and caught.value.id == "onnx-task"
    return caught.value


@pytest.mark.parametrize("kind", POSES)
def test_points_near_their_box_are_poses(tmp_path: Path, kind: str) -> None:
    make, seen = POSES[kind]
    error = refused(write(tmp_path / "pose.onnx", {"output0": make()}))
    assert "poses or landmarks" in error.message and seen in error.message and "--layout" in error.message


def test_the_boxes_of_a_pose_are_read_by_a_layout(tmp_path: Path) -> None:
    path = write(tmp_path / "pose.onnx", {"output0": pose(17, 3).transpose(0, 2, 1).copy()})
    columns = (("output0", ("box", "classes*1", "other")),)
    outputs = OutputLayout(columns=columns, transposed=True, box="cxcywh", suppressed=False)
    candidate = opened(path, layout=FileLayout(family="pose", outputs=outputs))
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 0)


def angles(count: int) -> np.ndarray:
    return RANDOM.uniform(-np.pi / 4, 3 * np.pi / 4, (count, 1))


def finished_oriented() -> np.ndarray:
    labels = RANDOM.integers(0, 15, (FINISHED, 1))
    return joined(*columns(FINISHED), scores(FINISHED, 1), labels, angles(FINISHED))


def of_mmrotate() -> dict[str, np.ndarray]:
    rows = joined(*columns(FINISHED), angles(FINISHED), scores(FINISHED, 1))
    return {"dets": rows, "labels": np.zeros((1, FINISHED), np.int64)}


def of_paddle() -> dict[str, np.ndarray]:
    quads = RANDOM.uniform(0, SIDE, (1, CELLS, 8)).astype(np.float32)
    return {"boxes": quads, "scores": scores(CELLS, 15).T[None].astype(np.float32)}


ORIENTED = {
    "Ultralytics": lambda: {"output0": dense(*columns(), scores(CELLS, 15), angles(CELLS))},
    "one class": lambda: {"output0": dense(*columns(), scores(CELLS, 1), angles(CELLS))},
    "finished": lambda: {"output0": finished_oriented()},
    "MMRotate": of_mmrotate,
    "PP-YOLOE-R": of_paddle,
}


@pytest.mark.parametrize("kind", ORIENTED)
def test_an_angle_or_four_corners_are_oriented_boxes(tmp_path: Path, kind: str) -> None:
    assert "oriented boxes" in refused(write(tmp_path / "obb.onnx", ORIENTED[kind]())).message


def test_detections_are_no_other_task(tmp_path: Path) -> None:
    candidate = opened(write(tmp_path / "detector.onnx", {"output0": dense(*columns(), scores(CELLS, 9))}))
    assert best(candidate)[0] == ANSWER and layout_of(candidate).family == "YOLOv8 or later"


def test_finished_rows_of_many_labels_are_no_other_task(tmp_path: Path) -> None:
    centers, sides = columns(FINISHED)
    labels = RANDOM.integers(0, 80, (FINISHED, 1))
    path = write(tmp_path / "end.onnx", {"output0": joined(corners(centers, sides), scores(FINISHED, 1), labels)})
    assert best(opened(path))[0] == ANSWER
