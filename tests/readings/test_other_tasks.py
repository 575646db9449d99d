"""Maps and rows of other tasks are named as such."""

from pathlib import Path

import numpy as np
import pytest

from made_onnx import CELLS, SIDE, write
from opened_files import opened
from paretodet.errors import InputError

RANDOM = np.random.default_rng(0)
QUARTER = SIDE // 4


def floats(*shape: int, most: float = 1.0) -> np.ndarray:
    return RANDOM.uniform(0, most, shape).astype(np.float32)


def shares(*shape: int) -> np.ndarray:
    found = np.exp(floats(*shape, most=4.0))
    return (found / found.sum(axis=-1, keepdims=True)).astype(np.float32)


FILES = {
    "depth of MiDaS": ({"depth": floats(1, SIDE, SIDE, most=900)}, "depth"),
    "depth as a map": ({"depth": floats(1, 1, SIDE, SIDE, most=900)}, "depth"),
    "one class": ({"mask": floats(1, 1, SIDE, SIDE)}, "one channel in 0..1"),
    "numbers of classes": ({"labels": RANDOM.integers(0, 19, (1, SIDE, SIDE))}, "the number of a class"),
    "channels last": ({"logits": floats(1, SIDE, SIDE, 21)}, "segmentation: a map of 21 channels"),
    "heat maps": ({"heat": floats(1, 17, QUARTER, QUARTER)}, "heat maps of keypoints: 17 channels"),
    "masks of queries": ({"classes": floats(1, 100, 81), "masks": floats(1, 100, QUARTER, QUARTER)}, "queries"),
    "prototypes": ({"rows": floats(1, 116, CELLS), "masks": floats(1, 48, 48, 32)}, "instance segmentation"),
    "a map of one cell": (
        {"classes": floats(1, 1000, 1, 1)},
        "classification, embedding or landmarks: one row of 1000",
    ),
    "age and sex": ({"age": floats(1, 101), "sex": floats(1, 2)}, "one row of 101 and 2 numbers"),
    "characters": ({"text": shares(1, 40, 97)}, "text recognition"),
    "RTMPose": (
        {"simcc_x": floats(1, 17, 2 * SIDE), "simcc_y": floats(1, 17, 2 * SIDE)},
        "pose estimation: for 17 points a distribution",
    ),
    "MoveNet": ({"output_0": floats(1, 1, 17, 3)}, "pose estimation: 17 rows of three numbers"),
    "a mesh of a face": ({"points": floats(1, 468, 3, most=SIDE)}, "468 rows of three numbers"),
    "two heads": ({"out": floats(1, 21, SIDE, SIDE), "aux": floats(1, 21, SIDE, SIDE)}, "2 maps as large as the image"),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_task_is_named(tmp_path: Path, kind: str) -> None:
    outputs, words = FILES[kind]
    path = write(tmp_path / "task.onnx", outputs)
    with pytest.raises(InputError) as caught:
        opened(path)
    message = caught.value.message
    assert caught.value.id == "onnx-task" and words in message
    assert message.startswith(f"{path}: is of another task") and "own-model.md" in message


NONE = {
    "rows of no sum": {"rows": floats(1, 40, 97)},
    "an eighth": {"maps": floats(1, 19, SIDE // 8, SIDE // 8)},
    "one detection": {"boxes": floats(1, 4), "others": floats(1, 90)},
    "two outputs of another length": {"a": floats(1, 17, 2 * SIDE), "b": floats(1, 17, SIDE)},
    "a map and rows": {"map": floats(1, 21, SIDE, SIDE), "rows": floats(1, 40, 9)},
    "features of 32 columns": {"features": floats(1, 64, 32, 32), "rows": floats(1, 40, 9)},
    "features of 32 channels": {"features": floats(1, 32, SIDE // 8, SIDE // 8), "rows": floats(1, 40, 9)},
    "boxes and scores of an SSD in one row each": {"loc": floats(1, 34928), "conf": floats(1, 183372)},
}


@pytest.mark.parametrize("kind", NONE)
def test_what_shows_no_task_is_an_unknown_layout(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError) as caught:
        opened(write(tmp_path / "odd.onnx", NONE[kind]))
    assert caught.value.id in ("onnx-layout", "onnx-contradicted")
