"""Which rows need more processes."""

from typing import Any

from paretodet.frontier.refinement import rows_to_refine
from paretodet.records.measurement import Measurement


def measured(name: str, ap: float | None, ms: float, half: float, **fields: Any) -> Any:
    low, high = ms / (1 + half), ms * (1 + half)
    return Measurement(
        id=name,
        run="r",
        at="2026",
        name=name,
        ap=ap,
        latency_ms_p50=ms,
        latency_ms_p50_low=low,
        latency_ms_p50_high=high,
        **fields,
    )


def names(rows: list[Any], until_pct: float = 5.0) -> set[str]:
    ids = rows_to_refine(rows, until_pct)
    return {each.name for each in rows if each.id in ids}


def test_a_dominated_row_is_not_refined() -> None:
    assert names([measured("best", 40, 10, 0.01), measured("slow", 30, 100, 0.5)]) == set()


def test_a_member_is_refined_to_the_requested_width() -> None:
    rows = [measured("quick", 30, 10, 0.08), measured("good", 40, 100, 0.02)]
    assert names(rows) == {"quick"}
    assert names(rows, until_pct=10.0) == set()


def test_an_undecided_row_is_refined_at_any_width() -> None:
    rows = [measured("one", 30, 10, 0.04), measured("better", 40, 10.2, 0.04)]
    assert names(rows, until_pct=1000.0) == {"one"}


def test_a_row_that_exact_latencies_leave_open_is_not_refined() -> None:
    """The accuracies are open: they are of two splits and within half a point."""
    one = measured("one", 30.0, 10, 0.001, ap_split="a")
    other = measured("other", 30.1, 11, 0.001, ap_split="b")
    assert names([one, other], until_pct=1000.0) == set()


def test_rows_without_accuracy_are_refined_to_the_requested_width() -> None:
    rows = [measured("best", 40, 10, 0.01), measured("unknown", None, 100, 0.5)]
    assert names(rows) == {"unknown"}
    assert names(rows, until_pct=1000.0) == set()


def test_without_rows_there_is_nothing_to_do() -> None:
    assert rows_to_refine([], 5.0) == set()
