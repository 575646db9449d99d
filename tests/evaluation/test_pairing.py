"""Rows of foreign results find their images and categories by what they name, or are refused."""

import json
from unicodedata import normalize

import numpy as np
import pytest
from evaluation_sets import known, perfect, spread
from PIL import Image

from labeled_sets import BOXES, NAMES, SOUND
from paretodet.evaluation.checks import check_results
from paretodet.evaluation.pairing import BY_STEM, pair_results
from paretodet.labels.read import read_labels
from paretodet.scoring import evaluate_file

STEMS = tuple(map(str, range(12)))  # in alphabetical order 0, 1, 10, 11, 2, ...


def yolo(folder, stems=STEMS):
    """Two classes; the box of image n is as wide as n + 5."""
    for kind in ("images", "labels"):
        (folder / kind / "val").mkdir(parents=True)
    for place, stem in enumerate(stems):
        Image.fromarray(np.zeros((80, 100, 3), np.uint8)).save(folder / f"images/val/{stem}.png")
        (folder / f"labels/val/{stem}.txt").write_text(f"{place % 2} 0.3 0.5 {(place + 5) / 100} 0.25\n")
    (folder / "data.yaml").write_text("train: images/val\nval: images/val\nnames: [cat, dog]\n")
    return folder / "data.yaml"


def rows(stems=STEMS, *, first=0, **of_stem):
    """One true box an image; `of_stem`: a field as a function of the stem."""
    made = []
    for place, stem in enumerate(stems):
        wide = place + 5
        box = [30 - wide / 2, 30.0, float(wide), 20.0]
        made.append({"category_id": place % 2 + first, "bbox": box, "score": 0.9})
        made[-1] |= {name: of(stem) for name, of in of_stem.items()}
    return made


def ap(folder, labels, found):
    path = folder / "results.json"
    path.write_text(json.dumps(found))
    result = evaluate_file(path, labels, split="val")
    return round(result.boxes.whole.ap or 0, 3), result.subject["paired"]


@pytest.mark.parametrize(
    "fields",
    [
        {"image_id": int, "file_name": "{}.png".format},
        {"image_id": int},
        {"image_id": str},
        {"image_id": "{}.png".format},
        {"image_id": "images/val/{}.png".format},
        {"image_id": lambda stem: 1000 + int(stem), "file_name": "C:\\sets\\val\\{}.png".format},
        {"image_id": float},
        {"image_id": int, "filename": "{}".format},
        {"file_name": "D:\\sets\\{}.PNG".format},
        {"image_name": "val/{}.jpg".format},
    ],
)
@pytest.mark.parametrize("first", [0, 1])
def test_images_without_ids_are_paired_by_file_name_or_stem(tmp_path, fields, first):
    assert ap(tmp_path, yolo(tmp_path / "set"), rows(first=first, **fields))[0] == 100


def test_what_is_not_as_in_the_file_is_told(tmp_path):
    labels = yolo(tmp_path / "set")
    assert ap(tmp_path, labels, rows(image_id=str)) == (100, [])
    _, (first, second) = ap(tmp_path, labels, rows(first=1, image_id=int, file_name="{}.png".format))
    assert "by file name" in first and "from 1" in second


def test_an_id_that_only_we_could_know_is_refused(tmp_path):
    stems = ("a", "b", "c")
    labels = yolo(tmp_path / "set", stems)
    with pytest.raises(ValueError, match="no ids of their own: write file_name") as refused:
        ap(tmp_path, labels, rows(stems, image_id={"a": 0, "b": 1, "c": 2}.get))
    assert refused.value.id == "labels-image-unknown"
    with pytest.raises(ValueError, match="'z.png' is no file name"):
        ap(tmp_path, labels, rows(stems, image_id=lambda stem: 0, file_name=lambda stem: "z.png"))


def test_a_name_of_two_images_is_refused(tmp_path):
    labels = yolo(tmp_path / "set", ("a",))
    (tmp_path / "set/images/val/more").mkdir()
    (tmp_path / "set/images/val/more/a.png").write_bytes((tmp_path / "set/images/val/a.png").read_bytes())
    with pytest.raises(ValueError, match="'a' names several images: write file_name with its folder"):
        ap(tmp_path, labels, rows(("a",), image_id=str))
    assert ap(tmp_path, labels, rows(("a",), image_id=lambda stem: "images/val/a.png"))[0] == 100


