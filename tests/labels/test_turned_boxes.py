"""Boxes that are drawn turned: which are, that their upright boxes are used, and that every reader says so."""

import json

import numpy as np
import pytest

from labeled_sets import (
    SOUND,
    cvat_box,
    cvat_image,
    datumaro_box,
    numbered,
    studio_region,
    truth_of,
    write_cvat,
    write_datumaro,
    write_image,
    write_labelme,
    write_lines,
    write_truth,
)
from paretodet.evaluation.ground_truth import read_ground_truth
from paretodet.labels.formats.labelme import read_labelme
from paretodet.labels.formats.yolo import read_yolo
from paretodet.labels.lint.examine import examine
from paretodet.labels.read import read_labels
from paretodet.labels.shapes import are_turned
from paretodet.training.config import TrainConfig
from paretodet.training.data import open_training_data
from paretodet.training.recipes import make_recipe

NAME = "ssd-mobilenet_v1-300"
DIAMOND = "0 0.5 0.25 0.75 0.5 0.5 0.75 0.25 0.5"
UPRIGHT = "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5"
BOX = "0 0.5 0.5 0.2 0.2"
TRIANGLE = "0 0.1 0.25 0.5 0.25 0.5 0.75"


def yolo(folder, *lines):
    SOUND["yolo"](folder)
    for split, number, _ in numbered():
        write_lines(folder, split, number, "\n".join(lines))
    return folder / "data.yaml"


def turned(data):
    return [] if data.turned is None else data.turned.tolist()


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ((DIAMOND,), [True]),
        ((DIAMOND, UPRIGHT, DIAMOND), [True, False, True]),
        (("0 0.1 0.1 0.5 0.1000001 0.5 0.5 0.1 0.5",), []),  # by rounding
        ((UPRIGHT,), []),
        ((DIAMOND, TRIANGLE), []),  # outlines
        ((TRIANGLE, DIAMOND), []),
        ((DIAMOND, BOX), []),
    ],
)
def test_four_corners_are_a_turned_box_where_every_object_has_four(tmp_path, lines, found):
    data = read_yolo(yolo(tmp_path / "set", *lines), split="val")
    assert turned(data)[: len(lines)] == found
    assert ("are turned" in str(data.left_out(tmp_path))) == bool(found)


@pytest.mark.parametrize(
    ("corners", "found"),
    [
        ([[0, 0], [9, 0], [9, 5], [0, 5]], False),
        ([[9, 5], [0, 0], [0, 5], [9, 0]], False),
        ([[0, 0], [9, 1], [8, 6], [-1, 5]], True),
        ([[3, 3], [3, 3], [3, 3], [3, 3]], False),
    ],
)
def test_corners_are_turned_if_they_lie_elsewhere_than_those_of_the_box(corners, found):
    assert are_turned(np.array(corners, float)) is found


@pytest.mark.parametrize(("angle", "found"), [("0", []), ("90", []), ("-180.0", []), ("12.5", [True]), ("300", [True])])
def test_a_box_of_cvat_is_turned_by_an_angle_that_is_no_right_one(tmp_path, angle, found):
    SOUND["cvat"](tmp_path)
    write_cvat(tmp_path, cvat_image("train", 0, cvat_box("dog", (20, 15, 40, 25), rotation=angle)))
    assert turned(read_labels(tmp_path)) == found


@pytest.mark.parametrize(("angle", "found"), [(0, []), (90, []), (45, [True])])
def test_a_box_of_label_studio_is_turned_alike(tmp_path, angle, found):
    write_image(tmp_path / "a.jpg", 1)
    region = studio_region("dog", (30, 20, 40, 25))
    region["value"]["rotation"] = angle
    (tmp_path / "a.json").write_text(json.dumps([{"data": {"image": "a.jpg"}, "annotations": [{"result": [region]}]}]))
    assert turned(read_labels(tmp_path / "a.json")) == found


@pytest.mark.parametrize(
    ("kind", "points", "found"),
    [
        ("rotation", [[20, 10], [30, 20], [20, 30], [10, 20]], [True]),
        ("rotation", [[10, 10], [30, 10], [30, 20], [10, 20]], []),
        ("polygon", [[20, 10], [30, 20], [20, 30], [10, 20]], []),
    ],
)
def test_a_shape_of_labelme_is_turned_if_it_is_called_so(tmp_path, kind, points, found):
    write_image(tmp_path / "a.jpg", 1)
    write_labelme(tmp_path / "a.json", [{"label": "dog", "points": points, "shape_type": kind}])
    assert turned(read_labelme(tmp_path)) == found


