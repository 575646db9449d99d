"""COCO's annotations as they are scored: a bad one does not affect the others, and what was completed is reported."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretodet.bench.accuracy import CocoResults, score_results
from paretodet.evaluation.areas import with_areas
from paretodet.evaluation.checks import check_outlines
from paretodet.evaluation.dictionary import coco_dictionary
from paretodet.evaluation.ground_truth import read_ground_truth
from paretodet.labels.formats.coco import from_json
from paretodet.labels.model import Purpose

IMAGES = [{"id": 5, "file_name": "a.png", "width": 40, "height": 30}, {"id": 9, "file_name": "b.png"}]
SQUARE = [[2, 3, 22, 3, 22, 13, 2, 13]]
GOOD = {"id": 1, "image_id": 5, "category_id": 3, "bbox": [2, 3, 20, 10], "area": 190, "iscrowd": 0}


def kept(rows: list[Any], file: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Annotations as the evaluator gets them, and what is reported."""
    return scored(truth(*rows), file)


def scored(labels: dict[str, Any], file: Path, **more: Any) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    file.write_text(json.dumps(labels))
    found = read_ground_truth(file, **{"purpose": Purpose.SCORE} | more)
    return coco_dictionary(found.labels, outlines=True)["annotations"], found.skipped


def truth(*rows: Any) -> dict[str, Any]:
    return {"images": IMAGES, "categories": [{"id": 3, "name": "car"}], "annotations": list(rows)}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "val.json"


def test_valid_annotations_are_unchanged(file):
    rows = [GOOD | {"segmentation": SQUARE}, GOOD | {"id": 0, "iscrowd": 1, "segmentation": []}, GOOD | {"id": -4}]
    del rows[2]["iscrowd"]
    _, notes = kept(rows, file)
    found = from_json(truth(*rows))
    assert found.written.tolist() == [GOOD["bbox"]] * 3 and found.crowd.tolist() == [False, True, False]
    assert (found.areas.tolist(), found.ids.tolist()) == ([190] * 3, [1, 0, -4])
    assert found.mask(0).to_json() == SQUARE and found.mask(1) is None and len(notes) == 1  # of masks


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bbox": [2, 3, -20, 10]}, "the box has swapped corners or a negative side"),
        ({"bbox": [2, 3, float("nan"), 10]}, "the box holds a number that is not finite"),
        ({"bbox": [2, 3, 10**400, 10]}, "bbox holds a number that is too large"),
        ({"bbox": None}, "bbox is None, four numbers x, y, width, height are needed"),
        ({"category_id": 8}, "its category is not among the categories"),
        ({"image_id": 8}, "its image is not among the images"),
        ({"image_id": [5]}, r"image_id is [5], a whole number is needed"),
        ({"iscrowd": "no"}, "iscrowd is 'no', 0 or 1 is needed"),
    ],
)
def test_what_cannot_be_scored_is_left_out_counted_and_reported_once(file, change, reason):
    rows, notes = kept([GOOD, GOOD | {"id": 2} | change, "no object"], file)
    assert rows == [GOOD]
    assert notes == (
        f"2 annotations of {file} cannot be used, the first: annotations[1]: {reason} "
        f"(`paretodet doctor {file}` lists all)",
    )


RUNS = {"size": [30, 40], "counts": [100, 7, 1093]}
TRIANGLE = [[2, 3, 22, 3, 22, 13]]
TEXT = {"size": [30, 40], "counts": "T37UR1"}  # the same, as COCO's text


@pytest.mark.parametrize(("outline", "area"), [(None, 200), (SQUARE, 200), (TRIANGLE, 100), (RUNS, 7), (TEXT, 7)])
@pytest.mark.parametrize("stated", [None, "190 px", float("inf")])
def test_a_missing_area_is_the_outlines_or_the_boxs(file, outline, area, stated):
    row = GOOD | {"segmentation": outline, "area": stated}
    (found,), (notes, *_) = kept([row], file)
    assert found["area"] == pytest.approx(area, abs=10 if outline == TRIANGLE else 0)
    assert notes.startswith(f"1 annotations of {file} have no area, their outline's or box's is taken, the first: ")


@pytest.mark.parametrize("odd", [{"height": "high"}, {"width": -1}, {"file_name": "\x1b[2J"}, {"file_name": 3}])
def test_finished_results_need_no_image(file, odd):
    """Results on an image with an impossible size or file are scored; only what opens the image leaves it out."""
    labels = truth(GOOD) | {"images": [IMAGES[0] | odd, IMAGES[1]]}
    rows, notes = scored(labels, file)
    assert [row["image_id"] for row in rows] == [5] and not notes
    with pytest.raises(ValueError, match="no usable box.*; 1 images of"):
        scored(labels, file, purpose=Purpose.PREDICT)


def test_the_sentence_names_the_folder_of_the_images(file):
    labels, images = truth(GOOD, "no object"), file.parent / "my pictures"
    _, notes = scored(labels, file, images=images)
    assert notes[0].endswith(f"(`paretodet doctor {file} --image-root '{images}'` lists all)")


