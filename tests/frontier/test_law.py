"""Costs as sums of the parts of networks."""

import numpy as np
import pytest

from paretodet.frontier.features import of_names
from paretodet.frontier.law import law

RANDOM = np.random.default_rng(0)
COUNT = 40
MACS, LAYERS, PARAMETERS, MOVED = (
    RANDOM.uniform(1e8, 1e11, COUNT), RANDOM.integers(10, 300, COUNT), RANDOM.uniform(1e5, 1e8, COUNT),
    RANDOM.uniform(1e7, 1e9, COUNT),
)  # fmt: skip


def features(macs=MACS, layers=LAYERS):
    known = {"macs": list(macs), "layers": list(layers), "parameters": list(PARAMETERS), "moved": list(MOVED)}
    return of_names([f"net{place}" for place in range(COUNT)], known=known)


@pytest.mark.parametrize(
    "rates",
    [(1e-8, 0.3, 1e-7, 2e-7, 5.0), (1e-8, 0.0, 0.0, 0.0, 0.0), (0.0, 0.3, 0.0, 1e-7, 2.0), (0.0, 0.0, 0.0, 0.0, 7.0)],
)
def test_the_rates_of_a_sum_are_found(rates):
    costs = np.column_stack([MACS, LAYERS, PARAMETERS, MOVED, np.ones(COUNT)]) @ rates
    few = np.arange(8)
    found = law(features(), few, costs[few])
    assert np.exp(found.logs(features())) == pytest.approx(costs, rel=1e-6)
    assert found.rates == pytest.approx(rates, rel=1e-3, abs=1e-12)


def test_no_rate_is_below_0():
    """Of costs that fall with the layers, the best of all sums of not negative rates: more layers, no less cost."""
    costs = 1e-8 * MACS + 300.0 - LAYERS
    found = law(features(), np.arange(COUNT), costs)
    assert (found.rates >= 0).all() and found.rates[1] == 0
    parts = np.column_stack([MACS, LAYERS, PARAMETERS, MOVED, np.ones(COUNT)]) / costs[:, None]
    least = ((parts @ found.rates - 1) ** 2).sum()
    for change in 1e-3 * np.eye(5) * found.rates.max(initial=1e-12, where=found.rates > 0):
        for rates in (found.rates + change, np.maximum(found.rates - change, 0)):
            assert ((parts @ rates - 1) ** 2).sum() >= least


def test_a_network_without_counts_costs_what_is_usual():
    macs = [None if place == 30 else number for place, number in enumerate(MACS)]
    found = law(features(macs), np.arange(8), 1e-8 * MACS[:8])
    logs = found.logs(features(macs))
    assert np.isfinite(logs).all() and logs[30] == pytest.approx(np.log(1e-8 * MACS[:8]).mean())


def test_too_little_is_no_law():
    assert law(of_names(["a-300", "b-400", "c-500"]), np.arange(3), np.ones(3)) is None
    assert law(features(), np.arange(2), np.ones(2)) is None
