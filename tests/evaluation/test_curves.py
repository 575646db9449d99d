import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretodet.evaluation.curves import area, best_threshold, curve, sampled

POINTS = st.lists(st.tuples(st.sampled_from((0.1, 0.25, 0.5, 0.8, 0.9)), st.booleans()), min_size=1, max_size=20)


def drawn(points, extra=0):
    scores, hits = np.array([p for p, _ in points]), np.array([h for _, h in points])
    return curve(scores, hits, int(hits.sum()) + extra)


@given(POINTS, st.integers(1, 4))
def test_the_threshold_is_the_best_of_all(points, extra):
    """Kept by `score > threshold`, no other threshold has a higher F1."""
    truths = sum(hit for _, hit in points) + extra
    best = best_threshold(drawn(points, extra))

    def f1(threshold):
        kept = [hit for score, hit in points if score > threshold]
        return 100 * 2 * sum(kept) / (len(kept) + truths)

    scores = [score for score, _ in points]
    highest = max(f1(each - 1e-9) for each in scores)
    if highest == 0:
        assert best is None
        return
    assert best.f1 == pytest.approx(highest) == pytest.approx(f1(best.score))
    assert 2 * best.precision * best.recall == pytest.approx(best.f1 * (best.precision + best.recall))


@given(POINTS, st.integers(0, 3))
def test_area_is_the_limit_of_many_recalls(points, extra):
    line = drawn(points, max(extra, 1))
    many = np.linspace(0, 1, 20_001)[1:]
    assert sampled(line, many).mean() == pytest.approx(area(line), abs=2e-3)


def test_by_hand():
    line = curve(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False]), 3)
    assert line.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])
    assert line.recall.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert area(line) == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)
    best = best_threshold(line)
    assert (best.score, best.f1) == pytest.approx((0.65, 200 * 2 / 6))


def test_nothing_found():
    empty = curve(np.zeros(0), np.zeros(0, bool), 3)
    assert area(empty) == 0 and not sampled(empty).any() and best_threshold(empty) is None
