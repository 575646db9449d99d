"""Suggested questions about rows that were just measured, and their answers."""

from dataclasses import replace
from typing import Any

from paretodet.frontier.pareto import pareto_frontier
from paretodet.frontier.recommend import Budget, Recommendation, recommend
from paretodet.frontier.suggestions import example_budgets, suggested_options
from paretodet.records.measurement import Measurement


def row(name: str, latency: float | None, ap: float | None, **fields: Any) -> Measurement:
    about = {"run": "r", "ap_split": "val2017", **fields}
    return Measurement(id=f"id-{name}", at="2026", name=name, latency_ms_p50=latency, ap=ap, **about)


def answer(rows: list[Measurement], store: list[Measurement]) -> Recommendation:
    """The answer to the suggested question about `rows` in a store."""
    options = suggested_options(rows)
    limits = {"latency_ms_p50": options["max_ms"]} if "max_ms" in options else {}
    rows = [row for row in (*store, *rows) if row.run.startswith(options.get("run", ""))]
    return recommend(rows, Budget(maximum=limits, goal=options.get("goal", "ap")), split=options.get("split", "mixed"))


def test_suggested_options_recommend_one_of_the_rows() -> None:
    mine = [row(f"{n}", latency, 30 + n, ap_split="my@1", ap_measured=True) for n, latency in enumerate((9, 16.1064))]
    others = [row(f"other {n}", 1, 60, ap_split="their@2", ap_measured=True) for n in range(5)]
    assert suggested_options(mine) == {"split": "measured:my@1", "max_ms": 16.2}
    assert answer(mine, others).choice == mine[1]
    busy = [replace(each, validity="contended", run="today") for each in mine]
    assert suggested_options(busy) == {"split": "measured:my@1", "max_ms": 16.2, "run": "today"}
    assert answer(busy, others + mine).choice == busy[1], "older valid rows would be taken without the run"
    assert suggested_options([*busy, *mine]) == {"split": "measured:my@1", "max_ms": 16.2}
    published = [row(f"published {n}", 30 + n, 40) for n in range(3)]
    assert suggested_options([*mine, *published]) == {"max_ms": 31.0}, "as they are compared by default"
    small = row("small", 10, 25)
    bare = [row("bare", 16.1064, None), row("slow", 20, None)]
    assert suggested_options(bare) == {"goal": "latency_ms_p50"} and answer(bare, []).choice == bare[0]
    assert suggested_options([*bare, small]) == {"max_ms": 10.0} and answer([*bare, small], []).choice == small
    assert suggested_options([row("broken", None, 30, validity="error")]) == suggested_options([]) == {}


def limits(rows: list[Measurement]) -> list[tuple[float, str]]:
    budgets = example_budgets(rows, pareto_frontier(rows))
    return [(each.max_ms, each.answer.choice.name) for each in budgets if each.answer.choice]


def test_example_budgets_are_round_and_have_different_choices() -> None:
    rows = [row("a", 29.6, 20), row("b", 133, 30, latency_ms_p50_high=158.0), row("c", 274, 40), row("lost", 300, 35)]
    assert limits(rows) == [(30, "a"), (200, "b"), (300, "c")]
    assert limits([*rows, row("d", 800, 50), row("e", 950, 60)]) == [(30, "a"), (300, "c"), (1000, "e")]


def test_a_limit_between_neighbors_excludes_the_better_row() -> None:
    assert limits([row("a", 100.2, 20, latency_ms_p50_high=130.0), row("b", 110, 30)]) == [(100.2, "a"), (120, "b")]
    assert limits([row("a", 100.2, 20, latency_ms_p50_high=130.0), row("b", 125, 30)]) == [(120, "a"), (150, "b")]


def test_without_a_frontier_there_is_no_budget() -> None:
    assert limits([row("blind", 10, None)]) == [] == limits([])
