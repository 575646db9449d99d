"""COCO instances files: the real ones as pycocotools reads them, and every way in which one can be wrong."""

import json

import numpy as np
import pytest
from PIL import Image

from labeled_sets import SOUND, truth_of, write_truth
from paretodet.labels import json_stream
from paretodet.labels.formats.coco import read_coco
from paretodet.labels.read import find_format, format_of, read_labels, splits

IMAGE = {"id": 7, "file_name": "a.jpg", "height": 40, "width": 60}
BOX = {"id": 1, "image_id": 7, "category_id": 90, "bbox": [10, 5, 20, 30], "iscrowd": 0}
CATEGORIES = [{"id": 90, "name": "dog"}, {"id": 3, "name": "cat"}]
RUNS = {"size": [40, 60], "counts": [0, 40, 2360]}


def write(folder, **changes):
    truth = {"images": [IMAGE], "annotations": [BOX], "categories": CATEGORIES} | changes
    path = folder / "instances.json"
    path.write_text(json.dumps({key: value for key, value in truth.items() if value is not None}))
    return path


def test_sparse_ids_become_labels_by_rising_id(tmp_path):
    empty = IMAGE | {"id": 2**40, "file_name": "b.jpg"}
    crowd = BOX | {"id": 2, "category_id": 3, "iscrowd": 1, "bbox": [0.5, 0, 1.25, 2]}
    found = read_coco(write(tmp_path, images=[empty, IMAGE], annotations=[crowd, BOX]))
    assert (found.labels, found.category_ids, found.skips) == (("cat", "dog"), (3, 90), 0)
    assert (found[0].id, len(found[0].boxes), found[0].masks) == (2**40, 0, None)
    sample = found[1]
    assert sample.boxes.tolist() == [[0.5, 0, 1.75, 2], [10, 5, 30, 35]]
    assert (sample.labels.tolist(), sample.crowd.tolist(), sample.size) == ([0, 1], [True, False], (40, 60))
    assert (sample.boxes.dtype, sample.labels.dtype, sample.crowd.dtype) == (np.float32, np.int64, bool)
    assert sample.image == tmp_path / "a.jpg"


def test_boxes_end_at_their_image(tmp_path):
    found = read_coco(write(tmp_path, annotations=[BOX | {"bbox": [-5, 30, 200, 10.5]}]))
    assert found[0].boxes.tolist() == [[0, 30, 60, 40]]


def test_a_key_may_come_in_any_order_and_hold_anything_else(tmp_path):
    truth = {"annotations": [BOX], "info": {"year": 1}, "categories": CATEGORIES, "licenses": [{}], "images": [IMAGE]}
    (tmp_path / "x.json").write_text(json.dumps(truth, indent=3))
    assert len(read_coco(tmp_path / "x.json")[0].boxes) == 1


def test_a_set_without_annotations_is_a_set_of_empty_images(tmp_path):
    found = read_coco(write(tmp_path, annotations=[]))
    assert (len(found), found[0].boxes.shape, found[0].masks) == (1, (0, 4), None)


@pytest.mark.parametrize("place", ["", "images", "../val2017", "../images"])
def test_images_are_found_in_the_usual_folders(tmp_path, place):
    labels = tmp_path / "annotations"
    labels.mkdir()
    (labels / place).mkdir(exist_ok=True)
    (labels / place / "a.jpg").touch()
    path = write(labels).rename(labels / "instances_val2017.json")
    assert read_coco(path)[0].image.resolve() == (labels / place / "a.jpg").resolve()
    assert read_coco(path, images="elsewhere")[0].image.parts[0] == "elsewhere"


@pytest.mark.parametrize("place", ["photos", "../photos"])
def test_images_are_found_in_one_folder_of_an_unknown_name(tmp_path, place):
    labels = tmp_path / "Anns"
    (labels / place).mkdir(parents=True)
    (labels / place / "a.jpg").touch()
    path = write(labels)
    assert read_coco(path)[0].image.resolve() == (labels / place / "a.jpg").resolve()
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "a.jpg").touch()
    assert read_coco(path).folder == labels  # either may be meant


def test_names_may_begin_with_the_folder_that_is_given(tmp_path):
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017" / "a.jpg").touch()
    path = write(tmp_path, images=[IMAGE | {"file_name": "val2017/a.jpg"}])
    for given in (tmp_path, tmp_path / "val2017"):
        assert read_coco(path, images=given)[0].image == tmp_path / "val2017" / "a.jpg"
    (tmp_path / "val2017" / "a.jpg").unlink()
    assert read_coco(path, images=tmp_path / "val2017").folder == tmp_path / "val2017"


