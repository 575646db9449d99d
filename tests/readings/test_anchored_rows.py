"""Rows of a YOLO with three anchors a cell have an objectness, on their side and of 79 classes too."""

from pathlib import Path

import numpy as np
import pytest

from made_onnx import ANSWER, CELLS, center, write
from opened_files import best, layout_of, opened
from paretodet.errors import InputError

ANCHORS = 3 * CELLS


def head(*scores: float) -> np.ndarray:
    """Rows [1, N, 4 + S]: an object, and faint boxes everywhere."""
    random = np.random.default_rng(0)
    found = random.uniform(0, 0.02, (1, ANCHORS, 4 + len(scores))).astype(np.float32)
    found[0, :, :2] = random.uniform(10, 180, (ANCHORS, 2))
    found[0, :, 2:4] = random.uniform(4, 60, (ANCHORS, 2))
    found[0, 3] = [*center(), *scores]
    return found


def classes(count: int, best: int, score: float) -> list[float]:
    return [score if index == best else 0.01 for index in range(count)]


@pytest.mark.parametrize("objectness", [0.95, 0.3])
@pytest.mark.parametrize("count", [1, 3, 79])  # 79 classes and an objectness are as many columns as 80 classes
@pytest.mark.parametrize("turned", [False, True])
def test_the_objectness_of_anchors_is_no_class(tmp_path: Path, turned: bool, count: int, objectness: float) -> None:
    rows = head(objectness, *classes(count, count - 1, 0.9))
    path = write(tmp_path / "v5.onnx", {"output0": rows.transpose(0, 2, 1).copy() if turned else rows})
    candidate = opened(path)
    assert best(candidate) == (ANSWER, pytest.approx(0.9 * objectness), count - 1)
    layout = layout_of(candidate)
    assert layout.family == "YOLOv5 or v7" and layout.outputs.transposed is turned


@pytest.mark.parametrize("turned", [False, True])
def test_scores_that_the_file_joined_with_the_objectness_have_none(tmp_path: Path, turned: bool) -> None:
    rows = head(*classes(80, 7, 0.9))
    path = write(tmp_path / "joined.onnx", {"output0": rows.transpose(0, 2, 1).copy() if turned else rows})
    candidate = opened(path)
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 7)
    assert "objectness" not in layout_of(candidate).outputs.words


NAMES = {"names": "{0: 'cat', 1: 'dog'}", "stride": "32"}


def test_two_branches_of_one_shape_are_not_chosen_from(tmp_path: Path) -> None:
    """As of YOLOv9's own code, whose second branch is the one that it was made for."""
    rows = head(0.1, 0.9)[:, :CELLS].transpose(0, 2, 1).copy()
    path = write(tmp_path / "v9.onnx", {"output0": rows, "output1": rows * 0.5}, metadata=NAMES)
    with pytest.raises(InputError) as caught:
        opened(path)
    assert caught.value.id == "onnx-layout" and "output0 and output1" in caught.value.message
    layout = layout_of(opened(write(tmp_path / "one.onnx", {"output1": rows}, metadata=NAMES)))
    assert opened(path, layout=layout).labels == ("cat", "dog")


def test_masks_of_a_file_that_states_no_task_are_named(tmp_path: Path) -> None:
    """YOLOv5's metadata have the names and the stride alone."""
    outputs = {"output0": head(*[0.1] * 39), "output1": np.zeros((1, 32, 48, 48), np.float32)}
    with pytest.raises(InputError, match=r"instance segmentation.*\[onnx-task\]"):
        opened(write(tmp_path / "v5-seg.onnx", outputs, metadata=NAMES))
