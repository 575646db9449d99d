"""The layouts of docs/layouts read files of their families as the conventions do, or as `inspect` writes them."""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from made_onnx import ANSWER, BOX, CELLS, SIDE, center, fractions, rows, separate, write
from opened_files import best, layout_of, opened
from paretodet.config import CandidateConfig
from paretodet.inspecting import inspect
from paretodet.layouts.decode import decode
from paretodet.layouts.files import from_data, read_layout

DOCS = Path(__file__).parents[2] / "docs"
LAYOUTS = DOCS / "layouts"
GUIDE = (DOCS / "how-to/own-model.md").read_text(encoding="utf-8")
LABEL = 7
AT = (16, 7, 5)  # stride, row and column of the cell that finds the object: its corner is at 80, 112
Outputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Made:
    """A file of a family, and what is found in it."""

    path: Path
    label: int = LABEL
    score: float = 0.9


def cells(stride: int) -> int:
    return (SIDE // stride) ** 2


def index() -> int:
    """The row of the object among those of its stride."""
    return AT[1] * (SIDE // AT[0]) + AT[2]


def scores(count: int = 80, score: float = 0.9) -> list[float]:
    return [score if label == LABEL else 0.0 for label in range(count)]


def head(first: list[float], count: int = CELLS) -> np.ndarray:
    """Rows [1, count, columns] of one object, and of faint boxes everywhere."""
    random = np.random.default_rng(0)
    found = random.uniform(0, 0.02, (1, count, len(first))).astype(np.float32)
    found[0, :, :2], found[0, :, 2:4] = random.uniform(10, 180, (count, 2)), random.uniform(4, 60, (count, 2))
    found[0, 0] = first
    return found


def distributions(offset: float, bins: int) -> np.ndarray:
    """Logits [4 * bins] of the distances from the point of the object's cell to the sides of BOX."""
    x, y = (AT[2] + offset) * AT[0], (AT[1] + offset) * AT[0]
    logits = np.full((4, bins), -50, np.float32)
    for side, pixels in enumerate((x - BOX[0], y - BOX[1], BOX[2] - x, BOX[3] - y)):
        whole, rest = divmod(pixels / AT[0], 1)
        logits[side, int(whole) : int(whole) + 2] = np.log(np.maximum([1 - rest, rest], 1e-9))
    return logits.ravel()


def yolov5(path: Path) -> Made:
    return Made(write(path, {"output0": head([*center(), 1, *scores()], 3 * CELLS)}))


def yolov5_raw(path: Path) -> Made:
    """The object by the second anchor of stride 16, 62x45: a center of 2 s - 0.5 and sides of 4 s * s times its own."""
    maps = {f"output{level}": np.zeros((1, 3, side, side, 85), np.float32) for level, side in enumerate((24, 12, 6))}
    for part in maps.values():
        part[..., 4:] = -7
    centers = [(90 / 16 - AT[2] + 0.5) / 2, (120 / 16 - AT[1] + 0.5) / 2]
    shares = np.array([*centers, (60 / 62) ** 0.5 / 2, (60 / 45) ** 0.5 / 2])
    cell = maps["output1"][0, 1, AT[1], AT[2]]
    cell[:4], cell[4], cell[5 + LABEL] = np.log(shares / (1 - shares)), 9, np.log(9)
    return Made(write(path, maps))


def yolox(path: Path) -> Made:
    raw = np.zeros((1, CELLS, 85), np.float32)
    raw[0, :, 2:4] = -1.5
    log_side = np.log(60 / AT[0])
    raw[0, cells(8) + index()] = [90 / AT[0] - AT[2], 120 / AT[0] - AT[1], log_side, log_side, 1, *scores()]
    return Made(write(path, {"output": raw}, operators=("Sigmoid",), of_bytes=True))


def yolov6(path: Path) -> Made:
    found = head([*center(), 1, *scores()])
    found[0, :, 4] = 1
    return Made(write(path, {"outputs": found}))


def yolov8(path: Path) -> Made:
    return Made(write(path, {"output0": head([*center(), *scores()]).transpose(0, 2, 1).copy()}))


def yolov8_raw(path: Path) -> Made:
    maps = {}
    for level, stride in enumerate((8, 16, 32)):
        logits = np.zeros((1, 144, SIDE // stride, SIDE // stride), np.float32)
        logits[0, 64:] = -7
        if stride == AT[0]:
            logits[0, :64, AT[1], AT[2]], logits[0, 64 + LABEL, AT[1], AT[2]] = distributions(0.5, 16), np.log(9)
        maps[f"output{level}"] = logits
    return Made(write(path, maps))


def yolo_end_to_end(path: Path) -> Made:
    return Made(write(path, {"output0": rows([*BOX, 0.9, LABEL], 300)}))


def yolo_nas(path: Path) -> Made:
    boxes, found = np.tile(np.array([10, 10, 30, 40], np.float32), (1, CELLS, 1)), np.zeros((1, CELLS, 80), np.float32)
    boxes[0, 3], found[0, 3] = BOX, scores()
    return Made(write(path, {"graph2_boxes": boxes, "graph2_scores": found}))


def queries(columns: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and logits of DETR's kin."""
    boxes, logits = np.full((1, count, 4), 0.5, np.float32), np.full((1, count, columns), -6, np.float32)
    boxes[0, 0], logits[0, 0, LABEL] = center(scale=1 / SIDE), np.log(9)
    return boxes, logits


def detr(path: Path) -> Made:
    boxes, logits = queries(92, 100)
    logits[0, 1:, 91], logits[0, 0, 91] = 6, 0  # most queries find no object
    return Made(write(path, {"logits": logits, "pred_boxes": boxes}), score=9 / (10 + 90 * np.exp(-6)))


def rf_detr(path: Path) -> Made:
    boxes, logits = queries(91, 300)
    return Made(write(path, {"dets": boxes, "labels": logits}))


def detr_deployed(path: Path) -> Made:
    """With a first convolution of 3x3, as of a convolutional backbone."""
    boxes, found, labels = separate(BOX, LABEL, 300)
    model = onnx.load(write(path, {"labels": labels, "boxes": boxes, "scores": found}, operators=("Sigmoid",)))
    model.graph.input.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, (1, 2)))
    next(node for node in model.graph.node if node.op_type == "Conv").attribute.append(
        helper.make_attribute("kernel_shape", [3, 3])
    )
    weights = next(each for each in model.graph.initializer if each.name == "weights")
    weights.CopyFrom(numpy_helper.from_array(np.zeros((1, 3, 3, 3), np.float32), "weights"))
    onnx.save(model, path)
    return Made(path)


def mmdeploy(path: Path) -> Made:
    boxes, found, labels = separate(BOX, LABEL)
    return Made(write(path, {"dets": np.concatenate((boxes, found[..., None]), axis=2), "labels": labels}))


def tensorflow_ssd(path: Path) -> Made:
    x1, y1, x2, y2 = fractions()
    boxes, found, labels = separate((y1, x1, y2, x2), LABEL + 1)
    outputs = {
        "detection_boxes": boxes,
        "detection_scores": found,
        "detection_classes": labels.astype(np.float32),
        "num_detections": np.ones(1, np.float32),
    }
    return Made(write(path, outputs, kind=TensorProto.UINT8, shape=(1, SIDE, SIDE, 3)))


def onnx_zoo_ssd(path: Path) -> Made:
    boxes, found, labels = separate(fractions(), LABEL + 1, 300)
    return Made(write(path, {"bboxes": boxes, "labels": labels, "scores": found}))


def nanodet(path: Path) -> Made:
    strides = (8, 16, 32, 64)
    found = np.zeros((1, sum(map(cells, strides)), 80 + 32), np.float32)
    found[0, :, 80:] = np.random.default_rng(0).uniform(-3, 3, (found.shape[1], 32))
    found[0, cells(8) + index()] = [*scores(), *distributions(0, 8)]
    return Made(write(path, {"output": found}))


def picodet(path: Path) -> Made:
    outputs = {}
    for part, width in enumerate((80, 32)):
        for level, stride in enumerate((8, 16, 32, 64)):
            name = f"save_infer_model/scale_{4 * part + level}.tmp_1"
            outputs[name] = np.zeros((1, cells(stride), width), np.float32)
    outputs["save_infer_model/scale_1.tmp_1"][0, index()] = scores()
    outputs["save_infer_model/scale_5.tmp_1"][0, index()] = distributions(0.5, 8)
    return Made(write(path, outputs))


def yunet(path: Path) -> Made:
    outputs = {
        f"{kind}_{stride}": np.zeros((1, cells(stride), width), np.float32)
        for stride in (8, 16, 32)
        for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
    }
    log_side = np.log(60 / AT[0])
    outputs["cls_16"][0, index()], outputs["obj_16"][0, index()] = 0.9, 0.4
    outputs["bbox_16"][0, index()] = [90 / AT[0] - AT[2], 120 / AT[0] - AT[1], log_side, log_side]
    return Made(write(path, outputs), label=0, score=0.6)


def ultra_light(path: Path) -> Made:
    found = np.tile(np.array([0.99, 0.01], np.float32), (1, CELLS, 1))
    boxes = np.tile(np.array([0.1, 0.1, 0.2, 0.2], np.float32), (1, CELLS, 1))
    found[0, 5], boxes[0, 5] = [0.1, 0.9], fractions()
    return Made(write(path, {"scores": found, "boxes": boxes}), label=0)


def efficientdet_automl(path: Path) -> Made:
    x1, y1, x2, y2 = BOX
    found = rows([0, y1, x1, y2, x2, 0.9, LABEL + 1], 100)
    return Made(write(path, {"detections": found}, kind=TensorProto.UINT8, shape=(1, SIDE, SIDE, 3)))


READ: list[Callable[[Path], Made]] = [
    yolov5, yolox, yolov6, yolov8, yolov8_raw, yolo_end_to_end, yolo_nas, rf_detr, detr_deployed, tensorflow_ssd,
    onnx_zoo_ssd, nanodet, picodet, yunet, ultra_light,
]  # fmt: skip
COMPLETED: list[Callable[[Path], Made]] = [yolov5_raw, detr, mmdeploy, efficientdet_automl]  # states what files do not


def found(made: Made, layout: Path | None) -> tuple[list[int], float, int]:
    return best(opened(made.path, layout=layout) if layout else opened(made.path))


@pytest.mark.parametrize("make", READ, ids=lambda make: make.__name__)
def test_a_worked_layout_is_that_of_the_convention(make: Callable[[Path], Made], tmp_path: Path) -> None:
    made, layout = make(tmp_path / "net.onnx"), LAYOUTS / f"{make.__name__}.toml"
    assert read_layout(layout) == layout_of(opened(made.path))
    expected = (ANSWER, pytest.approx(made.score, abs=1e-3), made.label)
    assert found(made, layout) == found(made, None) == expected


@pytest.mark.parametrize("make", COMPLETED, ids=lambda make: make.__name__)
def test_a_worked_layout_is_what_inspect_writes_but_for_what_is_open(
    make: Callable[[Path], Made], tmp_path: Path
) -> None:
    made, layout = make(tmp_path / "net.onnx"), LAYOUTS / f"{make.__name__}.toml"
    given, written = read_layout(layout), inspect(CandidateConfig(name=str(made.path)))
    assert written.refused and given.family == written.layout.family
    assert given.outputs == replace(written.layout.outputs, anchors=given.outputs.anchors)
    assert found(made, layout) == (ANSWER, pytest.approx(made.score, abs=1e-3), made.label)


def first_nanodet() -> Outputs:
    found = np.zeros((1, CELLS, 80 + 32), np.float32)
    found[0, :, 80:] = np.random.default_rng(0).uniform(-3, 3, (CELLS, 32))
    found[0, cells(8) + index()] = [*scores(), *distributions(0.5, 8)]
    return {"output": found}


def rockchip() -> Outputs:
    """Scores in 0..1 beside the distributions, and their sum."""
    outputs = {}
    for stride in (8, 16, 32):
        for name, channels in (("box", 64), ("class", 80), ("sum", 1)):
            outputs[f"{name}{stride}"] = np.zeros((1, channels, SIDE // stride, SIDE // stride), np.float32)
    outputs["class16"][0, LABEL, AT[1], AT[2]] = outputs["sum16"][0, 0, AT[1], AT[2]] = 0.9
    outputs["box16"][0, :, AT[1], AT[2]] = distributions(0.5, 16)
    return outputs


APART = tuple(pair for s in (8, 16, 32) for pair in ((f"box{s}", ("bins*64",)), (f"class{s}", ("classes*80",))))
DECODED = {"operators": ("Exp", "Sigmoid")}


@pytest.mark.parametrize(
    ("name", "outputs", "options", "changes"),
    [
        ("yolov8", {"output0": head([*center(), *scores()])}, {}, {"transposed": False}),
        ("yolox", {"output": head([*center(), 0.9, *scores()])}, DECODED, {"coding": "boxes", "offset": 0.5}),
        ("nanodet", first_nanodet(), {}, {"strides": (8, 16, 32), "offset": 0.5}),
        (
            "detr",
            dict(zip(("pred_boxes", "logits"), queries(91, 100), strict=True)),
            {},
            {"activation": "sigmoid", "background": "none"},
        ),
        ("yolov8_raw", rockchip(), {}, {"columns": APART, "activation": "none"}),
    ],
)
def test_the_changes_that_comments_name_are_those_of_the_convention(
    tmp_path: Path, name: str, outputs: Outputs, options: dict[str, Any], changes: dict[str, Any]
) -> None:
    written = inspect(CandidateConfig(name=str(write(tmp_path / "net.onnx", outputs, **options)))).layout
    assert replace(read_layout(LAYOUTS / f"{name}.toml").outputs, **changes) == written.outputs


def test_the_guide_names_every_layout_and_each_can_be_read() -> None:
    names = {path.name for path in LAYOUTS.glob("*.toml")}
    assert names == set(re.findall(r"\(\.\./layouts/(\w+\.toml)\)", GUIDE))
    for name in names:
        read_layout(LAYOUTS / name)


def blocks() -> list[str]:
    return re.findall(r"^```toml\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


def test_the_layouts_in_the_guide_are_layouts() -> None:
    assert len(blocks()) >= 3
    for block in blocks():
        from_data(tomllib.loads(block))


def test_boxes_and_scores_of_anchors_may_be_maps_of_their_own() -> None:
    """The example of the guide, by its formulas for one cell and the second anchor."""
    layout = from_data(tomllib.loads(next(block for block in blocks() if "box*8" in block))).outputs
    (stride,), ((_, (width, height)),) = layout.strides, layout.anchors
    boxes, logits = torch.zeros(1, 8, 40, 40), torch.zeros(1, 42, 40, 40)
    boxes[0, 4:, 3, 2] = torch.tensor([1.0, -2.0, np.log(2) / 0.2, 0.0])
    logits[0, 21 + 1 + LABEL, 3, 2] = np.log(180)
    decoded = decode({"boxes_16": boxes, "scores_16": logits}, layout, (640, 640))
    row = 2 * (3 * 40 + 2) + 1
    x, y = 2.5 * stride + 0.1 * width, 3.5 * stride - 0.2 * height
    expected = [x - width, y - height / 2, x + width, y + height / 2]
    assert decoded.boxes[0, row].tolist() == pytest.approx(expected, abs=1e-3)
    assert decoded.scores.shape == (1, 3200, 20) and float(decoded.scores[0, row, LABEL]) == pytest.approx(0.9)
