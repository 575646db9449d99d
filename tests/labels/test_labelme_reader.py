"""LabelMe's files: shapes, groups, where the image lies, and what is left out."""

import json

import numpy as np
import pytest

from labeled_sets import SIZE, SOUND, labelme_shape, write_image, write_labelme
from paretodet.labels.formats.labelme import read_labelme
from paretodet.labels.lint.examine import examine
from paretodet.labels.lint.parts import open_parts
from paretodet.labels.read import format_of, read_labels, splits


def one(folder, *shapes, **more):
    write_image(folder / "a.jpg", 1)
    write_labelme(folder / "a.json", list(shapes), **more)
    return folder


def shape(kind, points, label="dog", **more):
    return {"label": label, "points": points, "shape_type": kind} | more


@pytest.mark.parametrize(
    ("given", "box"),
    [
        (shape("rectangle", [[20, 30], [4, 8]]), [4, 8, 20, 30]),  # from any corner to the other
        (shape("rectangle", [[4, 8], [20, 8], [20, 30], [4, 30]]), [4, 8, 20, 30]),
        (shape("polygon", [[4, 8], [20, 8], [20, 30]]), [4, 8, 20, 30]),
        (shape(None, [[4, 8], [20, 8], [20, 30]]), [4, 8, 20, 30]),
        (shape("circle", [[20, 20], [23, 24]]), [15, 15, 25, 25]),
        (shape("mask", [[4, 8], [20, 30]], mask="iVBOR"), [4, 8, 20, 30]),
    ],
)
def test_shapes_are_boxes(tmp_path, given, box):
    (sample,) = read_labelme(one(tmp_path, given))
    assert sample.boxes.tolist() == [box] and (sample.masks is not None) == (given["shape_type"] in ("polygon", None))


@pytest.mark.parametrize(
    ("given", "id"),
    [
        (shape("point", [[4, 8]]), "shape-unread"), (shape("line", [[4, 8], [9, 9]]), "shape-unread"),
        (shape("polygon", [[4, 8], [9, 9]]), "mask-malformed"), (shape("polygon", None), "mask-malformed"),
        (shape("rectangle", [[4, 8], [9, "x"]]), "box-malformed"), (shape("rectangle", [[4, 8]]), "shape-unread"),
        (shape("rectangle", [[1, 2], [3, 4]], label=3), "field-malformed"), (7, "field-malformed"),
        (shape("circle", [[1, 2], 3]), "box-malformed"),
    ],
)  # fmt: skip
def test_what_is_no_box_is_left_out(tmp_path, given, id):
    found = read_labelme(one(tmp_path, labelme_shape("dog", (1, 2, 9, 9)), given))
    assert len(found.boxes) == 1 and [each.id for each in found.skipped] == [id]
    assert found.skipped[0].place == "object[1]"


def test_a_group_is_one_object(tmp_path):
    parts = [
        shape("polygon", [[4, 8], [20, 8], [20, 30]], group_id=1),
        shape("polygon", [[30, 8], [40, 8], [40, 9]], group_id=1),
    ]
    other = shape("polygon", [[4, 8], [20, 8], [20, 30]], group_id=1, label="cat")
    (sample,) = read_labelme(one(tmp_path, *parts, other))
    assert sample.boxes.tolist() == [[4, 8, 40, 30], [4, 8, 20, 30]] and len(sample.masks[0].rings) == 2


@pytest.mark.parametrize(
    "stated", ["a.jpg", "..\\pictures\\a.jpg", "/home/x/a.jpg", "../../../a.jpg", "other.jpg", None]
)
def test_the_image_is_found_by_name_or_stem(tmp_path, stated):
    folder = one(tmp_path / "set", labelme_shape("dog", (1, 2, 9, 9)), imagePath=stated)
    (sample,) = read_labelme(folder)
    assert sample.image == folder / "a.jpg"


def test_an_image_in_another_folder_is_found(tmp_path):
    folder = one(tmp_path / "set", labelme_shape("dog", (1, 2, 9, 9)))
    (folder / "images").mkdir()
    (folder / "a.jpg").rename(folder / "images/a.jpg")
    assert read_labelme(folder)[0].image == folder / "images/a.jpg"


def test_the_size_is_the_image_s_if_none_is_stated(tmp_path):
    assert read_labelme(one(tmp_path, labelme_shape("dog", (1, 2, 9, 9)), imageHeight=None))[0].size == SIZE


@pytest.mark.parametrize("text", ["{", '{"shapes": 3}', '{"shapes": [}', "[" * 10_000])
def test_a_file_that_is_damaged_is_reported(tmp_path, text):
    folder = SOUND["labelme"](tmp_path / "set")
    (folder / "train/0.json").write_text('{"version": "5", "flags": {}, "shapes": [' if text == "{" else text)
    found = read_labelme(folder, split="train")
    assert len(found) == 5 and len(found.skipped) == ('"shapes"' in (folder / "train/0.json").read_text())