def test_names_in_folders_are_found_in_a_flat_folder(tmp_path):
    images = [IMAGE | {"id": 5, "file_name": "train2017/a.jpg"}, IMAGE | {"id": 6, "file_name": "train2017\\b.jpg"}]
    path = write(tmp_path, images=images, annotations=[])
    for folder in (tmp_path / "photos", tmp_path / "images"):
        folder.mkdir()
        (folder / "b.jpg").touch()
        found = read_coco(path, images=folder) if folder.name == "photos" else read_coco(path)
        assert (found.folder, found.name(0), found.name(1)) == (folder, "a.jpg", "b.jpg")
    (tmp_path / "images" / "b.jpg").unlink()
    assert read_coco(path).name(1) == "train2017/b.jpg"  # a folder of another name may hold other images of these names


def test_names_keep_their_folders_if_they_would_be_alike_without(tmp_path):
    images = [IMAGE | {"id": key, "file_name": f"{folder}/a.jpg"} for key, folder in ((5, "train"), (6, "val"))]
    path = write(tmp_path, images=images, annotations=[])
    (tmp_path / "a.jpg").touch()
    assert [read_coco(path, images=tmp_path).name(row) for row in (0, 1)] == ["train/a.jpg", "val/a.jpg"]


def test_missing_images_do_not_hide_the_folder_of_the_others(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images" / "val").mkdir(parents=True)
    (tmp_path / "images" / "val" / "99.jpg").touch()
    images = [IMAGE | {"id": key, "file_name": f"{key}.jpg"} for key in range(101)]
    path = write(tmp_path / "annotations", images=images, annotations=[]).rename(
        tmp_path / "annotations" / "instances_val.json"
    )
    assert read_coco(path)[0].image.resolve() == tmp_path / "images" / "val" / "0.jpg"
    (tmp_path / "images" / "val" / "99.jpg").rename(tmp_path / "images" / "val" / "100.jpg")  # beyond those looked for
    assert read_coco(path).folder == tmp_path / "annotations"


def test_the_real_file_is_read_as_pycocotools_reads_it(data_folder):
    from pycocotools.coco import COCO

    path = data_folder / "coco_val2017_44" / "instances.json"
    found, truth, seen = read_coco(path), COCO(str(path)), 0
    assert (len(found), len(found.labels), found.category_ids[-1], found.skips) == (44, 80, 90, 0)
    for sample in (found[index] for index in range(len(found))):
        assert sample.image.is_file()
        rows = truth.loadAnns(truth.getAnnIds(sample.id))
        for row, box, label, crowd, mask in zip(rows, *sample[3:], strict=True):
            x, y, width, height = row["bbox"]
            np.testing.assert_allclose(box, [x, y, x + width, y + height], atol=1e-4)
            assert (found.category_ids[label], crowd) == (row["category_id"], row["iscrowd"])
            assert np.array_equal(mask.decode(sample.size), truth.annToMask(row))
            seen += 1
    assert seen == 304


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"images": None}, "has no list of images, which a COCO instances file holds"),
        ({"annotations": {}}, "has no list of annotations"),
        ({"categories": []}, "has no category"),
        ({"categories": [{"id": "x3", "name": "cat"}]}, r"categories\[0\]: id is 'x3', a whole number is needed"),
        ({"categories": [{"id": True, "name": "cat"}]}, "id is True, a whole number"),
        ({"categories": [{"id": 3}]}, r"categories\[0\]: name is None, a name is needed"),
        ({"categories": [*CATEGORIES, {"id": 3, "name": "cow"}]}, r"\[2\]: id 3 is another category's already"),
        ({"images": []}, "has no usable image"),
        ({"images": [5]}, r"has no usable image; .* images\[0\]: id is None"),
        ({"images": [IMAGE | {"height": 0}]}, r"images\[0\]: height is 0, 1 to"),
        ({"images": [IMAGE | {"width": None}]}, "width is None, a whole number is needed"),
        ({"images": [IMAGE | {"id": 2**70}]}, "a whole number is needed"),
        ({"images": [IMAGE | {"file_name": "../../a.jpg"}]}, "leaves the folder"),
        ({"images": [IMAGE | {"file_name": "/etc/a.jpg"}]}, "leaves the folder"),
        ({"images": [IMAGE | {"file_name": "a\0.jpg"}]}, "a name is needed"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_it_lacks(tmp_path, changes, fault):
    path = write(tmp_path, **changes)
    with pytest.raises(ValueError, match=fault) as raised:
        read_coco(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "expected '{'"),
        ("[]", "it holds a list, an object is needed"),
        ('{"images": [', "Expecting value at character 12"),
        ('{"images": [1 2]}', "expected ',]'"),
        ('{"images": []} x', "expected 'the end'"),
        ('{"images": ' + "[" * 100000, "cannot be read as JSON"),
        ('{"images": [' + "9" * 5000 + "]}", "cannot be read as JSON"),
        ('{1: 2}', "a key is int"),
    ],
)  # fmt: skip
def test_what_is_no_json_is_named(tmp_path, text, fault):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=fault) as raised:
        read_coco(tmp_path / "x.json")
    assert f"labels: {tmp_path / 'x.json'} cannot be read as JSON" in str(raised.value)


