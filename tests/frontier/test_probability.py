"""Probabilities compared with their definition by simulation, and with closed forms."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.frontier.probability import Limit, best_probability, fit_probability
from paretodet.frontier.values import Columns, Floats

P50, P95, AP, MEMORY = "latency_ms_p50", "latency_ms_p95", "ap", "memory_infer_mib"


def column(*values: tuple[float, float, float]) -> Columns:
    """From (point, low, high) of each row."""
    return Columns(*np.array(values, dtype=np.float64).reshape(-1, 3).T)


def exact(*points: float) -> Columns:
    return column(*((point, point, point) for point in points))


def test_an_interval_is_the_central_95_percent() -> None:
    numbers = {P50: column((100, 80, 110))}
    for limit, chance in ((110, 0.975), (100, 0.5), (80, 0.025)):
        assert fit_probability(numbers, [Limit(P50, "maximum", limit)]) == pytest.approx(chance)
        assert fit_probability(numbers, [Limit(P50, "minimum", limit)]) == pytest.approx(1 - chance)
    expected = NormalDist().cdf(1.959964 * math.log(1.05) / math.log(1.1))
    assert fit_probability(numbers, [Limit(P50, "maximum", 105)]) == pytest.approx(expected, abs=1e-6)


def test_a_rounded_accuracy_is_uniform() -> None:
    numbers = {AP: column((30, 29.5, 30.5), (20, 20, 20))}
    for limit, chance in ((29, 1), (29.75, 0.75), (30.5, 0), (31, 0)):
        assert fit_probability(numbers, [Limit(AP, "minimum", limit)])[0] == pytest.approx(chance)
    assert fit_probability(numbers, [Limit(AP, "minimum", 20)])[1] == 1


def test_the_probability_of_an_exact_number_is_0_or_1() -> None:
    numbers = {MEMORY: exact(0, 5, 9)}
    assert fit_probability(numbers, [Limit(MEMORY, "maximum", 5)]).tolist() == [1, 1, 0]
    assert fit_probability(numbers, [Limit(MEMORY, "minimum", 5)]).tolist() == [0, 1, 1]
    assert fit_probability(numbers, [Limit(MEMORY, "maximum", 0)]).tolist() == [1, 0, 0]
    assert fit_probability(numbers, []).tolist() == [1, 1, 1]


def test_times_of_a_row_are_correlated_and_accuracy_is_independent() -> None:
    numbers = {P50: column((100, 80, 125)), P95: column((200, 160, 250)), AP: column((30, 29.5, 30.5))}
    both = [Limit(P50, "maximum", 100), Limit(P95, "maximum", 200)]
    assert fit_probability(numbers, both) == pytest.approx(0.5), "not a quarter"
    assert fit_probability(numbers, [*both, Limit(AP, "minimum", 30)]) == pytest.approx(0.25)
    assert fit_probability(numbers, [Limit(P50, "maximum", 100), Limit(P95, "minimum", 200)]) == pytest.approx(0)


def test_the_best_row_keeps_limits_and_has_the_best_goal() -> None:
    numbers = {AP: exact(48, 42, 18), P50: column((274, 248, 320), (133, 113, 158), (30, 28, 33))}
    limits = [Limit(P50, "maximum", 300)]
    kept = fit_probability(numbers, limits)
    assert best_probability(numbers, limits, AP, kept) == pytest.approx([kept[0], 1 - kept[0], 0])


def test_equal_rows_share_the_probability() -> None:
    numbers = {P50: column((10, 9, 11.1), (10, 9, 11.1), (99, 98, 100))}
    result = best_probability(numbers, [], P50, np.ones(3))
    assert result[2] == 0 and result.sum() == pytest.approx(1) and result[0] == pytest.approx(0.5, abs=0.05)


def test_equal_goals_go_to_the_first() -> None:
    assert best_probability({AP: exact(30, 30)}, [], AP, np.ones(2)).tolist() == [1, 0]
    assert best_probability({AP: exact()}, [], AP, np.ones(0)).tolist() == []


def drawn(numbers: dict[str, Columns], limits: list[Limit], goal: str, draws: int = 4000) -> Floats:
    """The definition in the docstring of probability.py, simulated."""
    random, size = np.random.default_rng(1), numbers[goal].point.size
    wins = np.zeros(size)
    for _ in range(draws):
        z = random.standard_normal(size)
        seen = {AP: numbers[AP].low + random.random(size) * (numbers[AP].high - numbers[AP].low)}
        point, low, high = numbers[P50]
        seen[P50] = point * np.where(z < 0, low / point, high / point) ** (abs(z) / 1.959964)
        keeps = [seen[f] <= limit if kind == "maximum" else seen[f] >= limit for f, kind, limit in limits]
        fits = np.logical_and.reduce(keeps) if keeps else np.ones(size, dtype=bool)
        worth = np.where(fits, seen[goal] if goal == AP else -seen[goal], -np.inf)
        wins[worth.argmax()] += fits.any()
    return wins / draws


FACTOR = st.just(1.0) | st.floats(1.001, 1.5)  # an interval between two neighboring floats holds no draws
ROW = st.tuples(st.floats(5, 50), FACTOR, FACTOR, st.integers(20, 24), st.sampled_from([0, 0.5]))


@settings(max_examples=25, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=6), st.floats(5, 60), st.sampled_from([AP, P50]), st.booleans())
def test_against_the_definition(rows: list[tuple[float, ...]], limit: float, goal: str, has_minimum: bool) -> None:
    numbers = {
        P50: column(*((p, p / down, p * up) for p, down, up, _, _ in rows)),
        AP: column(*((ap, ap - half, ap + half) for _, _, _, ap, half in rows)),
    }
    limits = [Limit(P50, "maximum", limit), *([Limit(AP, "minimum", 22.1)] if has_minimum else [])]
    kept = fit_probability(numbers, limits)
    result = best_probability(numbers, limits, goal, kept)
    assert (result <= kept + 1e-9).all() and result.sum() <= 1 + 1e-9
    np.testing.assert_allclose(result, drawn(numbers, limits, goal), atol=0.09)


def test_rows_that_cannot_be_the_best_do_not_change_probabilities() -> None:
    random = np.random.default_rng(0)
    point = random.uniform(5, 50, 5000)
    numbers = {P50: Columns(point, point / 1.1, point * 1.1), AP: exact(*random.uniform(10, 40, 5000))}
    limits = [Limit(P50, "maximum", 30)]
    result = best_probability(numbers, limits, AP, fit_probability(numbers, limits))
    assert result.sum() == pytest.approx(1) and (result > 0).sum() < 100
    kept = np.flatnonzero(result)
    few = {name: Columns(*(each[kept] for each in columns)) for name, columns in numbers.items()}
    np.testing.assert_allclose(best_probability(few, limits, AP, fit_probability(few, limits)), result[kept], atol=1e-5)