@pytest.mark.parametrize(
    ("angle", "box", "found"),
    [(90, [15, 5, 25, 25], []), (45.0, None, [True]), (0, [10, 10, 30, 20], []), ("left", [10, 10, 30, 20], [])],
)
def test_a_box_of_datumaro_is_turned_as_cvat_states(tmp_path, angle, box, found):
    SOUND["datumaro"](tmp_path)
    drawn = datumaro_box(0, 0, (10, 10, 30, 20)) | {"attributes": {"occluded": False, "rotation": angle}}
    write_datumaro(tmp_path, "train", [{"id": "0", "annotations": [drawn], "image": {"path": "0.jpg"}}])
    data = read_labels(tmp_path, split="train")
    reach = 15 * 2**-0.5
    assert np.allclose(data.boxes, [box or [20 - reach, 15 - reach, 20 + reach, 15 + reach]], atol=1e-4)
    assert turned(data) == found


@pytest.mark.parametrize(
    ("attributes", "box", "found"),
    [
        ({"occluded": False, "rotation": 45.0}, None, True),
        ({"occluded": False, "rotation": 90.0}, [15, 5, 25, 25], False),
        ({"occluded": False, "rotation": 0.0}, [10, 10, 30, 20], False),
        ({"occluded": False, "rotation": float("nan")}, [10, 10, 30, 20], False),
        ({"occluded": False, "rotation": 10**400}, [10, 10, 30, 20], False),
        ({"rotation": 45.0}, [10, 10, 30, 20], False),  # not as CVAT writes it
        (None, [10, 10, 30, 20], False),
    ],
)
def test_a_box_of_coco_is_turned_as_cvat_states(tmp_path, attributes, box, found):
    SOUND["coco"](tmp_path)
    truth = truth_of(tmp_path)
    drawn = {"bbox": [10, 10, 20, 10], "area": 200, "attributes": attributes}
    truth["annotations"][0] |= drawn | {"segmentation": []}
    truth["annotations"][1] |= drawn | {"segmentation": [[10, 10, 30, 10, 30, 20, 10, 20]]}
    write_truth(tmp_path, truth)
    data, reach = read_labels(tmp_path, split="train"), 15 * 2**-0.5
    around = box or [20 - reach, 15 - reach, 20 + reach, 15 + reach]
    assert np.allclose(data.boxes[:2], [around, [10, 10, 30, 20]], atol=1e-4)
    assert turned(data)[:2] == ([True, False] if found else [])


def test_what_reads_labels_says_how_many_boxes_are_turned(tmp_path):
    path, notes = yolo(tmp_path / "set", DIAMOND, UPRIGHT), []
    assert any(": 6 of 12 boxes are turned" in note for note in read_ground_truth(path, split="train").skipped)
    recipe = make_recipe("quick", NAME, steps=1, batch=2)
    open_training_data(TrainConfig(name=NAME, data=path, recipe=recipe), notes.append)
    train, val = (note for note in notes if "boxes are turned" in note)
    assert val.startswith("Validation: ") and not train.startswith("Validation: ")
    (finding,) = (each for each in examine(path).findings if each.check == "boxes-oriented")
    assert (finding.level, finding.count) == ("warning", 2)
    assert finding.places[0].text.startswith("6 of 12 boxes are turned")


@pytest.mark.parametrize("box", [(30, 10, 28, 20), (10, 20, 30, 16), (10, 10, 10, 20), (10, 10, 30, 10)])
@pytest.mark.parametrize("form", ["coco", "cvat", "datumaro"])
def test_a_box_without_an_extent_is_none_if_it_is_turned_either(tmp_path, form, box):
    """Turned, one with a negative width and a larger height would have an upright box around it."""
    SOUND[form](tmp_path)
    x1, y1, x2, y2 = box
    turning = {"attributes": {"occluded": False, "rotation": 60.0}}
    drawn = {"bbox": [x1, y1, x2 - x1, y2 - y1], "segmentation": []} | turning
    if form == "coco":
        truth = truth_of(tmp_path)
        truth["annotations"][0] |= drawn
        write_truth(tmp_path, truth)
    elif form == "cvat":
        write_cvat(tmp_path, cvat_image("train", 0, cvat_box("dog", box, rotation="60")))
    else:
        item = {"id": "0", "annotations": [datumaro_box(0, 0, box) | turning], "image": {"path": "0.jpg"}}
        write_datumaro(tmp_path, "train", [item])
    data = read_labels(tmp_path, split="train")
    assert turned(data) == [] or not any(turned(data))
    assert sum(data.skip_counts.values()) == 1
