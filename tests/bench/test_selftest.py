from collections.abc import Sequence

import pytest

from paretodet.bench import selftest as module
from paretodet.bench.block import MeasurementState
from paretodet.bench.job import Plan
from paretodet.bench.selftest import SelfTestError, SelfTestResult, check_result, selftest, twin_difference_pct

GOOD = SelfTestResult(clock_ms=0.0001, wait_ms=20.01, twice=2.01, resolution_pct=3.0)


def test_a_correct_clock_passes() -> None:
    check_result(GOOD)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"clock_ms": 15.6}, "steps of 15.600 ms"),
        ({"wait_ms": 20.3}, "measured as 20.30 ms"),
        ({"wait_ms": 19.7}, "measured as 19.70 ms"),
        ({"twice": 2.07}, "2.07 times as long"),
        ({"twice": 1.93}, "1.93 times as long"),
    ],
)
def test_each_problem_of_the_clock_is_one_sentence(bad: dict[str, float], message: str) -> None:
    with pytest.raises(SelfTestError, match=message) as caught:
        check_result(GOOD._replace(**bad))
    assert "\n" not in str(caught.value)


def test_a_disturbed_or_unsteady_machine_passes() -> None:
    check_result(GOOD._replace(twice=1.8, wait_ms=31.0, disturbed="other processes used 98 % of a core"))
    check_result(GOOD._replace(resolution_pct=40.0))
    with pytest.raises(SelfTestError, match="steps of"):
        check_result(GOOD._replace(clock_ms=15.6, disturbed="other processes used 98 % of a core"))


def test_resolution_is_half_of_the_interval_of_the_ratio() -> None:
    assert twin_difference_pct([10, 10.2, 9.8], [10, 10.2, 9.8]) == pytest.approx(4.7, abs=0.1)


def test_the_resolution_is_at_least_the_difference_of_the_twins() -> None:
    assert twin_difference_pct([11, 11.001, 11.002], [10, 10.001, 10.002]) == pytest.approx(10, abs=0.01)
    assert twin_difference_pct([10, 10.001, 10.002], [11, 11.001, 11.002]) == pytest.approx(10, abs=0.01)


@pytest.mark.parametrize(("failures", "passes"), [(0, True), (1, True), (2, False)])
def test_it_is_repeated_once(failures: int, passes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def run(plan: Plan, notify: object) -> SelfTestResult:
        tries.append(plan)
        if len(tries) <= failures:
            raise SelfTestError("unsteady")
        return GOOD

    monkeypatch.setattr(module, "_run", run)
    if passes:
        assert selftest(Plan()) == GOOD
    else:
        with pytest.raises(SelfTestError, match="unsteady"):
            selftest(Plan())
    assert len(tries) == min(failures + 1, 2)


@pytest.mark.full
def test_the_self_test_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """On any machine the wait is at least 20 ms, and twice the work takes longer."""
    monkeypatch.setattr(module, "check_result", lambda result: None)
    result = selftest(Plan())
    assert result.wait_ms >= 20
    assert result.twice > 1.2
    assert result.resolution_pct > 0


def test_candidates_that_do_not_fit_in_memory_together_are_tested_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = []

    def run_block(states: Sequence[MeasurementState], *_: object) -> list[MeasurementState]:
        blocks.append(len(states))
        for state in states[:3]:
            burst = {"infer_ms": [20.0] * 3, "finish_ms": [0.0] * 3, "seconds": 0.06, "contended": [], "throttled": []}
            state.raw.append({"bursts": [burst], "stages_ms": {"once": [1.0], "twice": [2.0]}})
        return list(states[3:])

    monkeypatch.setattr(module, "run_block", run_block)
    result = selftest(Plan())
    assert blocks == [7, 4, 1] and (result.wait_ms, result.twice) == (20.0, 2.0)


def test_a_candidate_that_fails_fails_the_test_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_block(states: Sequence[MeasurementState], *_: object) -> list[MeasurementState]:
        for state in states:
            state.error = "the process ended"
        return []

    monkeypatch.setattr(module, "run_block", run_block)
    with pytest.raises(SelfTestError, match="twin could not be measured: the process ended"):
        selftest(Plan())
