"""Contention in a row; intervals of clean bursts are correct because the selection is independent of their times."""

from typing import Any

import numpy as np
import pytest
from test_runner import process

from paretodet.bench.bursts import (
    clean_share,
    drift_pct,
    excluded_bursts,
    has_clean_time,
    headline_samples,
    samples,
    widening_pct,
)
from paretodet.records.statistics import interval


def burst(ms: list[float], *contended: str, **watch: float) -> dict[str, Any]:
    return {**process(*ms)["bursts"][0], "contended": list(contended), "watch": {"wall": 1.0, **watch}}


def record(*bursts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"bursts": list(bursts), **fields}


def test_headline_samples_are_of_clean_bursts() -> None:
    one = record(burst([10, 11]), burst([30, 31], "others"))
    other, none = record(burst([12])), record(burst([40], "others"))
    assert headline_samples([one, other, none]) == [[10, 11], [12]]
    assert headline_samples([one, none]) == [[10, 11, 30, 31], [40]]  # one clean process has no interval
    assert headline_samples([one]) == [[10, 11]]
    assert (has_clean_time([one, other, none]), has_clean_time([one, none])) == (True, False)
    assert samples(one) == [10, 11, 30, 31]


def test_left_out_counts_causes_without_their_numbers() -> None:
    noisy = burst([1], "other processes used 40 % of a core", "threads waited for a CPU 12 % of the time")
    again = burst([1], "other processes used 80 % of a core")
    hot = burst([1]) | {"throttled": ["the clock fell to 2000 of 3000 MHz"]}
    assert excluded_bursts([record(noisy, again), record(burst([1]), hot)]) == {
        "other processes used": 2,
        "threads waited for a CPU": 1,
        "the clock fell to": 1,
    }


def test_the_clean_share_is_of_time() -> None:
    assert clean_share([record(burst([3000.0]), burst([1000.0], "others"))]) == pytest.approx(0.75)
    assert clean_share([]) is None


def test_a_row_is_widened_by_contention_in_its_bursts() -> None:
    clean, bad = burst([1000.0], others_cpu=0.04, waited=0.01), burst([1000.0], "others", others_cpu=0.6, waited=0.3)
    assert widening_pct([record(clean, bad)] * 2, half=5.0) == pytest.approx(5.0)
    assert widening_pct([record(bad)] * 2, half=5.0) == pytest.approx(90.0)
    beside = burst([1000.0], neighbors_cpu=0.1)  # on the other half of a physical core
    assert widening_pct([record(beside)] * 2, half=5.0) == pytest.approx(10.0)
    assert widening_pct([record(burst([1.0]))] * 2, half=5.0) == 0.0


def test_drift_counts_beyond_the_interval() -> None:
    raw = [record(burst([1.0]), reference_ms=ms) for ms in (10.0, 14.4)]
    assert drift_pct(raw) == pytest.approx(20.0)
    assert widening_pct(raw, half=5.0) == pytest.approx(15.0)
    assert widening_pct(raw, half=30.0) == 0.0


def test_a_slow_copy_of_memory_is_drift() -> None:
    raw = [record(burst([1.0]), reference_ms=10.0, reference_stream_ms=ms) for ms in (2.0, 8.0)]
    assert drift_pct(raw) == pytest.approx(100.0)


@pytest.mark.parametrize("slowed", [1.3, 2.0])
def test_intervals_of_clean_bursts_hold_the_quiet_truth(slowed: float) -> None:
    """Bursts are disturbed at random and marked independently of their time: 95 % of intervals contain the true value,
    though half of all bursts were slower; the intervals of everything do not.
    """
    random, truth, tries = np.random.default_rng(0), 10.0, 1000
    held = {"clean": 0, "all": 0}
    for _ in range(tries):
        raw = [record(*_bursts(random, truth * np.exp(0.08 * random.standard_normal()), slowed)) for _ in range(3)]
        chosen = interval([float(np.median(times)) for times in headline_samples(raw)])
        everything = interval([float(np.median(samples(each))) for each in raw])
        held["clean"] += chosen.low <= truth <= chosen.high
        held["all"] += everything.low <= truth <= everything.high
    assert 0.93 <= held["clean"] / tries <= 0.98
    assert held["all"] < held["clean"]


def _bursts(random: np.random.Generator, middle: float, slowed: float) -> list[dict[str, Any]]:
    bad = random.random(5) < 0.5
    bad[0] = False  # the process continued until it had clean time
    times = middle * np.exp(0.05 * random.standard_normal((5, 6))) * np.where(bad, slowed, 1.0)[:, None]
    return [burst(list(ms), *["others"] * int(is_bad)) for ms, is_bad in zip(times, bad, strict=True)]