def test_categories_from_one_are_seen_without_the_last(tmp_path):
    """Neither 0 nor K is there: the boxes on labeled objects decide."""
    labels = yolo(tmp_path / "set")
    (tmp_path / "set/data.yaml").write_text("train: images/val\nval: images/val\nnames: [cat, dog, cow, hen]\n")
    assert ap(tmp_path, labels, rows(first=1, image_id=int))[0] == 100
    with pytest.raises(ValueError, match="2 lies on 'cat', 3 lies on 'dog'"):  # two off
        ap(tmp_path, labels, rows(first=2, image_id=int))


def test_our_own_results_are_paired(tmp_path):
    from paretodet.scoring import _with_names

    labels = yolo(tmp_path / "set", ("b", "a"))
    data = read_labels(labels, split="val")
    found = rows(("b", "a"), image_id={"a": 0, "b": 1}.get)
    named = _with_names(found, data)
    assert [each["file_name"] for each in named] == ["images/val/b.png", "images/val/a.png"]
    assert ap(tmp_path, labels, named) == (100, [])


@pytest.fixture
def coco(tmp_path):
    """Labels whose ids of images are 1 to 6 and of categories 0 and 1."""
    return read_labels(SOUND["coco"](tmp_path / "set"), split="train")


def detected(**fields):
    label, (x1, y1, x2, y2) = BOXES[0]
    return {"image_id": 1, "category_id": label, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": 0.5} | fields


@pytest.mark.parametrize("image", [{"image_id": 4}, {"image_id": 4.0}, {"image_id": "4"}, {"image_id": "3.jpg"}])
def test_ids_of_the_labels_are_used_by_their_value(coco, image):
    paired = pair_results([detected(**image)], coco)
    check_results(paired.rows, coco)
    assert paired.rows[0]["image_id"] == 4


def test_numbers_of_file_names_pair_where_some_are_no_ids(coco):
    """The images 0.jpg to 5.jpg have the ids 1 to 6."""
    paired = pair_results([detected(image_id=number) for number in (0, 3, 5)], coco)
    assert [row["image_id"] for row in paired.rows] == [1, 4, 6] and "file names, not their id" in paired.notes[0]
    assert pair_results([detected(image_id=number) for number in (1, 5)], coco).notes == ()
    with pytest.raises(ValueError, match="image_id: 0 of the results is no image"):
        check_results(pair_results([detected(image_id=number) for number in (0, 77)], coco).rows, coco)


@pytest.mark.parametrize("text", [{"score": "0.5"}, {"bbox": ["4", "4.0", "16", "1.6e1"]}, {"score": "5e-1"}])
def test_numbers_that_are_written_as_text_are_numbers(coco, text):
    paired = pair_results([detected() | text], coco)
    check_results(paired.rows, coco)
    (name,) = text
    values = paired.rows[0][name]
    assert {type(each) for each in (values if name == "bbox" else [values])} == {float}
    with pytest.raises(ValueError, match="finite number is needed|height are needed"):
        check_results(pair_results([detected(**{name: "high"})], coco).rows, coco)


def test_a_file_name_decides_where_an_id_contradicts(coco):
    paired = pair_results(
        [detected(image_id=1, file_name="3.jpg"), detected(image_id=1, file_name="elsewhere.jpg")], coco
    )
    assert [row["image_id"] for row in paired.rows] == [4, 1] and "1 of 2 rows" in paired.notes[0]


@pytest.mark.parametrize("empty", [None, [], {}, "", [[]], [[], []], [None], {"counts": []}, {"counts": ""}])
@pytest.mark.parametrize("field", ["segmentation", "bbox"])
def test_an_optional_field_that_is_empty_is_absent(coco, empty, field):
    square = {"segmentation": [[4, 4, 20, 4, 20, 20, 4, 20]]}
    row = detected(**square) | {field: empty}
    paired = pair_results([row], coco)
    check_results(paired.rows, coco)
    assert field not in paired.rows[0] and row[field] == empty


def test_categories_by_name(coco):
    assert pair_results([detected(category_id=NAMES[1])], coco).rows[0]["category_id"] == 1
    names = {"category_id": 17, "category_name": NAMES[1]}
    assert pair_results([detected(**names)], coco).rows[0]["category_id"] == 1
    assert pair_results([detected(category_id=1.0)], coco).rows[0]["category_id"] == 1


@pytest.mark.parametrize(
    ("bbox", "meaning"),
    [
        (lambda x, y, w, h: [x / 64, y / 48, w / 64, h / 48], "fractions of the image"),
        (lambda x, y, w, h: [x, y, x + w, y + h], "two corners"),
        (lambda x, y, w, h: [x + w / 2, y + h / 2, w, h], "a center, width and height"),
    ],
)
def test_boxes_that_all_have_one_mistake_are_refused(coco, bbox, meaning):
    found = [detected(bbox=bbox(x, y, 20, 16)) for x in (0, 30, 44) for y in (0, 10, 20, 32)]
    with pytest.raises(ValueError, match=f"results: .* are {meaning}"):
        check_results(found, coco)
    check_results([detected(bbox=[x, y, 20, 16]) for x in (0, 30, 44) for y in (0, 10, 20, 32)], coco)


def test_names_of_files_are_alike_however_accents_are_composed(tmp_path):
    stems = ("\u00e9t\u00e9", "\u00e0")
    labels = yolo(tmp_path / "set", stems)
    found = rows(stems, file_name=lambda stem: normalize("NFD", f"{stem}.png"))
    assert ap(tmp_path, labels, found)[0] == 100


def test_a_name_that_is_alike_to_two_is_refused(tmp_path):
    labels = yolo(tmp_path / "set", ("a", "A"))
    with pytest.raises(ValueError, match="no file name or stem"):
        ap(tmp_path, labels, rows(("x", "y"), file_name={"x": "a.PNG", "y": "b.png"}.get))


@pytest.mark.parametrize("key", ["annotations", "predictions"])
def test_a_document_of_detections_names_its_images_and_categories(tmp_path, key):
    """Ids of images and categories are those of the document, not of the labels."""
    labels = yolo(tmp_path / "set")
    found = [row | {"image_id": 100 + place} for place, row in enumerate(rows(first=7))]
    images = [{"id": 100 + place, "file_name": f"val/{stem}.png"} for place, stem in enumerate(STEMS)]
    categories = [{"id": 8, "name": "dog"}, {"id": 7, "name": "cat"}]
    assert ap(tmp_path, labels, {"images": images, "categories": categories, key: found})[0] == 100


def test_labels_in_place_of_detections_have_no_score(tmp_path):
    labels = yolo(tmp_path / "set")
    found = [{name: value for name, value in row.items() if name != "score"} for row in rows(image_id=int)]
    with pytest.raises(ValueError, match="has no score"):
        ap(tmp_path, labels, {"images": [], "categories": [], "annotations": found})


def test_another_numbering_of_the_categories_is_refused_by_the_boxes(tmp_path):
    """As of a detector whose classes are in another order, which would score 0."""
    labels = yolo(tmp_path / "set")
    found = [row | {"category_id": 1 - row["category_id"]} for row in rows(image_id=str)]
    with pytest.raises(ValueError, match=r"0 lies on 'dog', 1 lies on 'cat' in 12 of 12 boxes.*category_name"):
        ap(tmp_path, labels, found)
    names = ("cat", "dog")
    named = [row | {"category_name": names[1 - row["category_id"]]} for row in found]
    assert ap(tmp_path, labels, named)[0] == 100


def test_a_detector_that_takes_all_for_one_class_is_scored(tmp_path):
    labels = yolo(tmp_path / "set")
    found = [row | {"category_id": 1} for row in rows(image_id=str)]
    assert 0 < ap(tmp_path, labels, found)[0] < 100


SPARSE = (1, 2, 3, 4, 6, 7, 9, 12, 13, 15)  # numbers in the names of files, of which the ids are the places


def placed(names, *, same=False):
    """COCO's labels with ids from 0 in this order of the files, and a row for every object, by the name."""
    truth = spread({1: "car"}, images=len(names))
    for image, name in zip(truth["images"], names, strict=True):
        image["file_name"] = name
    if same:
        for row in truth["annotations"]:
            row["bbox"] = truth["annotations"][row["id"] % 2]["bbox"]
    return known(truth), dict(zip(names, perfect(truth)[::2], strict=True))


def images_of(labels, found):
    paired = pair_results(found, labels)
    return [row["image_id"] for row in paired.rows], paired.notes


@pytest.mark.parametrize("of", ["{:06d}", "{:06d}.jpg", "{:06d}.png", "{}"])
def test_a_text_that_is_a_name_is_no_id(of):
    """As labels that were made from Pascal VOC's have ids."""
    names = [f"{number:06d}.jpg" for number in SPARSE]
    labels, true = placed(names)
    found = [true[name] | {"image_id": of.format(number)} for name, number in zip(names, SPARSE, strict=True)]
    assert images_of(labels, found)[0] == list(range(10))


@pytest.mark.parametrize("kind", [int, str, float])
def test_where_numbers_are_ids_and_names_the_boxes_decide(kind):
    """As YOLOv5 writes image_id: the number in the name; the ids are in alphabetical order: 0, 1, 10, 11, 2, ..."""
    numbers = sorted(range(12), key=str)
    labels, true = placed([f"{number}.jpg" for number in numbers])
    by_stem = [true[f"{number}.jpg"] | {"image_id": kind(number)} for number in numbers]
    by_id = [row | {"image_id": kind(place)} for place, row in enumerate(by_stem)]
    assert images_of(labels, by_stem) == (list(range(12)), (BY_STEM,))
    assert images_of(labels, by_id) == (list(range(12)), ())
    with pytest.raises(ValueError, match="write file_name into every row") as refused:
        pair_results(by_stem[:6] + by_id[6:], labels)
    assert refused.value.id == "labels-image-unknown"
    named = [row | {"file_name": f"{number}.jpg"} for number, row in zip(numbers, by_id, strict=True)]
    assert images_of(labels, named[:6] + by_id[6:]) == (list(range(12)), ())


def test_where_the_boxes_do_not_tell_numbers_are_ids():
    """A camera that stands still sees one picture; boxes of nothing lie on nothing."""
    numbers = sorted(range(12), key=str)
    labels, true = placed([f"{number}.jpg" for number in numbers], same=True)
    found = [row | {"image_id": number} for number, row in zip(numbers, true.values(), strict=True)]
    assert images_of(labels, found) == (numbers, ())
    labels, true = placed([f"{number}.jpg" for number in numbers])
    found = [
        row | {"image_id": number, "bbox": [0, 0, 1, 1]} for number, row in zip(numbers, true.values(), strict=True)
    ]
    assert images_of(labels, found) == (numbers, ())


def test_a_text_that_names_two_images_is_refused_though_its_number_is_an_id():
    labels, true = placed(["a/0001.jpg", "b/0001.jpg", "b/0002.jpg"])
    with pytest.raises(ValueError, match="'0001' names several images"):
        pair_results([true["a/0001.jpg"] | {"image_id": "0001"}], labels)


@pytest.mark.parametrize("empty", [[], None, [[]], {"counts": ""}])
def test_boxes_are_scored_where_some_outlines_are_empty(tmp_path, empty):
    """As of objects that are too small for a mask."""
    square = [[4, 4, 20, 4, 20, 20, 4, 20]]
    labels = yolo(tmp_path / "set")
    found = [row | {"segmentation": square if n else empty} for n, row in enumerate(rows(image_id=str))]
    score, (note,) = ap(tmp_path, labels, found)
    assert score == 100 and note.startswith("masks are not scored, as 1 of 12 rows")
    for row in found:
        del row["bbox"]
    with pytest.raises(ValueError, match=r"results\[0\]: has no segmentation"):
        ap(tmp_path, labels, found)
