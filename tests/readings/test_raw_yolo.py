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


def reference(maps: dict[int, np.ndarray], coding: str, scales: tuple[float, ...] = (1, 1, 1)) -> np.ndarray:
    """The boxes of all rows by a loop over cells: x, y, width and height of YOLOv5's and of darknet's formulas."""
    found = []
    for sizes, scale, (stride, logits) in zip(ANCHORS, scales, maps.items(), strict=True):
        for row in range(logits.shape[1]):
            for column in range(logits.shape[2]):
                for anchor, (wide, high) in enumerate(sizes):
                    tx, ty, tw, th = logits[anchor, row, column, :4]
                    if coding == "anchors":
                        x, y = ((2 * sigmoid(t) - 0.5 + cell) * stride for t, cell in ((tx, column), (ty, row)))
                        w, h = ((2 * sigmoid(t)) ** 2 * side for t, side in ((tw, wide), (th, high)))
                    else:
                        offsets = [sigmoid(t) * scale - 0.5 * (scale - 1) for t in (tx, ty)]
                        x, y = ((offset + cell) * stride for offset, cell in zip(offsets, (column, row), strict=True))
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


@pytest.mark.parametrize("form", FORMS)
def test_the_centers_of_yolov4_are_scaled(tmp_path: Path, form: str) -> None:
    maps, scales = made(), (1.2, 1.1, 1.05)
    path = write(tmp_path / "v4.onnx", outputs(maps, form))
    assert any("scale_xy" in line for line in inspect(CandidateConfig(name=str(path))).to_toml().splitlines())
    layout = inspected(path)
    layout["meaning"] |= {"anchors": ANCHORS, "coding": "darknet", "scale_xy": list(scales)}
    given, wanted = from_data(layout), reference(maps, "darknet", scales)
    tensors = {name: torch.from_numpy(part) for name, part in outputs(maps, form).items()}
    np.testing.assert_allclose(decode(tensors, given.outputs, (SIDE, SIDE)).boxes[0], wanted, atol=2e-3)
    candidate = opened(path, layout=given)
    assert "centers scaled by 1.2, 1.1, 1.05" in str(candidate.reading)
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    found = candidate.finish(candidate.infer(candidate.prepare([image])), torch.tensor([[SIDE, SIDE]]).float())
    _, row, column, anchor = OBJECT
    number = 3 * (24 * 24 + row * 12 + column) + anchor
    np.testing.assert_allclose(found.boxes[0, 0], wanted[number].clip(0, SIDE), atol=2e-3)


@pytest.mark.parametrize(("coding", "scales"), [("darknet", [1.2]), ("anchors", [1.2, 1.1, 1.05])])
def test_scales_are_of_darknet_and_of_every_stride(tmp_path: Path, coding: str, scales: list[float]) -> None:
    layout = inspected(write(tmp_path / "raw.onnx", outputs(made(), FORMS[0])))
    layout["meaning"] |= {"anchors": ANCHORS, "coding": coding, "scale_xy": scales}
    with pytest.raises(InputError, match=r"scale_xy: .*layout-malformed"):
        from_data(layout)


V2 = [[18.33, 21.68], [59.98, 66.0], [106.83, 175.18], [60.0, 30.0], [150.0, 90.0]]  # px
V2_OBJECT = (3, 2, 1)  # row, column, anchor


def made_v2() -> np.ndarray:
    """One map [5 * (5 + K), 6, 6] of logits."""
    logits = np.random.default_rng(0).normal(0, 0.5, (5, COLUMNS, 6, 6)).astype(np.float32)
    logits[:, 4] -= 7
    row, column, anchor = V2_OBJECT
    logits[anchor, 4, row, column], logits[anchor, 6, row, column] = 6, 4
    return logits


def test_the_map_of_yolov2_is_read_once_its_anchors_are_filled_in(tmp_path: Path) -> None:
    """As of Custom Vision's compact domain."""
    logits = made_v2()
    path = write(tmp_path / "v2.onnx", {"model_outputs0": logits.reshape(1, -1, 6, 6)})
    with pytest.raises(InputError) as caught:
        opened(path)
    assert caught.value.id == "onnx-layout" and "YOLOv2" in caught.value.message
    layout = inspected(path)
    assert layout["meaning"]["strides"] == [32] and layout["meaning"]["anchors"] == [[[0, 0]] * 5]
    layout["meaning"]["anchors"] = [V2]
    candidate = opened(path, layout=from_data(layout))
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    found = candidate.finish(candidate.infer(candidate.prepare([image])), torch.tensor([[SIDE, SIDE]]).float())
    row, column, anchor = V2_OBJECT
    tx, ty, tw, th, objectness, *classes = logits[anchor, :, row, column]
    x, y = (sigmoid(tx) + column) * 32, (sigmoid(ty) + row) * 32
    w, h = np.exp(tw) * V2[anchor][0], np.exp(th) * V2[anchor][1]
    wanted = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]).clip(0, SIDE)
    np.testing.assert_allclose(found.boxes[0, 0], wanted, atol=2e-3)
    shares = np.exp(classes) / np.exp(classes).sum()
    assert float(found.scores[0, 0]) == pytest.approx(sigmoid(objectness) * shares[1], abs=1e-4)


def test_features_are_no_map_of_yolov2(tmp_path: Path) -> None:
    features = np.random.default_rng(0).uniform(0, 1, (1, 1280, 6, 6)).astype(np.float32)
    with pytest.raises(InputError) as caught:
        opened(write(tmp_path / "features.onnx", {"features": features}))
    assert "anchors are not in the file" not in caught.value.message


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


def test_boxes_and_scores_of_as_many_rows_are_so_in_the_layout_to_edit(tmp_path: Path) -> None:
    shapes = {"odd": (1, 7, 3), "cls": (1, 50, 20), "obj": (1, 50, 1), "box": (1, 50, 4)}
    odd = {name: np.full(shape, -1, np.float32) for name, shape in shapes.items()}
    found = inspect(CandidateConfig(name=str(write(tmp_path / "odd.onnx", odd))))
    columns = {each["name"]: each["columns"] for each in tomllib.loads(found.to_toml())["outputs"]}
    assert columns == {"odd": ["other"], "cls": ["classes"], "obj": ["objectness"], "box": ["box"]}


def test_an_unknown_file_has_all_its_outputs_in_the_layout_to_edit(tmp_path: Path) -> None:
    odd = {name: np.zeros((1, 9, 9, width), np.float32) for name, width in (("a", 9), ("b", 4))}
    found = inspect(CandidateConfig(name=str(write(tmp_path / "odd.onnx", odd))))
    assert [each["name"] for each in tomllib.loads(found.to_toml())["outputs"]] == ["a", "b"]
