"""Dominance compared with its definition, and the probability of being undominated."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from paretodet.frontier import dominance
from paretodet.frontier.dominance import membership, pareto_mask, undecided_mask
from paretodet.frontier.values import Columns

Floats = NDArray[np.float64]


def brute(cost: Floats, gain: Floats, bounds: dict[str, Floats]) -> list[bool]:
    """The definition in the docstring of dominance.py, pair by pair."""
    table = {"cost_low": cost, "cost_high": cost, "gain_low": gain, "gain_high": gain, **bounds}
    known = np.isfinite(cost) & np.isfinite(gain)

    def dominates(j: int, i: int) -> bool:
        dear, cheap = table["cost_high"][j], table["cost_low"][i]
        bad, good = table["gain_low"][j], table["gain_high"][i]
        return bool(dear <= cheap and bad >= good and (dear < cheap or bad > good))

    everyone = range(len(cost))
    return [bool(known[i]) and not any(known[j] and dominates(j, i) for j in everyone) for i in everyone]


# A coarse grid makes ties, duplicates and touching intervals common.
NUMBERS = st.integers(0, 6).map(float) | st.sampled_from([np.nan, np.inf])
WIDTHS = st.sampled_from([0.0, 0.0, 0.5, 1.0, 3.0])
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, WIDTHS, WIDTHS, WIDTHS, WIDTHS), max_size=25)


def table(rows: list[tuple[float, ...]]) -> tuple[Floats, Floats, dict[str, Floats]]:
    columns = np.array(rows, dtype=np.float64).reshape(-1, 6).T
    cost, gain, left, right, down, up = columns
    return (
        cost,
        gain,
        {
            "cost_low": cost - left,
            "cost_high": cost + right,
            "gain_low": gain - down,
            "gain_high": gain + up,
        },
    )


@settings(max_examples=400)
@given(ROWS)
def test_equal_to_brute_force(rows: list[tuple[float, ...]]) -> None:
    cost, gain, bounds = table(rows)
    with np.errstate(invalid="ignore"):
        assert pareto_mask(cost, gain, **bounds).tolist() == brute(cost, gain, bounds)
    assert pareto_mask(cost, gain).tolist() == brute(cost, gain, {})


@given(ROWS)
def test_intervals_only_add_rows(rows: list[tuple[float, ...]]) -> None:
    cost, gain, bounds = table(rows)
    assert not (pareto_mask(cost, gain) & ~pareto_mask(cost, gain, **bounds)).any()


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[tuple[float, ...]], random: Any) -> None:
    cost, gain, bounds = table(rows)
    order = list(range(len(rows)))
    random.shuffle(order)
    shuffled = {name: column[order] for name, column in bounds.items()}
    assert (pareto_mask(cost, gain, **bounds)[order] == pareto_mask(cost[order], gain[order], **shuffled)).all()


def test_a_large_random_set_equals_the_staircase_built_row_by_row() -> None:
    random = np.random.default_rng(3)
    cost, gain = random.random(20_000).round(3), random.random(20_000).round(3)
    best, expected = -1.0, np.zeros(20_000, dtype=bool)
    for price in np.unique(cost):
        here = cost == price
        if gain[here].max() > best:
            best = gain[here].max()
            expected |= here & (gain == best)
    assert (pareto_mask(cost, gain) == expected).all()


def test_unknown_bounds_equal_the_point() -> None:
    cost, gain = np.array([1.0, 2.0]), np.array([5.0, 5.0])
    assert pareto_mask(cost, gain, cost_low=[np.nan, 0.5]).tolist() == [True, True]
    assert pareto_mask(cost, gain, cost_low=[np.nan, np.nan]).tolist() == [True, False]


# --- membership


def test_probability_without_intervals_is_certainty() -> None:
    cost, gain = [1.0, 2.0, 3.0, 1.0, np.nan], [1.0, 3.0, 2.0, 1.0, 9.0]
    assert membership(cost, gain).tolist() == [1, 1, 0, 1, 0]
    assert membership([], []).tolist() == []


def test_probability_of_equal_rows_is_a_half() -> None:
    """Two rows with one gain and one cost interval: the cheaper one of a draw is on the frontier, so each has 1/2."""
    result = membership([10.0, 10.0], [5.0, 5.0], cost_low=[9.0, 9.0], cost_high=[11.0, 11.0])
    np.testing.assert_allclose(result, 0.5, atol=0.06)
    assert 1 <= result.sum() <= 1.02, "one of the two always stays, both only when clipped to the same end"


def test_probability_is_that_of_the_log_normal() -> None:
    """Row 2 (12 ms) is on the frontier if its cost is drawn below that of row 1: P(log c2 < log c1)."""
    sigma = 0.1
    low, high = np.exp(-1.96 * sigma), np.exp(1.96 * sigma)
    cost = np.array([10.0, 12.0])
    result = membership(cost, [5.0, 5.0], cost_low=cost * low, cost_high=cost * high)
    # Normal cumulative distribution at -log(1.2) / (0.1 sqrt 2) = -1.289
    assert result[1] == pytest.approx(0.0987, abs=0.03)


def test_probability_of_a_rounded_gain_is_uniform() -> None:
    """Gains 30 +- .5 at 1 ms and 30.5 +- .5 at 2 ms: the second is dominated if it draws less, 1/8 of the time."""
    result = membership([1.0, 2.0], [30.0, 30.5], gain_low=[29.5, 30.0], gain_high=[30.5, 31.0])
    assert result[0] == 1 and result[1] == pytest.approx(7 / 8, abs=0.035)


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_properties_of_membership(rows: list[tuple[float, ...]]) -> None:
    cost, gain, bounds = table(rows)
    inside, result = pareto_mask(cost, gain, **bounds), membership(cost, gain, **bounds)
    assert ((result >= 0) & (result <= 1)).all() and (result[~inside] == 0).all()
    assert (membership(cost, gain, **bounds) == result).all(), "the same seed, the same numbers"
    if inside.any():
        assert result.sum() >= 1 - 1e-9, "somebody is on every drawn frontier"


def test_dominated_rows_do_not_change_probabilities() -> None:
    random = np.random.default_rng(0)
    cost, gain = random.uniform(1, 9, 60), random.uniform(20, 40, 60)
    bounds = {"cost_low": cost * 0.9, "cost_high": cost * 1.1, "gain_low": gain - 0.5, "gain_high": gain + 0.5}
    inside = pareto_mask(cost, gain, **bounds)
    alone = membership(cost[inside], gain[inside], **{name: column[inside] for name, column in bounds.items()})
    assert 1 < inside.sum() < 60
    assert (membership(cost, gain, **bounds)[inside] == alone).all()


def test_few_rows_are_drawn_like_many(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    cost, gain = random.uniform(1, 9, 30).round(1), random.uniform(20, 40, 30).round()
    bounds = {"cost_low": cost * 0.9, "cost_high": cost * 1.1, "gain_low": gain - 0.5, "gain_high": gain + 0.5}
    few = membership(cost, gain, **bounds), membership(cost, gain)
    monkeypatch.setattr(dominance, "PAIRWISE_ROWS", 0)
    many = membership(cost, gain, **bounds), membership(cost, gain)
    assert (few[0] == many[0]).all() and (few[1] == many[1]).all()


def test_undecided_rows_are_those_that_exact_costs_decide() -> None:
    costs = Columns(*np.array([[10.0, 10.0, 10.0], [100.0, 90.0, 110.0], [104.0, 95.0, 114.0]]).T)
    gains = Columns(*np.array([[20.0] * 3, [30.0] * 3, [35.0] * 3]).T)
    bounds = {"cost_low": costs.low, "cost_high": costs.high}
    probability = membership(costs.point, gains.point, **bounds)
    for narrowable, expected in (((True, False), [False, True, False]), ((False, False), [False] * 3)):
        assert undecided_mask(costs, gains, probability, narrowable=narrowable).tolist() == expected
