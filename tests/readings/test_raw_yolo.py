"""Raw maps of a YOLO with anchors: refused with a layout that reads them once the anchors are in it."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from made_onnx import SIDE, write
from opened_files import opened
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.inspecting import inspect
from paretodet.layouts.decode import decode
from paretodet.layouts.files import from_data

CLASSES, COLUMNS = 2, 7
STRIDES = (8, 16, 32)
ANCHORS = [[[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 80]], [[80, 90], [90, 120], [150, 160]]]
FORMS = ["anchors, rows, columns", "channels", "rows, columns, anchors"]
OBJECT = (1, 7, 5, 2)  # stride, row, column, anchor


def sigmoid(values: Any) -> Any:
    return 1 / (1 + np.exp(-values))


def made() -> dict[int, np.ndarray]:
    """[A, H, W, columns] by stride: logits of one object, and of faint ones everywhere."""
    random = np.random.default_rng(0)
    maps = {}
    for level, stride in enumerate(STRIDES):
        cells = SIDE // stride
        logits = random.normal(0, 0.5, (3, cells, cells, COLUMNS)).astype(np.float32)
        logits[..., 4:] -= 7
        if level == OBJECT[0]:
            logits[OBJECT[3], OBJECT[1], OBJECT[2], 4:6] = 6
        maps[stride] = logits
    return maps


def reference(maps: dict[int, np.ndarray], coding: str) -> np.ndarray:
    """The boxes of all rows by a loop over cells: x, y, width and height of YOLOv5's and of darknet's formulas."""
    found = []
    for sizes, (stride, logits) in zip(ANCHORS, maps.items(), strict=True):
        for row in range(logits.shape[1]):
            for column in range(logits.shape[2]):
                for anchor, (wide, high) in enumerate(sizes):
                    tx, ty, tw, th = logits[anchor, row, column, :4]
                    if coding == "anchors":
                        x, y = ((2 * sigmoid(t) - 0.5 + cell) * stride for t, cell in ((tx, column), (ty, row)))
                        w, h = ((2 * sigmoid(t)) ** 2 * side for t, side in ((tw, wide), (th, high)))
                    else:
                        x, y = ((sigmoid(t) + cell) * stride for t, cell in ((tx, column), (ty, row)))
                        w, h = (np.exp(t) * side for t, side in ((tw, wide), (th, high)))
                    found.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return np.array(found)


def outputs(maps: dict[int, np.ndarray], form: str) -> dict[str, np.ndarray]:
    if form == "channels":
        parts = {stride: each.transpose(0, 3, 1, 2).reshape(-1, *each.shape[1:3]) for stride, each in maps.items()}
    else:
        parts = {stride: each if form == FORMS[0] else each.transpose(1, 2, 0, 3) for stride, each in maps.items()}
    return {f"map{stride}": np.ascontiguousarray(each[None]) for stride, each in parts.items()}


def inspected(path: Path) -> dict[str, Any]:
    """The layout file that is written, as data."""
    found = inspect(CandidateConfig(name=str(path)))
    assert found.reading is None and "anchors are not in the file" in str(found.refused)
    return tomllib.loads(found.to_toml())


@pytest.mark.parametrize("coding", ["anchors", "darknet"])
@pytest.mark.parametrize("form", FORMS)
def test_the_layout_reads_the_file_once_its_anchors_are_filled_in(tmp_path: Path, form: str, coding: str) -> None:
    maps = made()
    path = write(tmp_path / "raw.onnx", outputs(maps, form))
    layout = inspected(path)
    assert [each["name"] for each in layout["outputs"]] == ["map8", "map16", "map32"]
    assert layout["meaning"]["strides"] == list(STRIDES) and layout["meaning"]["activation"] == "sigmoid"
    assert layout["meaning"]["anchors"] == [[[0, 0]] * 3] * 3
    layout["meaning"] |= {"anchors": ANCHORS, "coding": coding}
    given = from_data(layout)
    tensors = {name: torch.from_numpy(part) for name, part in outputs(maps, form).items()}
    wanted = reference(maps, coding)
    np.testing.assert_allclose(decode(tensors, given.outputs, (SIDE, SIDE)).boxes[0], wanted, atol=2e-3)
    found = opened(path, layout=given)
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    detected = found.finish(found.infer(found.prepare([image])), torch.tensor([[SIDE, SIDE]]).float())
    stride, row, column, anchor = OBJECT
    number = 3 * (24 * 24 + row * 12 + column) + anchor
    assert float(detected.scores[0, 0]) == pytest.approx(sigmoid(np.float32(6)) ** 2, abs=1e-4)
    np.testing.assert_allclose(detected.boxes[0, 0], wanted[number].clip(0, SIDE), atol=2e-3)


def test_anchors_that_are_not_filled_in_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "raw.onnx", outputs(made(), FORMS[0]))
    with pytest.raises(InputError, match=r"anchors: got a side of 0.*layout file"):
        opened(path, layout=from_data(inspected(path)))


def test_the_refusal_names_what_is_missing_and_the_way_out(tmp_path: Path) -> None:
    path = write(tmp_path / "raw.onnx", outputs(made(), FORMS[0]))
    with pytest.raises(InputError) as caught:
        opened(path)
    assert caught.value.id == "onnx-layout"
    assert f"`paretodet inspect {path}`" in caught.value.message and "(8, 16, 32)" in caught.value.message


def test_sigmoids_in_the_file_are_seen(tmp_path: Path) -> None:
    maps = {stride: sigmoid(each).astype(np.float32) for stride, each in made().items()}
    path = write(tmp_path / "raw.onnx", outputs(maps, "channels"))
    assert inspected(path)["meaning"]["activation"] == "none"


def test_strides_are_in_the_order_of_the_outputs(tmp_path: Path) -> None:
    maps = dict(reversed(made().items()))
    assert inspected(write(tmp_path / "raw.onnx", outputs(maps, "channels")))["meaning"]["strides"] == [32, 16, 8]


@pytest.mark.parametrize("change", ["channels", "stride", "one"])
def test_maps_that_are_no_pyramid_are_no_raw_yolo(tmp_path: Path, change: str) -> None:
    found = outputs(made(), "channels")
    if change == "channels":
        found["map8"] = np.zeros((1, 24, 24, 24), np.float32)
    elif change == "stride":
        found["map8"] = np.zeros((1, 21, 23, 23), np.float32)
    else:
        found = {"map8": found["map8"]}
    with pytest.raises(InputError) as caught:
        opened(write(tmp_path / "raw.onnx", found))
    assert "anchors are not in the file" not in caught.value.message


def test_an_unknown_file_has_all_its_outputs_in_the_layout_to_edit(tmp_path: Path) -> None:
    odd = {name: np.zeros((1, 9, 9, width), np.float32) for name, width in (("a", 9), ("b", 4))}
    found = inspect(CandidateConfig(name=str(write(tmp_path / "odd.onnx", odd))))
    assert [each["name"] for each in tomllib.loads(found.to_toml())["outputs"]] == ["a", "b"]
