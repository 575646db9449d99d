"""Raw maps of YOLOv8 and later: they have no anchors, and are read by their distributions."""

from pathlib import Path

import numpy as np
import pytest

from made_onnx import ANSWER, SIDE, write
from opened_files import best, layout_of, opened
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.inspecting import inspect

STRIDES = (8, 16, 32)
STRIDE, ROW, COLUMN = 16, 7, 5  # of the object: its cell has the point (88, 120)
SIDES = (28 / 16, 30 / 16, 32 / 16, 30 / 16)  # from the point to the left, the top, the right and the bottom, in cells
SCORE = 1 / (1 + np.exp(-4))


def made(classes: int, label: int) -> dict[int, np.ndarray]:
    """[64 + K, H, W] by stride: logits of one object."""
    maps = {}
    for stride in STRIDES:
        logits = np.zeros((64 + classes, SIDE // stride, SIDE // stride), np.float32)
        logits[64:] = -7
        if stride == STRIDE:
            bins = np.full((4, 16), -50, np.float32)
            for side, distance in enumerate(SIDES):
                whole, rest = int(distance), distance % 1
                bins[side, whole : whole + 2] = np.log(np.maximum([1 - rest, rest], 1e-9))
            logits[:64, ROW, COLUMN], logits[64 + label, ROW, COLUMN] = bins.ravel(), 4
        maps[stride] = logits
    return maps


def outputs(maps: dict[int, np.ndarray], form: str) -> dict[str, np.ndarray]:
    found = {}
    for stride, logits in maps.items():
        if form == "joined":
            found[f"map{stride}"] = logits[None]
            continue
        found |= {f"box{stride}": logits[None, :64], f"class{stride}": logits[None, 64:]}
        if form == "Rockchip":
            shares = 1 / (1 + np.exp(-logits[None, 64:]))
            found |= {f"class{stride}": shares, f"sum{stride}": shares.sum(axis=1, keepdims=True)}
    return {name: np.ascontiguousarray(part, np.float32) for name, part in found.items()}


@pytest.mark.parametrize("classes", [2, 80])  # with 64 numbers, both can be divided by three anchors
@pytest.mark.parametrize("form", ["joined", "apart", "Rockchip"])
def test_maps_of_distributions_are_read(tmp_path: Path, form: str, classes: int) -> None:
    label = classes - 1
    candidate = opened(write(tmp_path / "raw.onnx", outputs(made(classes, label), form)))
    assert best(candidate) == (ANSWER, pytest.approx(SCORE, abs=1e-4), label)
    layout = layout_of(candidate)
    assert (layout.outputs.strides, layout.fit) == (STRIDES, "letterbox")
    assert layout.outputs.activation == ("none" if form == "Rockchip" else "sigmoid")


def test_the_classes_of_the_metadata_are_theirs(tmp_path: Path) -> None:
    metadata = {"names": "['cat', 'dog']", "stride": "32"}
    path = write(tmp_path / "raw.onnx", outputs(made(2, 1), "joined"), metadata=metadata)
    assert opened(path).labels == ("cat", "dog")


def anchored(classes: int) -> dict[str, np.ndarray]:
    """Maps [1, 3 * (5 + K), H, W] of a YOLOv5."""
    random, found = np.random.default_rng(0), {}
    for stride in STRIDES:
        cells = SIDE // stride
        logits = random.normal(0, 0.5, (3, 5 + classes, cells, cells)).astype(np.float32)
        logits[:, 4:] -= 7
        found[f"map{stride}"] = logits.reshape(1, -1, cells, cells)
    return found


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize("classes", [17, 20, 43, 80])  # of 43, the 144 channels are 64 + 80 too
def test_maps_with_anchors_of_as_many_channels_lack_their_anchors(tmp_path: Path, classes: int, shares: bool) -> None:
    maps = anchored(classes)
    maps = {name: (1 / (1 + np.exp(-part))).astype(np.float32) if shares else part for name, part in maps.items()}
    path = write(tmp_path / "raw.onnx", maps)
    with pytest.raises(InputError, match=r"anchors are not in the file.*\[onnx-layout\]"):
        opened(path)
    assert inspect(CandidateConfig(name=str(path))).layout.outputs.has_gaps


@pytest.mark.parametrize("change", ["one stride", "unequal", "no bins"])
def test_other_maps_are_not_read_so(tmp_path: Path, change: str) -> None:
    found = outputs(made(2, 1), "apart")
    if change == "one stride":
        found = {name: part for name, part in found.items() if name.endswith("16")}
    elif change == "unequal":
        found["class8"] = found["class8"][:, :1]
    else:
        found |= {name: part[:, :60] for name, part in found.items() if name.startswith("box")}
    with pytest.raises(InputError) as caught:
        opened(write(tmp_path / "raw.onnx", found))
    assert caught.value.id == "onnx-layout" and "YOLOv8 or later" not in caught.value.message
