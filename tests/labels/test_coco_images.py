"""COCO's images: ids that are texts, sizes that are missing, names from other machines; and boxes that are missing."""

import json

import numpy as np
import pytest

from labeled_sets import SIZE, SOUND, truth_of, write_image, write_truth
from paretodet.evaluation.ground_truth import read_ground_truth
from paretodet.evaluation.pairing import pair_results
from paretodet.labels.convert import convert
from paretodet.labels.formats.coco import from_json, read_coco
from paretodet.labels.lint.clean import write_clean
from paretodet.labels.lint.examine import examine
from paretodet.labels.model import Purpose
from paretodet.labels.read import read_labels

IMAGE = {"id": 7, "file_name": "a.jpg", "height": 48, "width": 64}
BOX = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 5, 20, 30], "iscrowd": 0}
RING = [10, 5, 30, 5, 30.5, 35, 10, 35]
RUNS = {"size": list(SIZE), "counts": [99, 5, 43, 5, 48 * 64 - 152]}  # columns 2 and 3, rows 3 to 7
HASHES = ("b6ab77fd7", "2008_000001", "0x1f", "scene-4/left")


def write(folder, *, images=(IMAGE,), annotations=(BOX,), first="images"):
    folder.mkdir(exist_ok=True)
    lists = {"images": list(images), "annotations": list(annotations), "categories": [{"id": 3, "name": "dog"}]}
    path = folder / "instances.json"
    path.write_text(json.dumps({first: lists[first]} | lists))
    return path


def texted(folder, ids=HASHES, **more):
    images = [IMAGE | {"id": key, "file_name": f"{place}.jpg"} for place, key in enumerate(ids)]
    boxes = [BOX | {"id": place, "image_id": key, "bbox": [place, 5, 20, 30]} for place, key in enumerate(ids)]
    return write(folder, images=images, annotations=boxes[::-1], **more)


@pytest.mark.parametrize("first", ["images", "annotations", "categories"])
@pytest.mark.parametrize("ids", [HASHES, ("x",), ("007", "7a7", "12")])
def test_ids_may_be_texts(tmp_path, ids, first):
    found = read_coco(texted(tmp_path, ids, first=first))
    assert sorted(sample.id for sample in found) == sorted(ids) and found.skips == 0
    boxes = {sample.id: sample.boxes[0, 0] for sample in found}
    assert boxes == {key: place for place, key in enumerate(ids)}


@pytest.mark.parametrize("ids", [("x", 1), (1, "x"), ("a", "b", 3.0)])
def test_a_text_among_numbers_is_a_mistake(tmp_path, ids):
    found = read_coco(texted(tmp_path, ids))
    assert [sample.id for sample in found] == [int(key) for key in ids if not isinstance(key, str)]
    images = [each for each in found.skipped if each.place.startswith("images")]
    assert {each.id for each in images} == {"field-malformed"} and not found.text_ids


def test_a_text_twice_is_repeated(tmp_path):
    assert [each.id for each in read_coco(texted(tmp_path, ("x", "y", "x"))).skipped] == ["image-id-repeated"]


def test_results_are_paired_by_the_texts(tmp_path):
    data = read_coco(texted(tmp_path), purpose=Purpose.SCORE)
    rows = [{"image_id": key, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5} for key in HASHES[::-1]]
    paired, notes = pair_results(rows, data)
    assert [data.image_id(row["image_id"]) for row in paired] == list(HASHES[::-1]) and notes == ()
    by_file, _ = pair_results([rows[0] | {"image_id": "0.jpg"}], data)
    assert data.image_id(by_file[0]["image_id"]) == HASHES[0]
    with pytest.raises(ValueError, match="'unknown' is no file name") as refused:
        pair_results([rows[0] | {"image_id": "unknown"}], data)
    assert refused.value.id == "labels-image-unknown"


