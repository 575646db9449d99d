"""Codes for anchors that the file returns: EfficientDet of zylo117, y first, compared with a decoding of our own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from made_onnx import write
from opened_files import opened
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.inspecting import inspect
from paretodet.layouts.decode import decode
from paretodet.layouts.files import from_data, read_layout, to_data
from paretodet.layouts.layout import IMAGENET, OutputLayout

WORKED = Path(__file__).parents[2] / "docs/layouts/efficientdet.toml"
HEIGHT, WIDTH = 256, 384
STRIDES = (8, 16, 32, 64, 128)
SHAPES = ((1.0, 1.0), (1.4, 0.7), (0.7, 1.4))  # width and height of anchors
OBJECT, LABEL = 1500, 1


def anchors(*, y_first: bool) -> np.ndarray:
    """[N, 4], by stride, row, column and shape."""
    found = []
    for stride in STRIDES:
        for row in range(HEIGHT // stride):
            for column in range(WIDTH // stride):
                x, y = (column + 0.5) * stride, (row + 0.5) * stride
                for wide, high in SHAPES:
                    w, h = 4 * stride * wide, 4 * stride * high
                    box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                    found.append([box[1], box[0], box[3], box[2]] if y_first else box)
    return np.array(found, np.float32)


def made(classes: int, *, y_first: bool = True) -> dict[str, np.ndarray]:
    """As a model of zylo117 returns them: maps of features, codes, scores and anchors."""
    random, boxes = np.random.default_rng(0), anchors(y_first=y_first)
    codes = random.normal(0, 0.2, (1, len(boxes), 4)).astype(np.float32)
    scores = random.uniform(0, 0.02, (1, len(boxes), classes)).astype(np.float32)
    scores[0, OBJECT, LABEL] = 0.9
    maps = {f"p{stride}": np.zeros((1, 32, HEIGHT // stride, WIDTH // stride), np.float32) for stride in STRIDES}
    return maps | {"regression": codes, "classification": scores, "anchors": boxes[None]}


def reference(outputs: dict[str, np.ndarray]) -> np.ndarray:
    """x1, y1, x2, y2 of every row, by BBoxTransform's formulas: dy, dx, dh, dw of y1, x1, y2, x2."""
    found = []
    for (y1, x1, y2, x2), (dy, dx, dh, dw) in zip(outputs["anchors"][0], outputs["regression"][0], strict=True):
        high, wide = y2 - y1, x2 - x1
        y, x = (y1 + y2) / 2 + dy * high, (x1 + x2) / 2 + dx * wide
        h, w = np.exp(dh) * high, np.exp(dw) * wide
        found.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return np.array(found)


@pytest.mark.parametrize("classes", [90, 4])  # four are as many columns as a box has
def test_the_anchors_of_efficientdet_are_an_output(tmp_path: Path, classes: int) -> None:
    outputs = made(classes)
    path = write(tmp_path / "d0.onnx", outputs, shape=(1, 3, HEIGHT, WIDTH))
    with pytest.raises(InputError) as caught:
        opened(path)
    assert caught.value.id == "pixels-unknown" and "EfficientDet" in caught.value.message
    layout = inspect(CandidateConfig(name=str(path))).layout
    assert (layout.outputs.box, layout.pixels, layout.outputs.suppressed) == ("yxyx", IMAGENET, False)
    assert from_data(to_data(layout)) == layout
    tensors = {name: torch.from_numpy(part) for name, part in outputs.items()}
    wanted = reference(outputs)
    np.testing.assert_allclose(decode(tensors, layout.outputs, (HEIGHT, WIDTH)).boxes[0], wanted, atol=1e-2)
    candidate = opened(path, layout=layout)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    found = candidate.finish(candidate.infer(candidate.prepare([image])), torch.tensor([[HEIGHT, WIDTH]]).float())
    assert float(found.scores[0, 0]) == pytest.approx(0.9) and int(found.labels[0, 0]) == LABEL
    limits = np.array([WIDTH, HEIGHT] * 2)
    np.testing.assert_allclose(found.boxes[0, 0], wanted[OBJECT].clip(0, limits), atol=1e-2)


def test_the_worked_layout_is_what_inspect_writes(tmp_path: Path) -> None:
    path = write(tmp_path / "d0.onnx", made(90), shape=(1, 3, HEIGHT, WIDTH))
    given, found = read_layout(WORKED), inspect(CandidateConfig(name=str(path))).layout
    assert replace(given, fill=found.fill) == found


def test_anchors_with_x_first_have_codes_with_x_first(tmp_path: Path) -> None:
    path = write(tmp_path / "x.onnx", made(20, y_first=False), shape=(1, 3, HEIGHT, WIDTH))
    layout = inspect(CandidateConfig(name=str(path))).layout
    assert layout.outputs.box == "xyxy" and ("anchors", ("anchor",)) in layout.outputs.columns


def test_boxes_that_are_around_no_cells_are_no_anchors(tmp_path: Path) -> None:
    outputs = made(20)
    outputs["anchors"] = outputs["anchors"] + 3
    with pytest.raises(InputError) as caught:
        opened(write(tmp_path / "odd.onnx", outputs, shape=(1, 3, HEIGHT, WIDTH)))
    assert caught.value.id == "onnx-layout"


def test_fractions_and_variances_of_anchors() -> None:
    columns = (("codes", ("box",)), ("anchors", ("anchor",)), ("scores", ("classes",)))
    layout = OutputLayout(columns=columns, coding="priors", unit="fractions", suppressed=False)
    outputs = {
        "codes": torch.tensor([[[1.0, 0, 0, np.log(2) / 0.2]]] * 2),
        "anchors": torch.tensor([[[0.25, 0.5, 0.5, 0.75]]]),
        "scores": torch.ones(2, 1, 1),
    }
    boxes = decode(outputs, layout, (100, 200)).boxes  # the anchor is 50, 50, 100, 75
    assert boxes[:, 0].tolist() == [pytest.approx([55, 37.5, 105, 87.5], abs=1e-4)] * 2


@pytest.mark.parametrize(
    "fields",
    [
        {"columns": (("a", ("anchor",)), ("b", ("box", "classes")))},
        {"columns": (("b", ("box", "classes")),), "coding": "priors"},
    ],
)
def test_anchors_of_an_output_are_of_priors(fields: dict[str, object]) -> None:
    with pytest.raises(InputError, match="layout-malformed"):
        OutputLayout(**fields)  # type: ignore[arg-type]
