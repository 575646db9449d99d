import json

import numpy as np
import pytest
from evaluation_sets import LABELS, RESULTS, SIDE, known, labels, official, results
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.evaluation.checks import check_results
from paretodet.evaluation.coco import evaluate, per_category, score
from paretodet.labels.rle import encode

# The official evaluator's result on its own fixture (val2014_fake_eval_res.txt and its README), ten digits.
BOXES = {
    "ap": 0.5045806987, "ap50": 0.6969727247, "ap75": 0.5729816670, "ap_small": 0.5856257209,
    "ap_medium": 0.5193996948, "ap_large": 0.5013978986, "ar1": 0.3868127796, "ar10": 0.5936795763,
    "ar100": 0.5953529829,
}  # fmt: skip
MASKS = {"ap": 0.3195452759, "ap50": 0.5622883973, "ap75": 0.2989265341}


@pytest.mark.parametrize(("kind", "expected"), [("bbox", BOXES), ("segm", MASKS)])
def test_official_fixture(data_folder, kind, expected):
    folder = data_folder / "coco_eval_fixture"
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / f"instances_val2014_fake{kind}100_results.json").read_text())
    found = score(known(truth), results, kind=kind)
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(100 * value, abs=1e-8)


def oracle(run):
    return [None if value < 0 else 100 * value for value in run.stats]


def oracle_per_category(run):
    kept = {key: run.eval["precision"][:, :, place, 0, 2] for place, key in enumerate(run.params.catIds)}
    return {key: 100 * each[each > -1].mean() if (each > -1).any() else None for key, each in kept.items()}


def alone(truth, results, category):
    """Labels and results of one category."""
    kept = [each for each in truth["annotations"] if each["category_id"] == category]
    only = [each for each in truth["categories"] if each["id"] == category]
    mine = [each for each in results if each["category_id"] == category]
    return truth | {"annotations": kept, "categories": only}, mine


@settings(max_examples=40)
@given(LABELS, RESULTS)
def test_equal_to_pycocotools(truth, found):
    found_, run = evaluate(known(truth), found), official(truth, found)
    assert list(found_.whole) == list(score(known(truth), found)) == pytest.approx(oracle(run), abs=1e-10)
    assert per_category(known(truth), found) == pytest.approx(oracle_per_category(run), abs=1e-10)
    for category, scores in found_.categories.items():
        labels, mine = alone(truth, found, category)
        if mine:
            assert list(scores) == pytest.approx(oracle(official(labels, mine)), abs=1e-10)


def moved(rows, by, names):
    return [row | {name: row[name] - by for name in names if name in row} for row in rows]


@settings(max_examples=10)
@given(LABELS, RESULTS)
def test_ids_below_0_are_ids(truth, found):
    """The images become 888, -5 and 0, the categories 1 and -88; pycocotools takes any number."""
    by = {"image_id": 12, "category_id": 89}
    below = {
        "images": moved(truth["images"], 12, ["id"]),
        "categories": moved(truth["categories"], 89, ["id"]),
        "annotations": truth["annotations"],
    }
    for name, amount in by.items():
        below["annotations"], found = (moved(rows, amount, [name]) for rows in (below["annotations"], found))
    run = official(below, found)
    assert list(score(known(below), found)) == pytest.approx(oracle(run), abs=1e-10)
    assert per_category(known(below), found) == pytest.approx(oracle_per_category(run), abs=1e-10)


@settings(max_examples=25)
@given(LABELS, RESULTS, st.booleans())
def test_masks_equal_pycocotools(truth, found, beside):
    """Outlines of the labels as polygons and run lengths, of the results as run lengths, a bbox beside them or not."""
    for row in truth["annotations"]:
        row["segmentation"] = drawn(row["bbox"]) if row["iscrowd"] else [corners(row["bbox"])]
    masks = [{key: row[key] for key in ("image_id", "category_id", "score")} for row in found]
    masks = [row | {"segmentation": drawn(each["bbox"])} for row, each in zip(masks, found, strict=True)]
    ours = [row | {"bbox": each["bbox"]} for row, each in zip(masks, found, strict=True)] if beside else masks
    assert list(score(known(truth), ours, kind="segm")) == pytest.approx(
        oracle(official(truth, masks, "segm")), abs=1e-10
    )
    check_results(ours, known(truth))


