import numpy as np
import pytest
from evaluation_sets import FREE_LABELS, FREE_RESULTS, LABELS, RESULTS, known, labels, official, results
from hotcoco import COCO, COCOeval
from hypothesis import assume, example, given, settings

from paretodet.evaluation.errors import CAUSES, errors
from paretodet.evaluation.matching import SIZES


def overlap(a, b):
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(wide, 0) * max(high, 0)
    return both / (a[2] * a[3] + b[2] * b[3] - both)


def inside(a, crowd):
    wide = min(a[0] + a[2], crowd[0] + crowd[2]) - max(a[0], crowd[0])
    high = min(a[1] + a[3], crowd[1] + crowd[3]) - max(a[1], crowd[1])
    return max(wide, 0) * max(high, 0) / (a[2] * a[3])


def naive_ap(points, truths):
    """Highest precision at 101 recalls or beyond; points are (score, right)."""
    curve, right = [], 0
    for seen, (_, hit) in enumerate(sorted(points, key=lambda each: -each[0]), 1):
        right += hit
        curve.append((right / truths, right / seen))
    return sum(max((p for r, p in curve if r >= recall / 100), default=0) for recall in range(101)) / 1.01


def naive(truth, found):
    """One detection after the other, all sizes: AP, cause of every wrong one, missed truths, AP with a cause mended."""
    taken, wrong, right, heirs = set(), [], [], {}
    solid = [each for each in truth["annotations"] if not each["iscrowd"]]
    crowds = [each for each in truth["annotations"] if each["iscrowd"]]
    for row in sorted(found, key=lambda each: -each["score"]):
        here = [each for each in solid if each["image_id"] == row["image_id"]]
        mine = [each for each in here if each["category_id"] == row["category_id"]]
        free = [each for each in mine if each["id"] not in taken and overlap(row["bbox"], each["bbox"]) >= 0.5]
        same = [
            each for each in crowds if (each["image_id"], each["category_id"]) == (row["image_id"], row["category_id"])
        ]
        if free:
            taken.add(
                max(free[::-1], key=lambda each: overlap(row["bbox"], each["bbox"]))["id"]
            )  # COCO: of equals the last
            right.append(row)
        elif not any(inside(row["bbox"], each["bbox"]) >= 0.5 for each in same):
            wrong.append((row, *naive_cause(row, mine, [each for each in here if each not in mine])))
    for row, _, target in wrong:
        if target and target["id"] not in taken:
            heirs.setdefault(target["id"], row)
    excused = {target["id"] for _, _, target in wrong if target}
    missed = [each for each in solid if each["id"] not in taken | excused]
    return solid, right, wrong, heirs, missed


def naive_cause(row, mine, others):
    def best(of):
        return max(((overlap(row["bbox"], each["bbox"]), each) for each in of), key=lambda e: e[0], default=(0.0, None))

    (near, own), (far, other) = best(mine), best(others)
    if 0.1 <= near < 0.5:
        return "localization", own
    if far >= 0.5:
        return "classification", other
    if near >= 0.5:
        return "duplicate", None
    return ("background", None) if max(near, far) < 0.1 else ("both", None)


def naive_mended(category, cause, found):
    solid, right, wrong, heirs, missed = found
    truths = [each for each in solid if each["category_id"] == category and not (cause == "missed" and each in missed)]
    points = [(row["score"], 1) for row in right if row["category_id"] == category]
    for row, why, target in wrong:
        if why != cause and row["category_id"] == category:
            points.append((row["score"], 0))
        if why == cause and target and heirs.get(target["id"]) is row and target["category_id"] == category:
            points.append((row["score"], 1))
    if not truths:
        return 100.0 if any(each["category_id"] == category for each in solid) else None
    return naive_ap(points, len(truths))


SMALL, LONG = [0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 9.0]


@settings(max_examples=60)
@example(  # a detection that meets two truths equally well
    labels([(900, 90, SMALL, False), (900, 90, LONG, False)]),
    results([(900, 90, SMALL, 0.5), (900, 90, [0.0, 0.0, 4.0, 6.0], 1.0)]),
)
@example(labels([(900, 90, SMALL, False)] * 2), results([(900, 90, SMALL, 1.0), (900, 90, LONG, 0.5)]))
@given(FREE_LABELS, FREE_RESULTS)
def test_equal_to_one_after_the_other(truth, found):
    ours, theirs = errors(known(truth), found), naive(truth, found)
    for place, category in enumerate(ours.categories):
        base = naive_mended(category, None, theirs)
        if base is None:
            assert np.isnan(ours.ap[0, place])
            continue
        assert ours.ap[0, place] == pytest.approx(base, abs=1e-9)
        for number, cause in enumerate(CAUSES):
            won = naive_mended(category, cause, theirs) - base
            assert ours.lost[0, place, number] == pytest.approx(won, abs=1e-9), cause
            count = [row for row, why, _ in theirs[2] if (why, row["category_id"]) == (cause, category)]
            count = [each for each in theirs[4] if each["category_id"] == category] if cause == "missed" else count
            assert ours.counts[0, place, number] == len(count), cause


