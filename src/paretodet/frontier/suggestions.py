"""Questions to suggest about rows that were just measured."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from paretodet.frontier.budget import Budget, Recommendation
from paretodet.frontier.pareto import Frontier
from paretodet.frontier.participation import MIN_TRUSTED, has_latency
from paretodet.frontier.recommend import Chooser
from paretodet.frontier.values import MEASURED, accuracy_groups, trusted_rows, value
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows

ROUND_STEPS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0)  # limits people type, times 10^n


class AnsweredBudget(NamedTuple):
    """A latency limit and the recommendation for it."""

    max_ms: float
    answer: Recommendation


def suggested_options(rows: Sequence[Measurement]) -> dict[str, Any]:
    """Options of `paretodet recommend` for which one of `rows` is the answer; empty if no row has a latency.

    The limit is the median latency if the rows have an AP; otherwise the goal is the lowest latency. If most AP is
    measured, the options name its split, because the store may hold a larger group on other labels. If fewer than two
    rows are valid, the options name their run, because older rows of the store would be used otherwise.
    """
    rows = Rows.of(rows)
    timed = rows.where(has_latency(rows))
    trusted, disturbed = trusted_rows(timed)
    run = {"run": rows[0].run} if disturbed and len(trusted) < MIN_TRUSTED else {}
    timed = timed if run else trusted
    groups = accuracy_groups(timed)
    measured = [label for label in groups if label.startswith(f"{MEASURED}:")]
    published = [row for label, group in groups.items() if label not in measured for row in group]
    measured = measured if measured and len(groups[measured[0]]) >= len(published) else []
    scored = groups[measured[0]] if measured else published
    if not scored:
        return {"goal": "latency_ms_p50"} | run if timed else {}
    median = sorted(row.latency_ms_p50 for row in scored if row.latency_ms_p50 is not None)[len(scored) // 2]
    split = {"split": measured[0]} if measured else {}
    return split | {"max_ms": math.ceil(10 * median) / 10} | run


def example_budgets(rows: Sequence[Measurement], frontier: Frontier) -> tuple[AnsweredBudget, ...]:
    """At most three latency limits with different choices: the cheapest row of a latency frontier, a middle row and
    the best row. Fewer if the frontier has few rows.
    """
    chooser = Chooser(rows, split=frontier.split)
    limits = list(_limits([member.row for member in frontier.members if not member.tied]))
    if len(limits) > 3:
        limits = [limits[0], limits[len(limits) // 2], limits[-1]]
    answered = (AnsweredBudget(limit, chooser.answer(Budget(maximum={"latency_ms_p50": limit}))) for limit in limits)
    by_choice = {budget.answer.choice.id: budget for budget in answered if budget.answer.choice}
    return tuple(by_choice.values())


def _limits(rows: Sequence[Measurement]) -> Iterator[float]:
    """For each row, the first round limit above its interval; above its point if the next row fits that limit too."""
    latencies = [latency for row in rows if (latency := value(row, "latency_ms_p50"))]
    for index, latency in enumerate(latencies):
        following = latencies[index + 1] if index + 1 < len(latencies) else None
        rounded = (_round_up(latency.high), _round_up(latency.point))
        exact = math.ceil(100 * latency.point) / 100
        yield next((limit for limit in rounded if following is None or limit < following.point), exact)


def _round_up(number: float) -> float:
    if number <= 0:
        return 0.0
    scale = 10.0 ** math.floor(math.log10(number))
    return next((round(step * scale, 9) for step in ROUND_STEPS if step * scale >= number), 10 * scale)
