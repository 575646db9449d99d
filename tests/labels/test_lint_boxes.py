"""Boxes near a limit, the splits of a Pascal VOC folder, and pairs of boxes compared with a naive search."""

import json

import numpy as np
import pytest

from labeled_sets import SOUND, line_of, truth_of, write_image, write_truth
from paretodet.labels.formats.coco import read_coco
from paretodet.labels.lint import boxes
from paretodet.labels.lint.clean import write_clean
from paretodet.labels.lint.examine import examine
from paretodet.labels.lint.finding import LEVELS
from paretodet.labels.lint.parts import open_parts
from paretodet.labels.lint.subject import LabeledSplit
from paretodet.labels.read import format_of, read_labels


def found_in(folder):
    return {each.check: each for each in examine(folder).findings}


def changed(folder, **fields):
    SOUND["coco"](folder)
    truth = truth_of(folder)
    truth["annotations"][0] |= {"segmentation": None} | fields
    for each in truth["annotations"]:
        each.pop("segmentation")
    write_truth(folder, truth)
    return found_in(folder)


@pytest.mark.parametrize(
    ("check", "within", "beyond"),
    [
        ("box-cut", {"bbox": [-0.9, 4, 20, 16]}, {"bbox": [-1.1, 4, 20, 16]}),
        ("box-tiny", {"bbox": [4, 4, 2, 9], "area": 18}, {"bbox": [4, 4, 1.9, 9], "area": 17}),
        ("box-thin", {"bbox": [1, 4, 60, 3], "area": 180}, {"bbox": [1, 4, 60, 2.9], "area": 174}),
        ("area-wrong", {"area": 257}, {"area": 0}),
        ("area-wrong", {"area": 1}, {"area": None}),
        ("area-wrong", {"area": "1e0"}, {"area": "none"}),
        ("annotation-id-repeated", {"id": "99.0"}, {"id": "99.5"}),
        ("ignore-unread", {"ignore": 0}, {"ignore": True}),
        ("ignore-unread", {"IsGroupOf": "0"}, {"IsGroupOf": "1"}),
        ("ignore-unread", {"is_group_of": 1, "iscrowd": 1}, {"is_group_of": 1}),
        ("box-whole", {"bbox": [0, 0, 64, 47], "area": 3008}, {"bbox": [0, 0, 64, 47.6], "area": 3046}),
        ("box-repeated", {"bbox": [30, 4, 18, 16]}, {"bbox": [30, 4, 19.5, 16]}),
        ("box-repeated", {"bbox": [30, 4, 20, 16], "iscrowd": 1}, {"bbox": [30, 4, 20, 16]}),
    ],
)
def test_the_limit_of_every_check_is_exact(tmp_path, check, within, beyond):
    assert check not in changed(tmp_path / "a", **within)
    assert check in changed(tmp_path / "b", **beyond)


def test_a_box_is_tiny_on_the_canvas_not_in_a_large_image(tmp_path):
    folder = SOUND["yolo"](tmp_path / "set")
    write_image(folder / "images/train/0.jpg", 3, size=(960, 1280))
    (folder / "labels/train/0.txt").write_text("0 0.5 0.5 0.0025 0.1\n")  # 3.2 px of 1280, 1.6 of 640
    assert found_in(folder)["box-tiny"].places[0].place == "line 1"


@pytest.mark.parametrize("rows", [7, 512])
def test_boxes_alike_are_those_of_a_naive_search(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(boxes, "ROWS", rows)
    chance = np.random.default_rng(4)
    corners = chance.integers(0, 8, (90, 2)) * 10.0
    drawn = np.hstack([corners, corners + 10 + chance.integers(0, 2, (90, 2)) / 4])
    owners = chance.integers(0, 3, 90)
    truth = {
        "images": [{"id": key, "file_name": f"{key}.jpg", "height": 200, "width": 200} for key in range(3)],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {"image_id": int(key), "category_id": 1, "bbox": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]}
            for key, box in zip(owners, drawn, strict=True)
        ],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(truth))
    part = LabeledSplit(split="all", file=path, data=read_coco(path), where=lambda name, number: (path, str(number)))
    pairs = {(part.data.numbers[one], part.data.numbers[two]) for one, two in boxes._alike(part)}
    same = {
        (i, j) for i in range(90) for j in range(i + 1, 90) if owners[i] == owners[j] and iou(drawn[i], drawn[j]) > 0.95
    }
    assert pairs == same and len(same) > 10


def iou(one, other):
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    inside = np.prod(np.maximum(high - low, 0))
    return inside / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - inside)


def test_image_sets_that_unite_others_or_name_one_class_are_no_splits(tmp_path):
    folder = SOUND["voc"](tmp_path / "set")
    for number in range(6):
        line_of(folder, "trainval", f"train{number}")
        line_of(folder, "trainval", f"val{number}")
        line_of(folder, "dog_train", f"train{number}  1")
    assert [part.split for part in open_parts(folder, format_of(folder))[0]] == ["train", "val"]
    assert examine(folder).findings == ()