@pytest.mark.parametrize("chunk", range(1, 40))
def test_no_value_is_torn_where_a_piece_of_the_file_ends(tmp_path, monkeypatch, chunk):
    """A number that ends there may go on: 1 is whole, and so is the 1 of 1.5e-3."""
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
    whole = {"a": 1.5e-3, "b": [12.25, -7, 1e300, True, None, "x"], "c": -0.5, "d": {"e": [1.5]}, "f": 25}
    text = json.dumps(whole).replace("0.0015", "1.5e-3")
    (tmp_path / "x.json").write_text(text)
    found = {}
    for key, number, value in json_stream.elements(tmp_path / "x.json"):
        if number >= 0:
            found.setdefault(key, []).append(value)
        elif value != []:
            found[key] = value
    assert found == whole
    (tmp_path / "x.json").write_text('{"a": 1.5.2}')
    with pytest.raises(ValueError, match="expected ',}'"):
        list(json_stream.elements(tmp_path / "x.json"))


def test_a_file_of_another_encoding_or_none_is_named(tmp_path):
    (tmp_path / "x.json").write_bytes(b'{"images\xff": []}')
    for name in ("x.json", "missing.json", "."):
        with pytest.raises(ValueError, match="cannot be read as JSON"):
            read_coco(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"image_id": 8}, "its image is not among the images"),
        ({"image_id": "a7"}, "image_id is 'a7', a whole number is needed"),
        ({"category_id": 4}, "its category is not among the categories"),
        ({"bbox": None}, "bbox is None, four numbers x, y, width, height are needed"),
        ({"bbox": [1, 2, 3]}, "four numbers"),
        ({"bbox": [1, 2, 3, "x"]}, "a text in it is no number"),
        ({"bbox": [1, 2, 3, [4]]}, "four numbers"),
        ({"bbox": [1, 2, 3, 10**400]}, "too large"),
        ({"bbox": [1, 2, 3, float("nan")]}, "not finite"),
        ({"bbox": [1, 2, float("inf"), 3]}, "not finite"),
        ({"bbox": [1, 2, 0, 3]}, "no area"),
        ({"bbox": [30, 2, -3, 3]}, "swapped corners or a negative side"),
        ({"bbox": [60, 2, 3, 3]}, "no part of the box is inside"),
        ({"iscrowd": "no"}, "iscrowd is 'no', 0 or 1 is needed"),
        ({"iscrowd": 2}, "iscrowd is 2, 0 or 1 is needed"),
    ],
)
def test_an_annotation_that_cannot_be_used_is_skipped_and_reported(tmp_path, change, fault):
    path = write(tmp_path, annotations=[BOX | change, BOX])
    found = read_coco(path)
    assert found[0].boxes.tolist() == [[10, 5, 30, 35]]
    assert found.skips == 1
    assert str(found.skipped[0]).startswith(f"{path} annotations[0]: ")
    assert fault in found.skipped[0].reason


@pytest.mark.parametrize(
    ("outline", "fault"),
    [
        ({"size": [60, 40], "counts": [2400]}, "drawn for another size"),
        (RUNS | {"counts": [0, 40]}, "lengths that sum to the 2400 pixels"),
        (RUNS | {"size": [10**5, 10**5]}, "more than 100000000 pixels"),
        ([[1, 2, 3, 4]], "at least three x, y pairs"),
        ([[1, 2, 3, 4, 5, "x"]], "at least three x, y pairs"),
        ([[1, 2, 3, 4, 5, float("nan")]], "an outline of nan px"),
        ("polygon", "got str, polygons or run lengths are needed"),
    ],
)
def test_an_outline_that_cannot_be_used_is_skipped_and_its_box_stays(tmp_path, outline, fault):
    path = write(tmp_path, annotations=[BOX | {"segmentation": outline}, BOX | {"segmentation": RUNS}])
    found = read_coco(path)
    assert len(found[0].boxes) == 2 and found[0].masks[0] is None
    assert int(found[0].masks[1].decode((40, 60)).sum()) == 40
    assert found.skips == 1 and fault in found.skipped[0].reason
    assert str(found.skipped[0]).startswith(f"{path} annotations[0]: ")


