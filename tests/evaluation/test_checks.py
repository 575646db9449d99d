import numpy as np
import pytest
from evaluation_sets import LABELS, RESULTS, known, labels, results
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as official

from paretodet.evaluation.checks import check_outlines, check_results, is_outline
from paretodet.labels.rle import run_lengths

BOX = [10, 10, 40, 40]
NAN = float("nan")


@given(LABELS, RESULTS)
def test_what_is_right_is_not_refused(truth, found):
    check_results(found, known(truth))


FAULTS = {
    "image_id": [(3, "3 of the results is no image"), ("7", "whole number"), (7.0, "whole number"), (True, "True")],
    "category_id": [(5, "5 of the results is no category"), (None, "whole number")],
    "score": [(NAN, "nan"), (-1e999, "inf"), ("0.5", "finite"), (None, "finite"), (True, "finite"), (10**400, "0")],
    "bbox": [
        ([1, 2, NAN, 4], "nan"), ([1, 2, 3], "width and height are needed"), ("abcd", "needed"), (None, "needed"),
        ([1, 2, -3, 4], "below 0"), ([1, 2, "3", 4], "finite"), ([1, 2, 10**400, 4], "finite"), ({}, "needed"),
        ([[1], [2], [3], [4]], "finite"), (5, "needed"),
    ],
}  # fmt: skip
CASES = [(name, value, says) for name, cases in FAULTS.items() for value, says in cases]


@pytest.mark.parametrize(("name", "value", "says"), CASES)
def test_a_fault_is_named_with_its_place(name, value, says):
    truth, found = labels([(7, 1, BOX, False)]), results([(7, 1, BOX, 0.5)] * 3)
    found[2][name] = value
    with pytest.raises(ValueError, match=says) as caught:
        check_results(found, known(truth))
    assert name in str(caught.value) and len(str(caught.value)) < 200
    if "no " not in says:
        assert str(caught.value).startswith(f"results[2].{name}")


@pytest.mark.parametrize("name", ["image_id", "category_id", "score", "bbox"])
def test_what_is_missing_is_named(name):
    truth, found = labels([(7, 1, BOX, False)]), results([(7, 1, BOX, 0.5)] * 2)
    del found[1][name]
    with pytest.raises(ValueError, match=rf"results\[1\]: has no {name}"):
        check_results(found, known(truth))


@pytest.mark.parametrize(("found", "says"), [([3], "object"), ("text", "list"), ({"a": 1}, "list"), (None, "list")])
def test_no_list_of_objects(found, says):
    with pytest.raises(ValueError, match=says):
        check_results(found, known(labels([])))


MASKS = arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@given(MASKS)
def test_run_lengths_are_read_as_pycocotools_writes_them(mask):
    encoded = official.encode(np.asfortranarray(mask, dtype=np.uint8))
    runs, flat = run_lengths(encoded["counts"]).tolist(), mask.ravel(order="F")
    assert np.array_equal(np.repeat(np.arange(len(runs)) % 2 == 1, runs), flat)
    rle = {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}
    assert is_outline(rle, mask.shape) and is_outline(rle | {"counts": runs}, mask.shape)
    assert not is_outline(rle, (mask.shape[0] + 1, mask.shape[1]))
    assert not is_outline(rle | {"counts": rle["counts"] + "1"}, mask.shape)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text):
    assert isinstance(is_outline({"size": [4, 5], "counts": text}, (4, 5)), bool)


@pytest.mark.parametrize(
    "outline",
    [None, [], 5, "x", [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, NAN]], [[1, 2, 3, 4, 5]], {}, {"size": [9, 9]}, [["a"] * 6],
     {"size": [9, 9], "counts": [80]}, {"size": [9, 9], "counts": [-1, 82]}, {"size": [9, 9], "counts": "zzz~~"}],
)  # fmt: skip
def test_what_is_no_outline(outline):
    assert not is_outline(outline, (9, 9))
    truth = known(labels([], images=(1,)))
    with pytest.raises(ValueError, match=r"results\[0\].segmentation"):
        check_outlines([{"image_id": 1, "segmentation": outline}], truth, "results")


def test_some_with_masks_and_some_without():
    truth, found = labels([(7, 1, BOX, False)]), results([(7, 1, BOX, 0.5)] * 2)
    found[0]["segmentation"] = [[0, 0, 9, 0, 9, 9]]
    with pytest.raises(ValueError, match=r"results\[1\]: has no segmentation, which others have"):
        check_results(found, known(truth))


def test_what_a_row_needs_is_stated():
    """As of the lists of all boxes of an image, which other tools write."""
    nested = [{"image_id": 7, "boxes": [BOX], "scores": [0.5], "labels": [1]}]
    with pytest.raises(
        ValueError, match=r"results\[0\]: has no category_id; a row is one detection with image_id"
    ) as caught:
        check_results(nested, known(labels([(7, 1, BOX, False)])))
    assert caught.value.id == "results-malformed"


@pytest.mark.parametrize(
    ("field", "task"),
    [
        ("rbox", "an oriented box"), ("poly", "an oriented box"), ("keypoints", "the keypoints of a pose"),
        ("segments_info", "panoptic segmentation"), ("caption", "a caption"),
    ],
)  # fmt: skip
def test_results_of_another_task_are_named_as_such(field, task):
    """As Ultralytics, and COCO's other tasks, write them."""
    rows = [{"image_id": 7, "category_id": 1, "score": 0.5, field: [10, 10, 40, 40, 0.3]}]
    with pytest.raises(ValueError, match=rf"results\[0\]: has no bbox; it .*{task}") as caught:
        check_results(rows, known(labels([(7, 1, BOX, False)])))
    assert caught.value.id == "results-malformed"
    check_results([rows[0] | {"bbox": BOX}], known(labels([(7, 1, BOX, False)])))


@pytest.mark.parametrize(("count", "oriented"), [(5, True), (8, True), (3, False), (6, False)])
def test_a_box_with_an_angle_or_four_corners_may_be_oriented(count, oriented):
    rows = [{"image_id": 7, "category_id": 1, "score": 0.5, "bbox": [10] * count}]
    with pytest.raises(ValueError, match=r"results\[0\]\.bbox: got") as caught:
        check_results(rows, known(labels([(7, 1, BOX, False)])))
    assert ("oriented box" in caught.value.message) == oriented
