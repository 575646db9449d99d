"""Outputs of a file become detections in pixels of the canvas."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from paretodet.errors import InputError
from paretodet.layouts.decode import decode, references, split, to_detections
from paretodet.layouts.layout import OutputLayout

CANVAS = (64, 96)  # height, width


def finished(keep: int = 300, **fields: object) -> OutputLayout:
    return OutputLayout(columns=(("out", ("box", "score", "label")),), keep=keep, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("form", "box"),
    [("xyxy", (10, 20, 40, 60)), ("yxyx", (20, 10, 60, 40)), ("cxcywh", (25, 40, 30, 40)), ("xywh", (10, 20, 30, 40))],
)
@pytest.mark.parametrize("unit", ["pixels", "fractions"])
def test_every_form_and_unit_of_a_box(form: str, box: tuple[float, ...], unit: str) -> None:
    scale = (64, 96, 64, 96) if form == "yxyx" else (96, 64, 96, 64)
    values = [side / whole for side, whole in zip(box, scale, strict=True)] if unit == "fractions" else box
    rows = torch.tensor([[[*values, 0.5, 3.0]]])
    found = to_detections({"out": rows}, finished(1, box=form, unit=unit), CANVAS)
    assert torch.allclose(found.boxes[0, 0], torch.tensor([10.0, 20, 40, 60])) and found.labels.tolist() == [[3]]


@pytest.mark.parametrize("count", [0, 2, 400])
def test_outputs_of_open_length_fill_a_fixed_capacity(count: int) -> None:
    outputs = {"boxes": torch.ones(count, 4), "scores": torch.arange(count) / 400, "labels": torch.ones(count).long()}
    columns = (("boxes", ("box",)), ("scores", ("score",)), ("labels", ("label",)))
    found = to_detections(outputs, OutputLayout(columns=columns), CANVAS)
    assert found.boxes.shape == (1, 300, 4) and found.scores.shape == found.labels.shape == (1, 300)
    assert float(found.scores.max()) == pytest.approx(max(0, count - 1) / 400)  # the best are kept


def test_labels_count_from_the_first_one() -> None:
    rows = torch.tensor([[[0.0, 0, 1, 1, 0.5, 1.0], [0, 0, 0, 0, 0, 0]]])
    assert to_detections({"out": rows}, finished(2, first_label=1), CANVAS).labels.tolist() == [[0, 0]]


def test_rows_of_an_image_that_is_none_are_empty() -> None:
    layout = OutputLayout(columns=(("out", ("image", "label", "score", "box")),), unit="fractions", keep=2)
    rows = torch.tensor([[[[0.0, 2, 0.9, 0, 0, 0.5, 0.5], [-1, 0, 0.3, 0, 0, 0, 0]]]])
    found = to_detections({"out": rows}, layout, CANVAS)
    assert found.scores.tolist() == [[pytest.approx(0.9), 0]] and found.boxes[0, 0].tolist() == [0, 0, 48, 32]
    assert layout.one_image


def test_rows_behind_the_count_are_empty() -> None:
    columns = (("a", ("box",)), ("b", ("score",)), ("c", ("label",)), ("d", ("count",)))
    outputs = {
        "a": torch.tensor([[[10.0, 20, 40, 60]] * 3] * 2),
        "b": torch.tensor([[0.5, 7.1, 0.25], [0.9, 0.8, -6.0]]),
        "c": torch.tensor([[1.0, 2, 3]] * 2),
        "d": torch.tensor([1.0, 2.0]),
    }
    layout = OutputLayout(columns=columns, keep=3)
    assert decode(outputs, layout, CANVAS).scores.tolist() == [[0.5, 0, 0], [pytest.approx(0.9), pytest.approx(0.8), 0]]
    assert split(outputs, layout)["score"].max() < 1
    with pytest.raises(InputError, match="count is of rows with a score"):
        OutputLayout(columns=(("a", ("box",)), ("b", ("classes",)), ("d", ("count",))))


def test_suppression_is_a_class_at_a_time() -> None:
    layout = OutputLayout(columns=(("out", ("box", "classes")),), transposed=True, box="cxcywh", suppressed=False)
    anchors = torch.tensor([[[20.0, 20, 10, 20, 0.9, 0.0], [20, 20, 10, 21, 0.8, 0.3], [50, 50, 8, 8, 0.0, 0.6]]])
    found = to_detections({"out": anchors.transpose(1, 2)}, layout, CANVAS)
    assert found.scores[0, :4].tolist() == pytest.approx([0.9, 0.6, 0.3, 0.0])
    assert found.labels[0, :3].tolist() == [0, 1, 1] and found.boxes[0, 0].tolist() == [15, 10, 25, 30]
    assert not found.boxes[0, 3:].any()


def test_queries_need_no_suppression() -> None:
    columns = (("boxes", ("box",)), ("logits", ("classes",)))
    layout = OutputLayout(columns=columns, activation="softmax", background="last", keep=3)
    logits = torch.log(torch.tensor([[[0.7, 0.1, 0.2], [0.3, 0.6, 0.1]]]))
    found = to_detections({"boxes": torch.ones(1, 2, 4), "logits": logits}, layout, CANVAS)
    assert found.scores[0].tolist() == pytest.approx([0.7, 0.6, 0.3]) and found.labels.tolist() == [[0, 1, 0]]


def test_maps_of_two_strides_are_joined() -> None:
    columns = (("c8", ("classes",)), ("c16", ("classes",)), ("b8", ("box",)), ("b16", ("box",)))
    layout = OutputLayout(columns=columns, coding="distances", strides=(8, 16), suppressed=False)
    outputs = {"c8": torch.zeros(1, 1, 8, 12), "c16": torch.zeros(1, 1, 4, 6)}
    outputs |= {"b8": torch.ones(1, 4, 8, 12), "b16": torch.ones(1, 4, 4, 6)}
    outputs["c16"][0, 0, 2, 3] = 0.9
    found = to_detections(outputs, layout, CANVAS)
    assert found.boxes[0, 0].tolist() == [56 - 16, 40 - 16, 56 + 16, 40 + 16]
    points, steps, _ = references(layout, CANVAS)
    assert len(points) == 96 + 24 and steps.unique().tolist() == [8, 16] and points[0].tolist() == [4, 4]


def test_priors_are_decoded_with_variances() -> None:
    layout = OutputLayout(
        columns=(("loc", ("box",)), ("conf", ("classes",))),
        coding="priors",
        strides=(32,),
        priors=((16.0, 32.0),),
        background="first",
        suppressed=False,
    )
    codes, scores = torch.zeros(1, 12, 4), torch.zeros(1, 12, 2)
    codes[0, 3] = torch.tensor([0.5, 0, 0, float(np.log(2)) / 0.2])  # the second prior of the second cell
    scores[0, 3, 1] = 0.9
    found = to_detections({"loc": codes, "conf": scores}, layout, CANVAS)
    center = 48 + 0.5 * 0.1 * 32
    assert torch.allclose(found.boxes[0, 0], torch.tensor([center - 16, 16 - 32, center + 16, 16 + 32]))


def test_distributions_give_their_mean() -> None:
    layout = OutputLayout(
        columns=(("out", ("classes", "bins*8")),), coding="distances", strides=(32,), suppressed=False
    )
    rows = torch.zeros(1, 6, 1 + 8)
    rows[0, :, 0] = 0.5
    boxes = decode({"out": rows}, layout, CANVAS).boxes
    assert boxes[0, 0].tolist() == [0, 0, 32, 32]  # equal bins 0 and 1 are half a stride


def test_words_with_a_count_and_words_that_are_not_used() -> None:
    layout = OutputLayout(columns=(("out", ("box", "classes*2", "other")),), suppressed=False)
    parts = split({"out": torch.zeros(1, 5, 9)}, layout)
    assert {word: part.shape[2] for word, part in parts.items()} == {"box": 4, "classes": 2, "other": 3}


def test_outputs_that_are_not_used_may_have_any_shape() -> None:
    shapes = ((1, 7, 3), (1, 9, 5), (1, 3, 4, 5, 6), (2, 2))
    unused = {str(shape): torch.zeros(shape) for shape in shapes}
    columns = (("out", ("box", "classes")), *((name, ("other",)) for name in unused))
    found = decode({"out": torch.ones(1, 5, 6), **unused}, OutputLayout(columns=columns), CANVAS)
    assert found.boxes.shape == (1, 5, 4) and found.scores.shape == (1, 5, 2)
    columns = (("first", ("box", "classes*1", "other")), ("second", ("box", "classes*1", "other")))
    outputs = {"first": torch.zeros(1, 5, 8), "second": torch.ones(1, 2, 15)}
    assert decode(outputs, OutputLayout(columns=columns), CANVAS).boxes[0, :, 0].tolist() == [0, 0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("boxes", [(1, 9, 4), (1, 9, 1, 4), (1, 4, 9)])
def test_boxes_and_scores_may_stand_in_different_ways(boxes: tuple[int, ...]) -> None:
    columns = (("boxes", ("box",)), ("scores", ("classes",)))
    values = torch.arange(36.0).reshape(1, 9, 4)
    outputs = {"boxes": values.mT if boxes[1] == 4 else values.reshape(boxes), "scores": torch.zeros(1, 3, 9)}
    found = decode(outputs, OutputLayout(columns=columns, transposed=True), CANVAS)
    assert torch.equal(found.boxes, values) and found.scores.shape == (1, 9, 3)


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({"other": torch.zeros(1, 5, 6)}, "has no 'out', it has other"),
        ({"out": torch.zeros(1, 5, 7)}, "out has 7 columns"),
        ({"out": torch.zeros(1, 1, 5, 6, 1)}, r"\[1, 1, 5, 6, 1\]"),
    ],
)
def test_outputs_of_another_shape_are_named(outputs: dict[str, torch.Tensor], words: str) -> None:
    with pytest.raises(InputError, match=words):
        to_detections(outputs, finished(), CANVAS)


def test_rows_that_are_not_as_many_as_cells_are_named() -> None:
    layout = OutputLayout(columns=(("out", ("box", "classes")),), coding="grid", strides=(8,), suppressed=False)
    with pytest.raises(InputError, match="5 rows, and strides .* have 96"):
        decode({"out": torch.zeros(1, 5, 6)}, layout, CANVAS)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"columns": (("out", ("box", "height")),)}, "columns: got 'height'"),
        ({"columns": (("out", ("classes",)),)}, "no output has a box"),
        ({"columns": (("out", ("box",)),)}, "no output has classes"),
        ({"box": "xxyy"}, "outputs.box: got 'xxyy'"),
        ({"coding": "grid"}, "strides: coding 'grid' needs them"),
        ({"coding": "priors", "strides": (8,)}, "priors: one list a stride"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        OutputLayout(**{"columns": (("out", ("box", "classes")),)} | fields)  # type: ignore[arg-type]


def test_sizes_of_linear_codes_are_shares_of_their_prior() -> None:
    columns = (("codes", ("box", "other")), ("scores", ("classes",)))
    layout = OutputLayout(
        columns=columns, coding="linear", strides=(32,), priors=((96.0, 48.0),), variances=(0.25, 0.5), keep=1
    )
    codes, scores = torch.zeros(1, 12, 6), torch.zeros(1, 12, 1)
    codes[0, 3, :4], scores[0, 3] = torch.tensor([0.5, 0.25, 1.0, 2.0]), 0.9  # the second prior of the cell at (32, 0)
    found = to_detections({"codes": codes, "scores": scores}, layout, CANVAS)
    x, y = 48 + 0.5 * 0.25 * 48, 16 + 0.25 * 0.25 * 48
    assert found.boxes[0, 0].tolist() == [x - 12, y - 24, x + 12, y + 24]


def test_a_box_is_merged_only_with_those_that_it_suppresses_itself() -> None:
    columns = (("out", ("box", "classes")),)
    layout = OutputLayout(columns=columns, suppressed=False, threshold=0.25, overlap=0.3, merge="weighted", keep=4)
    rows = [[0, 0, 10, 10, 0.9], [2, 0, 12, 10, 0.6], [4, 0, 14, 10, 0.5], [8, 0, 18, 10, 0.4], [0, 0, 10, 10, 0.2]]
    found = to_detections({"out": torch.tensor([rows])}, layout, CANVAS)
    # The first suppresses the second and the third (overlaps 2/3 and 3/7), not the fourth (1/9); the last is too faint.
    first = sum(weight * start for weight, start in ((0.9, 0), (0.6, 2), (0.5, 4))) / 2.0
    assert found.boxes[0, :2].tolist() == [pytest.approx([first, 0, first + 10, 10]), [8, 0, 18, 10]]
    assert found.scores[0].tolist() == pytest.approx([0.9, 0.4, 0, 0]) and not found.boxes[0, 2:].any()


MAPS: dict[str, tuple[dict[str, tuple[int, ...]], OutputLayout]] = {  # shapes of maps, channels first, and their layout
    "grid": (
        {"a": (2, 7, 8, 12), "b": (2, 7, 4, 6)},
        OutputLayout(
            columns=(("a", ("box", "objectness", "classes")), ("b", ("box", "objectness", "classes"))),
            coding="grid",
            strides=(8, 16),
            activation="sigmoid",
            suppressed=False,
        ),
    ),
    "anchors": (
        {"a": (1, 2 * 8, 2, 3)},
        OutputLayout(
            columns=(("a", ("box", "objectness", "classes")),),
            coding="darknet",
            strides=(32,),
            anchors=(((10.0, 20.0), (30.0, 15.0)),),
            activation="sigmoid",
            suppressed=False,
        ),
    ),
    "anchors in outputs of their own": (
        {"boxes": (1, 2 * 4, 4, 6), "scores": (1, 2 * 3, 4, 6)},
        OutputLayout(
            columns=(("boxes", ("box*8",)), ("scores", ("classes",))),
            coding="priors",
            strides=(16,),
            anchors=(((10.0, 20.0), (30.0, 15.0)),),
            suppressed=False,
        ),
    ),
    "peaks": (
        {"heat": (1, 4, 4, 6), "sides": (1, 4, 4, 6)},  # as many channels as rows
        OutputLayout(
            columns=(("heat", ("classes",)), ("sides", ("box",))),
            coding="distances",
            strides=(16,),
            peaks=True,
            suppressed=False,
        ),
    ),
    "a row of cells": (
        {"a": (1, 6, 1, 3)},
        OutputLayout(columns=(("a", ("box", "classes")),), coding="grid", strides=(64,), cells="up", suppressed=False),
    ),
}


@pytest.mark.parametrize("kind", MAPS)
def test_maps_with_channels_last_are_those_with_channels_first(kind: str) -> None:
    shapes, layout = MAPS[kind]
    canvas = (64, 192) if kind == "a row of cells" else CANVAS
    torch.manual_seed(0)
    maps = {name: torch.rand(shape) for name, shape in shapes.items()}
    last = {name: each.permute(0, 2, 3, 1).contiguous() for name, each in maps.items()}
    expected, found = (
        decode(maps, layout, canvas),
        decode(last, replace(layout, map_axes="nhwc"), canvas),
    )
    assert torch.equal(found.boxes, expected.boxes) and torch.equal(found.scores, expected.scores)
    assert "channels last" in str(replace(layout, map_axes="nhwc"))


def test_outputs_of_rows_have_no_axes_of_maps() -> None:
    rows = torch.tensor([[[10.0, 20, 40, 60, 0.5, 3]]])
    assert decode({"out": rows}, finished(map_axes="nhwc"), CANVAS).boxes.tolist() == [[[10, 20, 40, 60]]]