@pytest.mark.parametrize("outline", [None, [], "", {}, [[]], [[], []], RUNS | {"counts": ""}, RUNS | {"counts": []}])
def test_an_outline_that_is_empty_is_none(tmp_path, outline):
    found = read_coco(write(tmp_path, annotations=[BOX | {"segmentation": outline}]))
    assert found.skips == 0 and found.outlines is None and len(found.boxes) == 1


def test_where_no_outline_can_be_used_there_are_none(tmp_path):
    other = {"size": [60, 40], "counts": [2400]}
    found = read_coco(write(tmp_path, annotations=[BOX | {"segmentation": other}]))
    assert found.outlines is None and found[0].masks is None and found.skips == 1


@pytest.mark.parametrize(("crowd", "means"), [(0, False), (1, True), (False, False), (True, True), (None, False)])
def test_iscrowd_is_a_number_a_boolean_or_missing(tmp_path, crowd, means):
    assert read_coco(write(tmp_path, annotations=[BOX | {"iscrowd": crowd}]))[0].crowd.tolist() == [means]


def test_an_image_that_cannot_be_used_is_skipped_with_its_boxes(tmp_path):
    strange = IMAGE | {"id": 8, "height": None}
    found = read_coco(write(tmp_path, images=[strange, IMAGE, IMAGE], annotations=[BOX | {"image_id": 8}, BOX]))
    assert len(found) == 1
    assert [each.place for each in found.skipped] == ["images[0]", "images[2]", "annotations[0]"]
    assert found.skipped[1].reason == "id 7 is another image's already"


def test_a_thousand_faults_are_listed_and_the_rest_counted(tmp_path):
    found = read_coco(write(tmp_path, annotations=[BOX | {"image_id": 1}] * 1500))
    assert (found.skips, len(found.skipped)) == (1500, 1000)


def test_an_annotation_without_outline_among_others_has_no_mask(tmp_path):
    found = read_coco(write(tmp_path, annotations=[BOX | {"segmentation": RUNS}, BOX, BOX | {"segmentation": []}]))
    masks = found[0].masks
    assert int(masks[0].decode((40, 60)).sum()) == 40 and masks[1:] == (None, None)


@pytest.mark.parametrize("write", [int, float, str, "{}.0".format, " {}".format])
def test_a_number_is_what_its_value_is(tmp_path, write):
    image = {"id": write(7), "file_name": "a.jpg", "height": write(30), "width": write(40)}
    box = {"image_id": write(7), "category_id": write(3), "bbox": [*map(write, (1, 2, 10, 20))], "iscrowd": write(1)}
    path = tmp_path / "instances.json"
    categories = [{"id": write(3), "name": "dog"}]
    path.write_text(json.dumps({"images": [image], "annotations": [box], "categories": categories}))
    (sample,) = read_coco(path)
    assert (sample.id, sample.size, sample.crowd.tolist()) == (7, (30, 40), [True])
    assert sample.boxes.tolist() == [[1, 2, 11, 22]] and read_coco(path).skips == 0


@pytest.mark.parametrize("value", [7.5, "7.5", "", "x", "0x7", "1e3", "٣", True, [7], float("nan")])
def test_what_is_no_whole_number_is_no_id(tmp_path, value):
    path = tmp_path / "instances.json"
    images = [{"id": key, "file_name": f"{key}.jpg", "height": 30, "width": 40} for key in (value, 1)]
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": [{"id": 3, "name": "dog"}]}))
    (skipped,) = read_coco(path).skipped
    assert skipped.id == "field-malformed" and "a whole number is needed" in skipped.reason


@pytest.mark.parametrize(
    ("labels", "images"),
    [
        ("{split}/labels.json", "{split}"),
        ("{split}/annotations.json", "{split}/images"),
        ("annots/{split}.json", "images/{split}"),
        ("{split}/annotations.json", "{split}/images"),
        ("annots/{split}.json", "images/{split}"),
        ("labels/instances_{split}.json", "images/{split}"),
        ("data/{split}/a.json", "data/{split}"),
    ],
)
def test_a_set_is_found_in_folders_of_other_names(tmp_path, labels, images):
    for split in ("train", "valid"):
        for place in (labels, images):
            (tmp_path / place.format(split=split)).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / images.format(split=split)).mkdir(parents=True, exist_ok=True)
        write(tmp_path).rename(tmp_path / labels.format(split=split))
        Image.new("RGB", (60, 40)).save(tmp_path / images.format(split=split) / "a.jpg")
    assert splits(tmp_path) == ("train", "valid") and format_of(tmp_path).name == "coco"
    found = read_labels(tmp_path, split="valid")[0].image.resolve()
    assert found == (tmp_path / images.format(split="valid") / "a.jpg").resolve()