@settings(max_examples=40)
@given(LABELS, RESULTS)
def test_ap_of_each_size_and_category_is_the_official_one(truth, found):
    """Ties, crowds and area edges included."""
    precision = official(truth, found).eval["precision"][0, :, :, :, -1]
    ours = errors(known(truth), found)
    for place in range(len(ours.categories)):
        for size in range(len(SIZES)):
            expected = precision[:, place, size]
            if (expected < 0).all():
                assert np.isnan(ours.ap[size, place])
            else:
                assert ours.ap[size, place] == pytest.approx(100 * expected.mean(), abs=1e-9)


@settings(max_examples=40)
@given(FREE_LABELS, FREE_RESULTS)
def test_in_all_it_is_hotcocos(truth, found):
    """Without crowds: there hotcoco lets a crowd be the object that a detection is near to."""
    truth["annotations"] = [each for each in truth["annotations"] if not each["iscrowd"]]
    assume(truth["annotations"])
    labeled = COCO(truth)
    run = COCOeval(labeled, labeled.load_res(found), "bbox")
    run.evaluate()
    theirs, ours, names = run.tide_errors(), errors(known(truth), found), ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
    assert ours.counts[0].sum(0).tolist() == [theirs["counts"][name] for name in names]
    ap, lost = ours.mean()
    assert ap == pytest.approx(100 * theirs["ap_base"], abs=1e-9)
    for name, cause in list(zip(names, CAUSES, strict=True))[:-1]:
        assert lost[cause] == pytest.approx(100 * theirs["delta_ap"][name], abs=1e-9), cause


@settings(max_examples=30)
@given(LABELS, RESULTS)
def test_mending_never_costs(truth, found):
    ours = errors(known(truth), found)
    assert (ours.lost[~np.isnan(ours.ap)] >= -1e-9).all()
    assert np.isnan(ours.ap).tolist() == (ours.truths == 0).tolist()


BOX = [10, 10, 40, 40]


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ((7, 90, BOX, 0.4), "classification"),
        ((7, 1, [10, 10, 40, 14], 0.4), "localization"),  # 0.35
        ((7, 90, [10, 10, 40, 14], 0.4), "both"),
        ((7, 1, [11, 10, 40, 40], 0.4), "duplicate"),
        ((7, 1, [120, 120, 40, 40], 0.4), "background"),
    ],
)
def test_each_cause_by_hand(row, cause):
    truth = labels([(7, 1, BOX, False), (7, 90, [100, 10, 20, 20], False)])
    ours = errors(known(truth), results([(7, 1, BOX, 0.9), row, (7, 90, [100, 10, 20, 20], 0.2)]))
    assert ours.counts[0].sum(0).tolist() == [int(each == cause) for each in CAUSES]
    assert ours.truths[0].tolist() == [1, 1]


def test_a_missed_object_alone_costs_its_share():
    truth = labels([(7, 1, BOX, False), (12, 1, BOX, False)])
    ours = errors(known(truth), results([(7, 1, BOX, 0.9)]))
    assert ours.counts[0, 0].tolist() == [0, 0, 0, 0, 0, 1]
    assert ours.ap[0, 0] == pytest.approx(100 * 51 / 101)  # recalls 0.00 to 0.50
    assert ours.mean()[1]["missed"] == pytest.approx(100 * 50 / 101)
    assert ours.mean("large") == (None, {})


def test_nothing_found_and_nothing_to_find():
    ours = errors(known(labels([(7, 1, BOX, False)])), [])
    assert ours.mean()[0] == 0 and ours.mean()[1]["missed"] == 100
    assert errors(known(labels([])), results([(7, 1, BOX, 0.9)])).mean() == (None, {})


@pytest.mark.parametrize(("near", "overlap_"), [(0, 0.5), (0.5, 0.5), (0.1, 1.0), (float("nan"), 0.5)])
def test_thresholds_that_cannot_be(near, overlap_):
    with pytest.raises(ValueError, match="near, overlap"):
        errors(known(labels([])), [], near=near, overlap=overlap_)