def test_our_own_results_have_the_texts(tmp_path):
    from paretodet.scoring import _with_names

    data = read_coco(texted(tmp_path), purpose=Purpose.SCORE)
    rows = [{"image_id": key} for key in data.keys.tolist()]
    assert sorted(row["image_id"] for row in _with_names(rows, data)) == sorted(HASHES)


def set_of_texts(folder):
    """Every id of an image is a text."""
    SOUND["coco"](folder)
    for split in ("train", "val"):
        truth = truth_of(folder, split)
        for image in truth["images"]:
            image["id"] = f"image {image['id']}"
        for box in truth["annotations"]:
            box["image_id"] = f"image {box['image_id']}"
        write_truth(folder, truth, split)
    return folder


def test_copies_keep_the_texts(tmp_path):
    folder = set_of_texts(tmp_path / "set")
    assert examine(folder).status == 0
    convert(folder, to="coco", out=tmp_path / "out")
    write_clean(examine(folder), tmp_path / "clean")
    for copy in ("out", "clean"):
        found = [read_labels(tmp_path / copy, split="train")[row] for row in range(6)]
        assert [sample.id for sample in found] == [f"image {number + 1}" for number in range(6)]
        assert all(len(sample.boxes) == 4 for sample in found)


@pytest.mark.parametrize("missing", [{}, {"bbox": None}, {"bbox": []}])
@pytest.mark.parametrize(
    ("outline", "box"),
    [
        ([RING], [10, 5, 30.5, 35]),
        ([RING, [1, 40, 2, 41, 1, 41]], [1, 5, 30.5, 41]),
        (RUNS, [2, 3, 4, 8]),
    ],
)
def test_a_box_that_is_missing_is_that_around_the_outline(tmp_path, missing, outline, box):
    bare = {key: value for key, value in BOX.items() if key != "bbox"} | {"segmentation": outline} | missing
    path = write(tmp_path, annotations=[bare, BOX])
    for purpose in (Purpose.TRAIN, Purpose.SCORE):
        found = read_coco(path, purpose=purpose)
        assert found.skips == 0 and found.boxes.tolist() == [box, [10, 5, 30, 35]]
    assert np.allclose(found.xywh[0], [box[0], box[1], box[2] - box[0], box[3] - box[1]])


@pytest.mark.parametrize(
    ("annotation", "id"),
    [
        ({"bbox": []}, "box-malformed"),
        ({"bbox": [], "segmentation": []}, "box-malformed"),
        ({"bbox": [], "segmentation": [[]]}, "box-malformed"),
        ({"bbox": [], "segmentation": [[1, 2, 3]]}, "mask-malformed"),
        ({"bbox": [1, 2, 3], "segmentation": [RING]}, "box-malformed"),
    ],
)
def test_a_box_is_missing_if_there_is_no_outline_either(tmp_path, annotation, id):
    found = read_coco(write(tmp_path, annotations=[BOX | annotation, BOX]))
    assert [(each.id, each.place) for each in found.skipped] == [(id, "annotations[0]")] and len(found.boxes) == 1


SIZES = [{"height": None}, {"width": 0}, {"height": "0", "width": 0.0}, {"height": -1}, {"height": "high"}]


def unsized(image, change):
    return {key: value for key, value in (image | change).items() if change or key not in ("height", "width")}


@pytest.mark.parametrize("change", [{}, *SIZES])
@pytest.mark.parametrize("place", ["", "images", "photos"])
def test_a_size_that_is_missing_is_that_of_the_image(tmp_path, change, place):
    write_image(tmp_path / "set" / place / "a.jpg", 1)
    found = read_coco(write(tmp_path / "set", images=[unsized(IMAGE, change)]))
    assert (found[0].size, found.skips, found[0].boxes.tolist()) == (SIZE, 0, [[10, 5, 30, 35]])