def test_json_of_another_kind_below_is_no_set(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x/package.json").write_text('{"name": "images", "categories": []}')
    assert find_format(tmp_path) is None


def test_folders_in_names_may_be_written_as_windows_does(tmp_path):
    folder = SOUND["coco"](tmp_path / "set")
    truth = truth_of(folder)
    for image in truth["images"]:
        image["file_name"] = f"train\\{image['file_name']}"
    write_truth(folder, truth)
    assert all(sample.image.is_file() for sample in read_labels(folder, split="train"))


@pytest.mark.parametrize(("name", "found"), [("val", True), ("valid", True), ("val2017", True), ("train", False)])
def test_a_file_that_is_named_as_another_split_is_read_too(tmp_path, name, found):
    SOUND["coco"](tmp_path)
    (tmp_path / "annotations/instances_val.json").rename(tmp_path / f"annotations/{name}.json")
    assert set(splits(tmp_path)) == ({"train", name} if found else {"train"})


@pytest.mark.parametrize(
    ("crowd", "means"),
    [("", False), ([], False), ({}, False), ("true", True), ("False", False), ("1.0", True), ("0", False)],
)
def test_iscrowd_is_what_its_value_is_and_empty_is_absent(tmp_path, crowd, means):
    found = read_coco(write(tmp_path, annotations=[BOX | {"iscrowd": crowd}]))
    assert found.crowd.tolist() == [means] and not found.skips


@pytest.mark.parametrize(
    ("annotation", "categories", "task"),
    [
        ({"id": 1, "image_id": 7, "caption": "A dog."}, None, "captions"),
        ({"image_id": 7, "file_name": "a.png", "segments_info": [{"id": 1, "category_id": 3}]}, CATEGORIES, "panoptic"),
    ],
)
def test_a_file_of_another_task_is_named_as_such(tmp_path, annotation, categories, task):
    with pytest.raises(ValueError, match=f"instances.json holds {task}") as refused:
        read_coco(write(tmp_path, annotations=[annotation], categories=categories))
    assert refused.value.id == "labels-format"
    assert len(read_coco(write(tmp_path, annotations=[BOX | {"caption": "A dog."}])).boxes) == 1


NAMES = ("{}_instances", "coco_{}", "annotations_{}", "{}-annotations", "{}.coco", "instances_{}_coco", "Instances {}")


@pytest.mark.parametrize("val", ["val", "valid", "validation2017"])
@pytest.mark.parametrize("name", NAMES)
def test_a_split_may_stand_anywhere_in_a_files_name(tmp_path, name, val):
    SOUND["coco"](tmp_path)
    for split, other in (("train", "train"), ("val", val)):
        file = (tmp_path / f"annotations/instances_{split}.json").rename(
            tmp_path / f"annotations/{name.format(other)}.json"
        )
        assert splits(file) == () and len(read_labels(file, split=other)) == 6
        assert len(read_labels(file, split=file.stem)) == 6
    assert set(splits(tmp_path)) == {"train", val}
    assert all(sample.image.is_file() for sample in read_labels(tmp_path, split="train"))
    assert read_labels(tmp_path, split="val").folder == read_labels(tmp_path, split=name.format(val)).folder


@pytest.mark.parametrize("name", NAMES)
def test_a_file_named_otherwise_is_a_split_beside_one_of_the_usual_name(tmp_path, name):
    SOUND["coco"](tmp_path)
    (tmp_path / "annotations/instances_val.json").rename(tmp_path / f"annotations/{name.format('val')}.json")
    (tmp_path / "annotations/captions_train.json").write_text('{"images": [], "annotations": []}')
    assert set(splits(tmp_path)) == {"train", "val"}


def test_files_that_would_be_one_split_keep_their_names(tmp_path):
    SOUND["coco"](tmp_path)
    for split, name in (("train", "val"), ("val", "val_labels")):
        (tmp_path / f"annotations/instances_{split}.json").rename(tmp_path / f"annotations/{name}.json")
    assert set(splits(tmp_path)) == {"val", "val_labels"}