def corners(box):
    x, y, w, h = box
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def drawn(box):
    x, y, w, h = box
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y : y + h, x : x + w] = True
    return encode(mask)


def test_the_hundredth_detection_is_the_last():
    truth = labels([(7, 1, [0, 0, 40, 40], False)])
    noise = [(7, 1, [150, 150, 9, 9], 0.9)]
    for before, ap in ((99, 1.0), (100, 0.0)):
        found = results([*noise * before, (7, 1, [0, 0, 40, 40], 0.5)])
        assert score(known(truth), found).ap == pytest.approx(ap) and list(score(known(truth), found)) == pytest.approx(
            oracle(official(truth, found)), abs=1e-10
        )
        assert score(known(truth), found).ar10 == 0


def test_nothing_found_is_zero_and_prints_nothing(capfd):
    truth = {
        "images": [{"id": 1, "width": 9, "height": 9}],
        "categories": [{"id": 3, "name": "c"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [0, 0, 5, 5], "area": 25, "iscrowd": 0}],
    }
    found = score(known(truth), [])
    assert found.ap == found.ar100 == 0 and found.ap_large is None
    assert capfd.readouterr().out == ""


def test_a_result_of_an_unknown_image_is_named():
    truth = {
        "images": [{"id": 1, "width": 9, "height": 9}],
        "categories": [{"id": 1, "name": "c"}],
        "annotations": [],
    }
    for scoring in (score, per_category):
        with pytest.raises(ValueError, match="image_id: 2"):
            scoring(known(truth), [{"image_id": 2, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1.0}])


def test_categories_average_to_the_ap(data_folder):
    folder = data_folder / "coco_eval_fixture"
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    found = per_category(known(truth), results)
    aps = [ap for ap in found.values() if ap is not None]
    assert len(found) == 80 > len(aps) > 60
    assert sum(aps) / len(aps) == pytest.approx(100 * BOXES["ap"], abs=1e-8)


def test_fields_that_do_not_count_may_be_of_any_kind():
    """As exporters write them: dates as 0, licenses as text."""
    truth = {
        "images": [{"id": 3, "width": 50, "height": 40, "file_name": "a.jpg", "date_captured": 0, "license": "x"}],
        "categories": [{"id": 1, "name": "dog", "supercategory": 1}],
        "annotations": [
            {"id": 1, "image_id": 3, "category_id": 1, "bbox": [1, 2, 9, 9], "area": 81, "iscrowd": 0, "score": "high"}
        ],
    }
    found = [{"image_id": 3, "category_id": 1, "bbox": [1, 2, 9, 9], "score": 0.5, "id": "first"}]
    assert score(known(truth), found).ap == pytest.approx(100)


@pytest.mark.parametrize("form", ["polygons", "runs"])
def test_boxes_of_results_with_outlines_alone_are_those_around_them(form):
    mask = np.zeros((40, 50), np.uint8)
    mask[5:20, 10:30] = 1
    corners = [[10, 5, 30, 5, 30, 20, 10, 20]]
    flat = mask.T.ravel()
    ends = np.flatnonzero(np.diff(flat, prepend=0, append=0)).tolist()
    runs = np.diff([0, *ends, flat.size]).tolist()
    outline = corners if form == "polygons" else {"size": [40, 50], "counts": runs}
    truth = {
        "images": [{"id": 3, "width": 50, "height": 40}],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 3, "category_id": 1, "bbox": [10, 5, 20, 15], "area": 300, "iscrowd": 0,
             "segmentation": corners}
        ],
    }  # fmt: skip
    found = [{"image_id": 3, "category_id": 1, "segmentation": outline, "score": 0.5}]
    check_results(found, known(truth))
    assert score(known(truth), found).ap == score(known(truth), found, kind="segm").ap == pytest.approx(100)