def test_an_area_needs_no_size_of_the_image(file):
    (found,), _ = kept([{"id": 1, "image_id": 9, "category_id": 3, "bbox": [1, 1, 4, 5]}], file)
    assert found["area"] == 20


@pytest.mark.parametrize("ids", [(1, 1), (1, None), ("one", 2), (1, 2**63), (1.5, 2)])
def test_missing_and_repeated_ids_are_renumbered(file, ids):
    rows, (notes,) = kept([GOOD | {"id": key} for key in ids], file)
    assert [row["id"] for row in rows] == [1, 2]
    assert notes.startswith(
        f"1 annotations of {file} have a missing or repeated id, all are numbered anew, the first: "
    )


def test_a_number_that_is_written_as_text_is_one(file):
    rows, notes = kept([GOOD | {"id": "7.0", "area": "190"}, GOOD | {"id": 8.0, "area": "1.9e2"}], file)
    assert [row["area"] for row in rows] == [190, 190] and not notes


def test_a_mark_among_the_attributes_is_told(file):
    _, (note,) = kept([GOOD, GOOD | {"id": 2, "attributes": {"occluded": True, "IsGroupOf": True}}], file)
    assert note.startswith(f"1 annotations of {file} are marked `ignore`")


@pytest.mark.parametrize("mark", ["ignore", "IsGroupOf", "is_group_of", "difficult", "is_crowd"])
def test_a_mark_that_is_not_read_is_told(file, mark):
    rows, (note,) = kept([GOOD, GOOD | {"id": 2, mark: True}, GOOD | {"id": 3, mark: 1, "iscrowd": 1}], file)
    assert [row["iscrowd"] for row in rows] == [0, 0, 1]
    assert note.startswith(f"1 annotations of {file} are marked `ignore`") and "annotations[1]" in note


@pytest.mark.parametrize(
    "outline",
    [[[1]], [[1, 2, 3, 4]], "polygon", RUNS | {"size": [40, 30]}, [["2", "3", "22", "3", "22", "13"]], [[1e8] * 6]],
)
def test_a_bad_outline_does_not_remove_the_box(file, outline):
    rows, (notes, *_) = kept([GOOD | {"segmentation": outline}], file)
    assert rows == [GOOD]
    assert notes.startswith(f"1 outlines of {file} cannot be used, their boxes stay, the first: annotations[0]: ")


def test_a_crowd_of_true_false_or_nothing_is_a_number(file):
    rows, notes = kept([GOOD | {"id": key, "iscrowd": crowd} for key, crowd in enumerate((0, False, True, None))], file)
    assert [row["iscrowd"] for row in rows] == [0, 0, 1, 0] and notes == ()
    assert all(type(row["iscrowd"]) is int for row in rows)


def test_nothing_left_is_reported_with_the_file_and_the_first_reason(file):
    with pytest.raises(ValueError, match=r"labels: .*; 1 annotations of .*val\.json .*\[0\]: bbox is None"):
        kept([GOOD | {"bbox": None}], file)


def test_a_file_whose_categories_are_none_is_named(file):
    file.write_text(json.dumps(truth(GOOD) | {"categories": [{"id": 3}, {"id": 3}]}))
    with pytest.raises(ValueError, match=r"labels: .*val\.json categories\[1\]: id 3 is another category's already"):
        read_ground_truth(file, purpose=Purpose.SCORE)


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 12), st.floats(), st.text(max_size=3), st.just(10**400), st.just(2**63),
    st.lists(st.one_of(st.floats(), st.integers(-50, 50), st.text(max_size=1)), max_size=7),
    st.lists(st.lists(st.integers(-9, 50), max_size=8), max_size=2), st.just({}), st.just(RUNS), st.just(TEXT),
    st.just({"size": [30, 40], "counts": None}), st.just([2, 3, 20, 10]), st.just(SQUARE),
)  # fmt: skip
FIELDS = ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation")


ROWS = st.lists(st.one_of(JUNK, st.dictionaries(st.sampled_from(FIELDS), JUNK).map(lambda row: GOOD | row)), max_size=4)
IMAGE = st.dictionaries(st.sampled_from(("id", "file_name", "width", "height")), JUNK).map(lambda row: IMAGES[0] | row)


@given(ROWS, st.lists(st.one_of(JUNK, IMAGE), max_size=2), st.sampled_from([Purpose.SCORE, Purpose.PREDICT]))
def test_what_is_left_of_any_annotation_can_be_scored(rows, images, purpose):
    """By the evaluator, whose segmentations are sound."""
    known = truth(*rows, GOOD | {"segmentation": SQUARE}) | {"images": [IMAGES[0], *images, IMAGES[1]]}
    found = from_json(known, purpose=purpose)
    dictionary = coco_dictionary(with_areas(found), outlines=True)
    check_outlines([row for row in dictionary["annotations"] if "segmentation" in row], found, "annotations")
    seen = {"image_id": 5, "category_id": 3, "bbox": [2, 3, 20, 10], "score": 0.5, "segmentation": SQUARE}
    score_results(CocoResults([seen], found, ()))