def test_a_folder_without_splits_and_a_single_file(tmp_path):
    folder = one(tmp_path, labelme_shape("dog", (1, 2, 9, 9)))
    assert splits(folder) == () and format_of(folder / "a.json").name == "labelme"
    assert np.array_equal(read_labels(folder / "a.json").boxes, read_labels(folder).boxes)
    with pytest.raises(ValueError, match="split: got 'train', .* has none"):
        read_labelme(folder, split="train")


def test_an_image_inside_of_the_file_is_no_hindrance(tmp_path):
    folder = one(tmp_path, labelme_shape("dog", (1, 2, 9, 9)), imageData="A" * 2**20)
    assert (
        len(json.loads((folder / "a.json").read_text())["imageData"]) == 2**20 and len(read_labelme(folder).boxes) == 1
    )


@pytest.mark.parametrize("mark", [{"difficult": True}, {"Ignore": "1"}, {"iscrowd": 1}])
def test_a_mark_among_the_flags_makes_a_crowd(tmp_path, mark):
    plain = labelme_shape("dog", (1, 2, 9, 9))
    found = read_labelme(one(tmp_path, plain, plain | {"flags": mark}, plain | {"flags": dict.fromkeys(mark, False)}))
    assert found.crowd.tolist() == [False, True, False]


@pytest.mark.parametrize("stated", ["../images/a.jpg", "..\\images\\a.jpg"])
@pytest.mark.parametrize("path", ["labels", "labels/a.json"])
def test_an_image_lies_where_the_path_leads_beside_the_set(tmp_path, stated, path):
    (tmp_path / "labels").mkdir()
    write_image(tmp_path / "images/a.jpg", 1)
    write_labelme(tmp_path / "labels/a.json", [labelme_shape("dog", (1, 2, 9, 9))], imagePath=stated)
    assert read_labelme(tmp_path / path)[0].image.resolve() == tmp_path / "images/a.jpg"


@pytest.mark.parametrize("stated", ["../../far/a.jpg", "../images/a.txt"])
def test_a_path_leads_to_no_other_file(tmp_path, stated):
    folder = tmp_path / "set/labels"
    folder.mkdir(parents=True)
    for name in ("far/a.jpg", "set/images/a.jpg"):
        write_image(tmp_path / name, 1)
    (tmp_path / "set/images/a.jpg").rename(tmp_path / "set/images/a.txt")
    write_labelme(folder / "a.json", [labelme_shape("dog", (1, 2, 9, 9))], imagePath=stated)
    assert read_labelme(folder)[0].image.parent == folder


def test_images_of_no_split_are_a_part(tmp_path):
    folder = SOUND["labelme"](tmp_path / "set")
    (folder / "val").rename(folder / "more")
    write_labelme(folder / "more/0.json", [{"label": 3}])
    parts, unread = open_parts(folder, format_of(folder))
    assert [(part.split, len(part.data)) for part in parts] == [("train", 6), ("rest", 6)] and not unread
    assert [part.data.skips for part in parts] == [0, 1] and parts[1].names[0] == "more/0.jpg"


@pytest.mark.parametrize("sides", [(90, 120), (90.0, 120.0), ("90", "120")])
def test_the_size_that_a_file_states_is_that_of_its_labels(tmp_path, sides):
    folder = one(tmp_path, labelme_shape("dog", (1, 2, 9, 9)), imageHeight=sides[0], imageWidth=sides[1])
    assert read_labelme(folder)[0].size == (90, 120)
    assert "size-mismatch" in {each.check for each in examine(folder).findings}
    (folder / "a.jpg").unlink()
    assert read_labelme(folder)[0].size == (90, 120)


def test_an_empty_group_is_none(tmp_path):
    plain = labelme_shape("dog", (1, 2, 9, 9))
    shapes = [plain | {"group_id": ""}, labelme_shape("dog", (20, 20, 40, 40)) | {"group_id": ""}]
    assert read_labelme(one(tmp_path, *shapes)).boxes.tolist() == [[1, 2, 9, 9], [20, 20, 40, 40]]


@pytest.mark.parametrize("place", [None, "attributes", "flags"])
def test_a_mark_beside_the_flags_makes_a_crowd(tmp_path, place):
    """As X-AnyLabeling writes it."""
    plain = labelme_shape("dog", (1, 2, 9, 9)) | {"difficult": False}
    mark = {"difficult": True}
    found = read_labelme(one(tmp_path, plain, plain | (mark if place is None else {place: mark})))
    assert found.crowd.tolist() == [False, True]


def test_fields_may_be_sorted_by_their_names(tmp_path):
    folder = one(tmp_path, labelme_shape("dog", (1, 2, 9, 9)), imageData="A" * 2**16)
    document = json.loads((folder / "a.json").read_text())
    (folder / "a.json").write_text(json.dumps(document, sort_keys=True))
    assert format_of(folder).name == "labelme" and len(read_labels(folder).boxes) == 1
