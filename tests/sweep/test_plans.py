import pytest

from paretodet.bench.job import Plan
from paretodet.errors import InputError
from paretodet.sweep.plans import LARGE_RUN_BUDGET, SMALL_RUN, make_plan, parse_duration


def test_options_change_the_default_plan() -> None:
    default = Plan()
    assert make_plan(6) == default
    assert make_plan(6, default_set=True).budget is not None
    assert make_plan(6, until_pct=2.0, default_set=True).budget is None
    assert make_plan(6, patience=0.0).patience == 0
    few, many = (make_plan(6, processes=count, until_pct=1.0) for count in (2, 12))
    assert (few.processes, few.slow_processes, few.max_processes) == (2, 2, default.max_processes)
    assert (many.processes, many.slow_processes, many.max_processes, many.until_pct) == (12, 2, 12, 1.0)


@pytest.mark.parametrize(
    ("count", "options", "expected"),
    [
        (SMALL_RUN, {}, False),
        (SMALL_RUN + 1, {}, True),
        (SMALL_RUN, {"until_answer": True}, True),
        (SMALL_RUN + 1, {"until_answer": False}, False),
        (SMALL_RUN + 1, {"processes": 5}, False),
        (SMALL_RUN + 1, {"until_pct": 3.0}, False),
    ],
)
def test_large_runs_refine_undecided_rows_only(count: int, options: dict[str, object], expected: bool) -> None:
    plan = make_plan(count, **options)
    assert (plan.processes == 2) == expected
    assert (plan.budget == LARGE_RUN_BUDGET) == expected


@pytest.mark.parametrize(("text", "expected"), [("0", 0), ("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400)])
def test_durations_are_parsed(text: str, expected: float) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "m", "-1", "1d", "nan", "ten"])
def test_an_invalid_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="patience: "):
        parse_duration(text)


@pytest.mark.parametrize("until", [0.0, -1.0, float("nan")])
def test_a_width_that_no_interval_can_have_is_refused(until: float) -> None:
    with pytest.raises(InputError, match=r"^until: .*\[option-range\]$"):
        make_plan(2, until_pct=until)
