import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from paretodet.records.statistics import (
    PRIOR_DF,
    PRIOR_SD,
    interval,
    percentile,
    ratio_interval,
    t_quantile,
    within_pct,
)

positive = st.floats(0.01, 1e4)


@pytest.mark.parametrize("df", [*range(1, 61), 100, 1000, 10**6])
def test_t_quantile_is_scipys(df: int) -> None:
    assert t_quantile(df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-9 if df < 30 else 1e-4)


def test_t_quantile_needs_a_degree_of_freedom() -> None:
    with pytest.raises(ValueError, match="df is 0"):
        t_quantile(0)


def simulated(random: np.random.Generator, *, runs: int, processes: int, samples: int, spread: float) -> np.ndarray:
    """Process medians of calls of 10 ms: AR(.8) noise of 3 % inside a process, and `spread` between processes."""
    noise = random.standard_normal((runs, processes, samples))
    series = np.empty_like(noise)
    series[..., 0] = noise[..., 0] / 0.6  # the stationary spread of AR(.8)
    for i in range(1, samples):
        series[..., i] = 0.8 * series[..., i - 1] + noise[..., i]
    effect = spread * random.standard_normal((runs, processes, 1))
    return np.median(10 * np.exp(effect + 0.03 * 0.6 * series), axis=-1)


@pytest.mark.parametrize("processes", [2, 3, 5, 8])
@pytest.mark.parametrize("spread", [0.0, 0.015, 0.05, 0.1])
def test_interval_covers_the_truth(processes: int, spread: float) -> None:
    """The truth is inside in at least 92 % of 500 runs, whatever the spread, although samples are autocorrelated."""
    medians = simulated(np.random.default_rng(1), runs=500, processes=processes, samples=60, spread=spread)
    inside = [low <= 10 <= high for _, low, high in map(interval, medians)]
    assert np.mean(inside) >= 0.92
    assert processes < 8 or spread < 0.05 or np.mean(inside) <= 0.98


def test_interval_covers_95_percent_where_spreads_are_as_expected() -> None:
    """Variances drawn from the prior: exactly the population that the interval is made for."""
    random = np.random.default_rng(3)
    spreads = np.sqrt(PRIOR_DF * PRIOR_SD**2 / random.chisquare(PRIOR_DF, 2000))
    medians = [10 * np.exp(min(spread, 50) * random.standard_normal(3)) for spread in spreads]
    assert 0.935 <= np.mean([low <= 10 <= high for _, low, high in map(interval, medians)]) <= 0.965


def test_interval_over_single_samples_would_not_cover() -> None:
    """Why the unit is the process: the same interval over the samples of one process often misses the true value."""
    random = np.random.default_rng(2)
    series = np.zeros((500, 60))
    series[:, 0] = random.standard_normal(500) / 0.6
    for i in range(1, 60):
        series[:, i] = 0.8 * series[:, i - 1] + random.standard_normal(500)
    samples = 10 * np.exp(0.015 * random.standard_normal((500, 1)) + 0.018 * series)
    inside = [low <= 10 <= high for _, low, high in map(interval, samples)]
    assert np.mean(inside) < 0.7


@given(st.lists(positive, min_size=2, max_size=9), st.floats(0.1, 10))
def test_interval_holds_its_median_and_scales(medians: list[float], scale: float) -> None:
    result, scaled = interval(medians), interval([scale * m for m in medians])
    assert result.low <= result.p50 <= result.high
    assert result.p50 == pytest.approx(np.median(medians))
    assert tuple(scaled) == pytest.approx(tuple(scale * x for x in result), rel=1e-6)


def test_interval_of_one_process_is_unknown() -> None:
    assert interval([3.0]) == (3.0, None, None)
    assert interval([3.0]).half_pct == float("inf")


@pytest.mark.parametrize("bad", [[], [1.0, 0.0], [-1.0]])
def test_interval_refuses(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        interval(bad)


def test_half_pct_of_a_known_interval() -> None:
    medians = np.exp(np.array([-0.02, 0.0, 0.02]))
    variance = (2 * 0.02**2 + PRIOR_DF * PRIOR_SD**2) / (2 + PRIOR_DF)
    half = stats.t.ppf(0.975, 2 + PRIOR_DF) * np.sqrt(variance / 3)
    assert interval(medians).half_pct == pytest.approx(100 * np.expm1(half))


def test_two_processes_that_agree_or_differ_are_no_extremes() -> None:
    assert 5 < interval([10.0, 10.0]).half_pct < interval([10.0, 11.7]).half_pct < 35


@given(st.lists(positive, min_size=2, max_size=6), st.lists(positive, min_size=2, max_size=6))
def test_ratio_is_scipys_pooled_t(ours: list[float], theirs: list[float]) -> None:
    result = ratio_interval(ours, theirs)
    assume(np.log(ours).std() > 1e-6 and np.log(theirs).std() > 1e-6)
    expected = stats.ttest_ind(np.log(ours), np.log(theirs)).confidence_interval(0.95)
    assert np.log([result.low, result.high]) == pytest.approx([expected.low, expected.high], rel=1e-4, abs=1e-6)


def test_ratio_needs_two_of_each() -> None:
    with pytest.raises(ValueError, match="2 processes of each candidate, not 1 and 2"):
        ratio_interval([1.0], [1.0, 2.0])


@pytest.mark.parametrize(("q", "least"), [(90, 50), (95, 100), (99, 500)])
def test_percentiles_need_samples(q: int, least: int) -> None:
    samples = list(range(1, least + 1))
    assert percentile(samples[:-1], q) is None
    assert percentile(samples, q) == pytest.approx(np.percentile(samples, q))


def test_within_pct_of_a_normal_spread_is_its_deviation() -> None:
    random = np.random.default_rng(0)
    processes = [100 + 3 * random.standard_normal(4000) for _ in range(5)]
    assert within_pct(processes) == pytest.approx(3, rel=0.05)
    assert within_pct([[1.0]]) is None