def test_trainval_replaces_a_missing_train(tmp_path):
    folder = SOUND["voc"](tmp_path / "set")
    sets = folder / "ImageSets/Main"
    (sets / "train.txt").rename(sets / "trainval.txt")
    assert sorted(part.split for part in open_parts(folder, format_of(folder))[0]) == ["trainval", "val"]


@pytest.mark.parametrize(("name", "called"), [("training", "training"), ("default", "rest"), ("Train", "Train")])
def test_training_images_are_examined_whatever_the_name_of_their_set(tmp_path, name, called):
    folder = SOUND["voc"](tmp_path / "set")
    sets = folder / "ImageSets/Main"
    (sets / "train.txt").rename(sets / f"{name}.txt")
    (sets / "val.txt").rename(sets / "validation.txt")
    file = folder / "Annotations/train3.xml"
    file.write_text(file.read_text().replace("<xmin>5</xmin>", "<xmin>20</xmin>", 1))
    (folder / "Annotations/train4.xml").write_text("<annotation>")
    found = examine(folder)
    assert {part.split: len(part.data) for part in found.subject.parts} == {called: 5, "validation": 6}
    files = {each.check: [place.file.name for place in each.places] for each in found.findings if each.level == "fault"}
    assert files == {"box-empty": ["train3.xml"], "xml-malformed": ["train4.xml"]}


def test_the_rest_is_what_other_sets_have_and_no_part_has(tmp_path):
    folder = SOUND["voc"](tmp_path / "set")
    sets = folder / "ImageSets/Main"
    sets.joinpath("every.txt").write_text(sets.joinpath("train.txt").read_text() + "val5\n")
    sets.joinpath("val.txt").write_text("val1\nval2\nval3\n")  # val0 and val4 are in no set
    rest = open_parts(folder, format_of(folder))[0][-1]
    assert (rest.split, rest.names) == ("rest", ["val5.jpg"])
    whole = read_labels(folder)
    one = next(each for each in whole if each.image.name == "val5.jpg")
    assert np.array_equal(rest.data[0].boxes, one.boxes) and np.array_equal(rest.data[0].labels, one.labels)
    assert [rest.at(row, "").place for row in range(4)] == [f"object[{row}]" for row in range(4)]


def test_a_set_that_cannot_be_read_costs_no_other(tmp_path):
    folder = SOUND["voc"](tmp_path / "set")
    for name in ("val", "cat_train"):
        file = folder / f"ImageSets/Main/{name}.txt"
        file.unlink(missing_ok=True)
        file.symlink_to(tmp_path / "nowhere")
    parts, unread = open_parts(folder, format_of(folder))
    assert [part.split for part in parts] == ["train"] and [place.place for place in unread] == ["val"]


def test_a_folder_without_sets_is_one_part(tmp_path):
    folder = SOUND["voc"](tmp_path / "set")
    for file in (folder / "ImageSets/Main").iterdir():
        file.unlink()
    (part,) = open_parts(folder, format_of(folder))[0]
    assert (part.split, len(part.data)) == ("all", 12)


def test_the_most_severe_comes_first(tmp_path):
    folder = SOUND["yolo"](tmp_path / "set")
    (folder / "labels/train/0.txt").write_text("9 0.5 0.5 0.5 0.5\n")  # a fault, and so a note
    (folder / "labels/train/orphan.txt").write_text("0 0.5 0.5 0.5 0.5\n")  # a warning
    settings = folder / "data.yaml"
    settings.write_text(settings.read_text() + "test: nowhere\n")  # an error
    assert [each.level for each in examine(folder).findings] == list(LEVELS)


def test_an_area_that_cannot_be_is_the_boxs_in_the_copy(tmp_path):
    folder = SOUND["coco"](tmp_path / "set")
    truth = truth_of(folder)
    for number, area in enumerate((100, 9000, -1, None)):
        truth["annotations"][number]["area"] = area
    write_truth(folder, truth)
    write_clean(examine(folder), tmp_path / "clean")
    assert [each["area"] for each in truth_of(tmp_path / "clean")["annotations"][:4]] == [100, 320, 320, 520]


def test_a_crowd_is_one_in_the_copy(tmp_path):
    folder = SOUND["voc"](tmp_path / "set")
    file = folder / "Annotations/train0.xml"
    file.write_text(file.read_text().replace("<bndbox>", "<difficult>1</difficult><bndbox>", 1))
    write_clean(examine(folder), tmp_path / "clean")
    assert [each["iscrowd"] for each in truth_of(tmp_path / "clean")["annotations"]] == [1] + 23 * [0]
