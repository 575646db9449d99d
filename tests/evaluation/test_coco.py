import contextlib
import copy
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from paretodet.evaluation.coco import per_category, score

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
    found = score(truth, results, kind=kind)
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(100 * value, abs=1e-8)


def evaluated(truth, results):
    with contextlib.redirect_stdout(io.StringIO()):
        labelled = COCO()
        labelled.dataset = copy.deepcopy(truth)
        labelled.createIndex()
        run = COCOeval(labelled, labelled.loadRes(copy.deepcopy(results)), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run


def oracle(truth, results):
    return [None if value < 0 else 100 * value for value in evaluated(truth, results).stats]


def oracle_per_category(truth, results):
    run = evaluated(truth, results)
    kept = {key: run.eval["precision"][:, :, place, 0, 2] for place, key in enumerate(run.params.catIds)}
    return {key: 100 * each[each > -1].mean() if (each > -1).any() else None for key, each in kept.items()}


# Whole sides up to 120 px meet the area edges 32² and 96²; few scores make ties; ids are sparse; images may be empty.
BOX = st.builds(
    lambda x, y, w, h: [x, y, w, h], *[st.sampled_from((0, 8, 40))] * 2, *[st.sampled_from((8, 32, 96, 120))] * 2
)
TRUTHS = st.lists(
    st.tuples(st.sampled_from((7, 12, 900)), st.sampled_from((1, 90)), BOX, st.booleans()), min_size=1, max_size=8
)
FOUND = st.lists(
    st.tuples(st.sampled_from((7, 12, 900)), st.sampled_from((1, 90)), BOX, st.sampled_from((0.25, 0.5, 1.0))),
    min_size=1,
    max_size=14,
)


@settings(max_examples=60)
@given(TRUTHS, FOUND)
def test_equal_to_pycocotools(truths, found):
    truth = {
        "images": [{"id": i, "width": 200, "height": 200} for i in (7, 12, 900)],
        "categories": [{"id": c, "name": str(c)} for c in (1, 90)],
        "annotations": [
            {"id": n, "image_id": i, "category_id": c, "bbox": box, "area": box[2] * box[3], "iscrowd": int(crowd)}
            for n, (i, c, box, crowd) in enumerate(truths, 1)
        ],
    }
    results = [{"image_id": i, "category_id": c, "bbox": box, "score": s} for i, c, box, s in found]
    assert list(score(truth, results)) == pytest.approx(oracle(truth, results), abs=1e-9)
    assert per_category(truth, results) == pytest.approx(oracle_per_category(truth, results), abs=1e-9)


def test_nothing_found_is_zero_and_prints_nothing(capfd):
    truth = {
        "images": [{"id": 1, "width": 9, "height": 9}],
        "categories": [{"id": 3, "name": "c"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [0, 0, 5, 5], "area": 25, "iscrowd": 0}],
    }
    found = score(truth, [])
    assert found.ap == found.ar100 == 0 and found.ap_large is None
    assert capfd.readouterr().out == ""


def test_a_result_of_an_unknown_image_is_named():
    truth = {"images": [{"id": 1, "width": 9, "height": 9}], "categories": [], "annotations": []}
    for scoring in (score, per_category):
        with pytest.raises(ValueError, match="image_id: 2"):
            scoring(truth, [{"image_id": 2, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1.0}])


def test_categories_average_to_the_ap(data_folder):
    folder = data_folder / "coco_eval_fixture"
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    found = per_category(truth, results)
    known = [ap for ap in found.values() if ap is not None]
    assert len(found) == 80 > len(known) > 60
    assert sum(known) / len(known) == pytest.approx(100 * BOXES["ap"], abs=1e-8)
