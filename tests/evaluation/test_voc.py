import pytest
from evaluation_sets import FREE_LABELS, FREE_RESULTS, known, labels, results
from hypothesis import given, settings

from paretodet.evaluation.voc import average_precision, curves, mean

BOX = [10, 10, 40, 40]


def overlap(a, b):
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(wide, 0) * max(high, 0)
    return both / (a[2] * a[3] + b[2] * b[3] - both)


def naive(truth, found, category, points):
    """As the development kit goes through the detections of a class."""
    mine = [each for each in truth["annotations"] if each["category_id"] == category]
    total = sum(not each["iscrowd"] for each in mine)
    if not total:
        return None
    taken, curve, right, seen = set(), [], 0, 0
    for row in sorted(found, key=lambda each: -each["score"]):
        if row["category_id"] != category:
            continue
        here = [(overlap(row["bbox"], each["bbox"]), each) for each in mine if each["image_id"] == row["image_id"]]
        share, best = max(here, key=lambda pair: pair[0], default=(0.0, None))
        if share >= 0.5 and best["iscrowd"]:
            continue
        hit = share >= 0.5 and best["id"] not in taken
        if hit:
            taken.add(best["id"])
        right, seen = right + hit, seen + 1
        curve.append((right / total, right / seen))
    if points == "eleven":
        return 100 * sum(max((p for r, p in curve if r >= t / 10), default=0) for t in range(11)) / 11
    recalls = [0.0, *sorted({r for r, _ in curve})]
    steps = zip(recalls, recalls[1:], strict=False)
    return 100 * sum((high - low) * max(p for r, p in curve if r >= high) for low, high in steps)


@settings(max_examples=50)
@given(FREE_LABELS, FREE_RESULTS)
def test_equal_to_the_definition(truth, found):
    for points in ("eleven", "all"):
        ours = average_precision(known(truth), found, points=points)
        assert ours == pytest.approx({each: naive(truth, found, each, points) for each in (1, 90)}, abs=1e-9)


def test_by_hand():
    """Right, wrong, right of three: precision 1 to a third, 2/3 to two thirds; 4 and 3 of eleven recalls."""
    truth = labels([(7, 1, BOX, False), (12, 1, BOX, False), (900, 1, BOX, False)])
    found = results([(7, 1, BOX, 0.9), (7, 1, BOX, 0.8), (12, 1, BOX, 0.7)])
    assert average_precision(known(truth), found) == {1: pytest.approx(100 / 3 * (1 + 2 / 3)), 90: None}
    assert average_precision(known(truth), found, points="eleven")[1] == pytest.approx(100 / 11 * (4 + 3 * 2 / 3))


def test_a_recall_of_six_tenths_counts_at_six_tenths():
    """Of five: right, right, wrong, right. Precision 1 up to 0.4 and 3/4 up to 0.6."""
    truth = labels([(image, 1, BOX, False) for image in (1, 2, 3, 4, 5)], images=(1, 2, 3, 4, 5))
    found = results([(1, 1, BOX, 0.9), (2, 1, BOX, 0.8), (2, 1, BOX, 0.7), (3, 1, BOX, 0.6)])
    assert average_precision(known(truth), found, points="eleven")[1] == pytest.approx(100 / 11 * (5 + 2 * 3 / 4))


def test_a_difficult_object_is_neither_found_nor_missed():
    truth = labels([(7, 1, BOX, True), (12, 1, BOX, False)])
    found = results([(7, 1, BOX, 0.9), (7, 1, BOX, 0.8), (12, 1, BOX, 0.7)])
    assert average_precision(known(truth), found)[1] == 100
    assert len(curves(known(truth), found)[1].scores) == 1


def test_more_than_a_hundred_an_image_count():
    truth = labels([(7, 1, BOX, False)])
    found = results([*[(7, 1, [150, 150, 5, 5], 0.9)] * 150, (7, 1, BOX, 0.1)])
    assert average_precision(known(truth), found)[1] == pytest.approx(100 / 151)


def test_the_mean_is_over_what_there_is_to_find():
    assert mean({1: 50.0, 2: None, 3: 100.0}) == 75 and mean({1: None}) is None


def test_recall_points_that_are_not_defined_are_refused():
    with pytest.raises(ValueError, match="points"):
        average_precision(known(labels([])), [], points="twelve")