@pytest.mark.parametrize("change", [{}, *SIZES])
def test_a_size_that_nothing_states_leaves_the_image_out(tmp_path, change):
    (tmp_path / "c.jpg").write_text("no image")
    images = [unsized(IMAGE | {"id": 7 + at, "file_name": f"{name}.jpg"}, change) for at, name in enumerate("bc")]
    found = read_coco(write(tmp_path, images=[*images, IMAGE | {"id": 20}], annotations=[BOX | {"image_id": 20}]))
    assert found.keys.tolist() == [20] and found[0].boxes.tolist() == [[10, 5, 30, 35]] and found.name(0) == "a.jpg"
    assert [(each.id, each.place) for each in found.skipped] == [
        ("image-size-malformed", "images[0]"), ("image-size-malformed", "images[1]"),
    ]  # fmt: skip


@pytest.mark.parametrize("change", [{}, {"height": None}, {"width": 0}, {"height": "0", "width": 0.0}])
def test_predictions_need_no_size(tmp_path, change):
    known = read_ground_truth(write(tmp_path, images=[unsized(IMAGE, change)]))
    assert len(known.labels) == 1 and known.labels.image(0).size in ((0, 0), (48, 0), (0, 64))


def test_a_set_without_sizes_has_no_fault(tmp_path):
    folder = SOUND["coco"](tmp_path / "set")
    for split in ("train", "val"):
        truth = truth_of(folder, split)
        truth["images"] = [image | {"height": 0, "width": 0} for image in truth["images"]]
        write_truth(folder, truth, split)
    assert examine(folder).findings == ()


FOREIGN = [
    "/home/me/data/{}", "/data/set/images/{}", "../../images/{}", "../{}", "C:\\Users\\me\\{}", "\\\\server\\share\\{}",
    "/a" * 25 + "/{}",
]  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("place", ["", "images"])
def test_images_of_another_machine_are_found_by_the_ends_of_their_names(tmp_path, name, place):
    images = [IMAGE | {"id": key, "file_name": name.format(f"{key}.jpg")} for key in (1, 2, 3)]
    for key in (1, 2):
        write_image(tmp_path / "set" / place / f"{key}.jpg", key)
    path = write(tmp_path / "set", images=images, annotations=[BOX | {"image_id": 1}])
    found = read_coco(path)
    files = [tmp_path / "set" / place / f"{key}.jpg" for key in (1, 2)]
    for data in (found, read_coco(path, images=tmp_path / "set" / place)):
        assert [sample.image.resolve() for sample in data if sample.image.is_file()] == files
    lost = {each.id for each in found.skipped}
    assert lost == ({"name-unsafe"} if name[0] in "/.\\" else set())


def test_folders_that_two_images_need_are_kept(tmp_path):
    names = [f"/home/me/set/{folder}/1.jpg" for folder in ("train", "val")]
    for folder in ("train", "val"):
        write_image(tmp_path / folder / "1.jpg", 1)
    images = [IMAGE | {"id": key, "file_name": name} for key, name in enumerate(names)]
    found = read_coco(write(tmp_path, images=images, annotations=[]))
    assert [sample.image for sample in found] == [tmp_path / folder / "1.jpg" for folder in ("train", "val")]


def test_a_name_leads_to_no_file_outside(tmp_path):
    write_image(tmp_path / "secret.jpg", 1)
    write_image(tmp_path / "set/images/a.jpg", 1)
    names = ["a.jpg", "../secret.jpg", "../../secret.jpg", str(tmp_path / "secret.jpg")]
    images = [IMAGE | {"id": key, "file_name": name} for key, name in enumerate(names)]
    found = read_coco(write(tmp_path / "set", images=images, annotations=[]))
    assert found.keys.tolist() == [0] and [each.id for each in found.skipped] == ["name-unsafe"] * 3


def test_where_no_file_is_opened_names_stay(tmp_path):
    truth = {"images": [IMAGE | {"file_name": "/home/me/a.jpg"}], "annotations": [BOX]}
    assert from_json(truth | {"categories": [{"id": 3}]}).name(0) == "/home/me/a.jpg"
