"""What disturbed a row, in percent and in words."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paretodet.records.disturbance import MIN_ALL_DISTURBED_PCT, cause, disturbed_pct
from paretodet.records.measurement import Measurement


def row(*processes: dict[str, Any], **fields: Any) -> Measurement:
    return Measurement(id="i", run="r", at="2026", name="n", raw=processes, **fields)


def process(*bursts: dict[str, Any], reference_ms: float = 40.0) -> dict[str, Any]:
    return {"reference_ms": reference_ms, "bursts": list(bursts)}


def burst(ms: float, *, others: float = 0.0, seconds: float = 1.0, kind: str = "contended") -> dict[str, Any]:
    """Four calls of `ms`; `others` is the share of a core that other processes took."""
    message = {"contended": [], "throttled": []} | ({kind: ["message"]} if others or kind == "throttled" else {})
    watch = {"wall": seconds, "others_cpu": others * seconds, "stall": 0.01 * seconds}
    return message | {"seconds": seconds, "infer_ms": [ms - 1] * 4, "finish_ms": [1.0] * 4, "watch": watch}


def test_the_stored_number_has_precedence() -> None:
    assert disturbed_pct(row(process(burst(10, others=1.0)), disturbed_pct=3.5)) == 3.5
    assert disturbed_pct(row(disturbed_pct=float("nan"))) == disturbed_pct(row(disturbed_pct=-2.0)) == 0


def test_rows_without_disturbed_bursts_are_not_disturbed() -> None:
    assert disturbed_pct(row()) == disturbed_pct(row({"ms": [1.0]})) == 0
    assert disturbed_pct(row(process(burst(10)), process(burst(11)))) == 0


def test_drift_is_half_of_the_difference_of_the_references() -> None:
    quiet = burst(10)
    rows = row(process(quiet), process(quiet, reference_ms=52.0), {"reference_ms": None, "bursts": [quiet]})
    assert disturbed_pct(rows) == pytest.approx(15)


def test_cpu_of_other_processes_counts_without_slower_bursts() -> None:
    """In a quarter of the time other processes took 40 % of a core: the result is half of that."""
    mixed = row(process(burst(10, others=0.4), burst(10), burst(10), burst(10)))
    assert disturbed_pct(mixed) == pytest.approx(20)


def test_the_larger_of_cpu_share_and_slowdown_counts() -> None:
    """Three of four bursts are 50 % slower, and so is the median."""
    assert disturbed_pct(row(process(*[burst(15, others=0.1)] * 3, burst(10)))) == pytest.approx(50)
    hot = row(process(burst(12, kind="throttled"), burst(10)))
    assert disturbed_pct(hot) == pytest.approx(20)


def test_rows_in_which_every_burst_was_disturbed() -> None:
    assert disturbed_pct(row(process(burst(10, others=0.7), burst(11, others=0.3)))) == pytest.approx(70)
    assert disturbed_pct(row(process(burst(10, others=0.1), burst(19, others=0.1)))) == pytest.approx(90)
    assert disturbed_pct(row(process(burst(10, kind="throttled")))) == MIN_ALL_DISTURBED_PCT


BURSTS = st.builds(burst, st.floats(2, 99), others=st.just(0.0) | st.floats(0.05, 2), seconds=st.floats(0.1, 5))


@given(st.lists(BURSTS, min_size=1, max_size=6), st.floats(10, 99))
def test_a_disturbance_is_a_finite_number_and_drift_only_adds(bursts: list[dict[str, Any]], reference: float) -> None:
    alone = disturbed_pct(row(process(*bursts)))
    drifted = disturbed_pct(row(process(*bursts), process(reference_ms=reference)))
    assert 0 <= alone <= drifted < 1e6


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["bursts", "seconds", "watch", "wall"]), inner)
    ),
    max_leaves=6,
)


@example({"bursts": None, "reference_ms": 1e-199}, None)
@given(st.dictionaries(st.sampled_from(["bursts", "reference_ms"]), JSON), JSON)
def test_samples_of_another_type_are_ignored(process_: dict[str, Any], value: Any) -> None:
    odd = burst(10, others=0.4) | {"seconds": value, "watch": value, "infer_ms": value}
    assert 0 <= disturbed_pct(row(process_, process(odd, burst(10)))) < 1e9


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "other processes used 39 % of a core; tasks waited for a CPU 23 % of the time",
            "other processes used 39 % of a core",
        ),
        (
            "other processes used 39 % of a core, mostly back-up; threads waited for a CPU 9 % of the time",
            "other processes used 39 % of a core, mostly back-up",
        ),
        ("the hypervisor stole 12 % of a core", "the hypervisor stole 12 % of a core"),
        ("other work used 40 % of the GPU", "other work used 40 % of the GPU"),
        ("tasks waited for a CPU 9 % of the time", "waited for a CPU 9 % of the time"),
        ("threads waited for a CPU 9 % of the time", "waited for a CPU 9 % of the time"),
        ("the control group's CPU quota ran out", "the CPU quota ran out"),
        ("something of its own", "something of its own"),
        ("x" * 99, "x" * 59 + "…"),
    ],
)
def test_a_cause_is_a_few_words(message: str, words: str) -> None:
    noise = ("the interval is ± 11 % wide; 10 % is allowed", f"41 % of the time was contended: {message}")
    assert cause(row(validity="contended", reasons=noise)) == words
    assert cause(row(validity="contended", reasons=(message,))) == words


def test_rows_without_a_cause() -> None:
    assert cause(row(reasons=("not watched: temperature",))) == cause(row()) == ""
    assert cause(
        row(validity="throttled", reasons=("9 % of the time was throttled: the clock fell to 1 of 3 MHz",))
    ) == ("the clock fell to 1 of 3 MHz")
    assert cause(row(validity="error", error="out of memory\nat line 3", reasons=("other",))) == "out of memory"
    assert cause(row(validity="error", error="x needs y [extra-missing]")) == "x needs y"
