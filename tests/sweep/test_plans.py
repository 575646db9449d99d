import pytest

from paretodet.bench.job import Plan
from paretodet.sweep.plans import LARGE_RUN_BUDGET, SMALL_RUN, make_plan, parse_duration


def test_the_plan_is_the_benchs_own_with_what_was_asked_for() -> None:
    own = Plan()
    assert make_plan(6) == own
    assert make_plan(6, default_set=True).budget is not None
    assert make_plan(6, until_pct=2.0, default_set=True).budget is None
    assert make_plan(6, patience=0.0).patience == 0
    few, many = (make_plan(6, processes=count, until_pct=1.0) for count in (2, 12))
    assert (few.processes, few.slow_processes, few.max_processes) == (2, 2, own.max_processes)
    assert (many.processes, many.slow_processes, many.max_processes, many.until_pct) == (12, 2, 12, 1.0)


@pytest.mark.parametrize(
    ("count", "asked", "expected"),
    [
        (SMALL_RUN, {}, False),
        (SMALL_RUN + 1, {}, True),
        (SMALL_RUN, {"until_answer": True}, True),
        (SMALL_RUN + 1, {"until_answer": False}, False),
        (SMALL_RUN + 1, {"processes": 5}, False),
        (SMALL_RUN + 1, {"until_pct": 3.0}, False),
    ],
)
def test_large_sets_stop_when_the_answer_is_there(count: int, asked: dict[str, object], expected: bool) -> None:
    plan = make_plan(count, **asked)
    assert (plan.processes == 2) == expected
    assert (plan.budget == LARGE_RUN_BUDGET) == expected


@pytest.mark.parametrize(("text", "expected"), [("0", 0), ("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400)])
def test_times(text: str, expected: float) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "m", "-1", "1d", "nan", "ten"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="patience: "):
        parse_duration(text)
