"""Federated labels are scored as LVIS defines it: the scores are compared with the definition."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_sets import CATEGORIES, FREE_LABELS, FREE_RESULTS, IMAGES, labels, results
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.evaluation.coco import evaluate
from paretodet.evaluation.errors import errors
from paretodet.evaluation.misplaced import check_places
from paretodet.evaluation.voc import average_precision
from paretodet.labels.formats.lvis import read_lvis
from paretodet.labels.model import Labels, Purpose
from paretodet.report.evaluated import federated_table
from paretodet.scoring import evaluate_file, evaluation_json

Row = dict[str, Any]
BOX, AWAY = [10, 10, 40, 40], [120, 120, 30, 30]
AREAS = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
LISTS = st.fixed_dictionaries({image: st.lists(st.sampled_from(CATEGORIES), unique=True) for image in IMAGES})


def federated(truth: Row, absent: dict[int, list[int]], partial: dict[int, list[int]], folder: Path) -> Labels:
    """Crowds, which LVIS does not have, become objects."""
    images = [
        each
        | {"neg_category_ids": absent.get(each["id"], []), "not_exhaustive_category_ids": partial.get(each["id"], [])}
        for each in truth["images"]
    ]
    categories = [each | {"frequency": "rcf"[place]} for place, each in enumerate(truth["categories"])]
    annotations = [each | {"iscrowd": 0} for each in truth["annotations"]]
    path = folder / "lvis.json"
    path.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
    return read_lvis(path, purpose=Purpose.SCORE)


def overlap(a: list[float], b: list[float]) -> float:
    wide, high = (min(a[n] + a[n + 2], b[n] + b[n + 2]) - max(a[n], b[n]) for n in (0, 1))
    both = max(wide, 0) * max(high, 0)
    return both / (a[2] * a[3] + b[2] * b[3] - both)


def naive(
    truth: Row, found: list[Row], absent: Any, partial: Any, key: int, threshold: float, area: str
) -> float | None:
    """AP of one category at one overlap, image by image (lvis-api's eval.py)."""
    low, high = AREAS[area]
    points, total = [], 0
    for image in (each["id"] for each in truth["images"]):
        mine = [each for each in truth["annotations"] if (each["image_id"], each["category_id"]) == (image, key)]
        total += sum(low <= each["area"] <= high for each in mine)
        if not mine and key not in absent[image]:
            continue
        taken = set()
        here = [row for row in found if (row["image_id"], row["category_id"]) == (image, key)]
        for row in sorted(here, key=lambda each: -each["score"]):
            free = [
                n for n, each in enumerate(mine) if n not in taken and overlap(row["bbox"], each["bbox"]) >= threshold
            ]
            counted = [n for n in free if low <= mine[n]["area"] <= high]
            best = max(counted or free, key=lambda n: overlap(row["bbox"], mine[n]["bbox"]), default=None)
            outside = not low <= row["bbox"][2] * row["bbox"][3] <= high
            if best is not None:
                taken.add(best)
            elif outside or key in partial[image]:
                continue
            if best is None or counted:
                points.append((row["score"], best is not None))
    return None if total == 0 else average(points, total)


def average(points: list[tuple[float, bool]], total: int) -> float:
    """The highest precision at 101 recalls or beyond."""
    curve, right = [], 0
    for seen, (_, hit) in enumerate(sorted(points, key=lambda each: -each[0]), 1):
        right += hit
        curve.append((right / total, right / seen))
    recalls = np.linspace(0, 1, 101)
    return 100 * float(np.mean([max((p for r, p in curve if r >= recall), default=0) for recall in recalls]))


@settings(max_examples=40, deadline=None)
@given(FREE_LABELS, FREE_RESULTS, LISTS, LISTS)
def test_equal_to_the_definition(tmp_path_factory, truth, found, absent, partial):
    known = federated(truth, absent, partial, tmp_path_factory.mktemp("lvis"))
    ours = evaluate(known, found)
    thresholds = np.linspace(0.5, 0.95, 10)
    for place, key in enumerate(CATEGORIES):
        for field, area in (("ap", "all"), ("ap_small", "small"), ("ap_medium", "medium"), ("ap_large", "large")):
            each = [naive(truth, found, absent, partial, key, threshold, area) for threshold in thresholds]
            expected = None if None in each else pytest.approx(np.mean(each), abs=1e-9)
            assert getattr(ours.categories[key], field) == expected, (key, field)
        assert ours.federated[place] == pytest.approx(ours.categories[key].ap)
    at_50 = errors(known, found).ap[0]
    for place, key in enumerate(sorted(CATEGORIES)):
        expected = naive(truth, found, absent, partial, key, 0.5, "all")
        assert np.isnan(at_50[place]) if expected is None else at_50[place] == pytest.approx(expected, abs=1e-9)


def test_what_was_not_looked_for_is_no_mistake(tmp_path):
    truth = labels([(7, 1, BOX, False), (900, 90, BOX, False)])
    right = [(7, 1, BOX, 0.5), (900, 90, BOX, 0.5)]
    unknown, absent, partial = (12, 1, BOX, 0.9), (900, 1, BOX, 0.9), (7, 1, AWAY, 0.9)
    known = federated(truth, {900: [1]}, {7: [1]}, tmp_path)
    for more, ap in ((unknown, 100), (partial, 100), (absent, 75)):
        found = results([*right, more])
        assert evaluate(known, found).whole.ap == pytest.approx(ap, abs=0.5)
        assert errors(known, found).mean()[0] == pytest.approx(ap, abs=0.5)
        assert np.mean(list(average_precision(known, found).values())) == pytest.approx(ap, abs=0.5)


@pytest.mark.parametrize(("key", "partial"), [(1, {}), (90, {7: [90]})], ids=["not looked for", "not all labeled"])
def test_boxes_of_what_is_not_labeled_are_not_misplaced(tmp_path, key, partial):
    truth = labels([(7, 90, [place, 10, 20, 20], False) for place in (10, 50, 90)])
    away = results([(7, key, AWAY, 0.9)] * 3)
    assert check_places(away, federated(truth, {}, partial, tmp_path)) == ()
    looked_for = federated(truth, {7: [1]}, {}, tmp_path)
    assert len(check_places(away, looked_for)) == 1


def test_three_hundred_detections_an_image_count(tmp_path):
    known = federated(labels([(7, 1, BOX, False)]), {}, {}, tmp_path)
    for before, ap in ((299, 100 / 300), (300, 0.0)):
        found = results([*[(7, 1, AWAY, 0.9)] * before, (7, 1, BOX, 0.5)])
        assert evaluate(known, found).whole.ap == pytest.approx(ap)


def test_the_document_has_what_lvis_adds(tmp_path):
    federated(labels([(7, 1, BOX, False)]), {}, {}, tmp_path)
    (tmp_path / "results.json").write_text(json.dumps(results([(7, 1, BOX, 0.5)])))
    document = evaluation_json(
        evaluate_file(tmp_path / "results.json", tmp_path / "lvis.json", with_errors=True, voc_ap=True)
    )
    assert (document["ap"], document["ap_common"], document["ar300"]) == (pytest.approx(100),) * 3
    table = federated_table(evaluate_file(tmp_path / "results.json", tmp_path / "lvis.json").boxes.federated)
    assert [column.header for column in table.columns][1:] == ["AP rare", "AP common", "AP frequent", "AR300"]
    assert document["ap_rare"] is document["ap_frequent"] is document["ar100"] is None
