"""What to ask of rows that were just measured."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from paretodet.frontier.budget import Budget, Recommendation
from paretodet.frontier.pareto import Frontier
from paretodet.frontier.recommend import Chooser
from paretodet.frontier.taking import FEWEST, has_time
from paretodet.frontier.values import MEASURED, entering, groups, value
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows

ROUND = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0)  # limits that people would type, x 10^n


class Asked(NamedTuple):
    """A latency limit and its answer."""

    max_ms: float
    answer: Recommendation


def first_question(rows: Sequence[Measurement]) -> dict[str, Any]:
    """What to ask of `rows` to begin with, as options of `paretodet recommend`, so that one of them is the answer: the
    middle latency as the limit where their AP is known, else the least latency. Empty where none has a latency.

    Measured AP is asked for by the name of its own group: a store may hold a larger one, of other labels. Where too
    few rows are valid for an answer of their own their run is named: in a store older ones would be taken.
    """
    every = Rows.of(rows)
    timed = every.where(has_time(every))
    usable, disturbed = entering(timed)
    alone = {"run": rows[0].run} if disturbed and len(usable) < FEWEST else {}
    timed = timed if alone else usable
    scored = groups(timed)
    measured = [label for label in scored if label.startswith(f"{MEASURED}:")]
    asked = scored[measured[0]] if measured else [row for each in scored.values() for row in each]
    if not asked:
        return {"goal": "latency_ms_p50"} | alone if timed else {}
    middle = sorted(row.latency_ms_p50 for row in asked if row.latency_ms_p50 is not None)[len(asked) // 2]
    split = {"split": measured[0]} if measured else {}
    return split | {"max_ms": math.ceil(10 * middle) / 10} | alone


def three_budgets(rows: Sequence[Measurement], found: Frontier) -> tuple[Asked, ...]:
    """At most three limits of the latency, each with another choice: for the cheapest row of a latency frontier, one in
    the middle and the best; of one with few rows fewer.
    """
    chooser = Chooser(rows, split=found.split)
    limits = list(_limits([member.row for member in found.members if not member.tied]))
    if len(limits) > 3:
        limits = [limits[0], limits[len(limits) // 2], limits[-1]]
    asked = (Asked(limit, chooser.answer(Budget(maximum={"latency_ms_p50": limit}))) for limit in limits)
    answers = {each.answer.choice.id: each for each in asked if each.answer.choice}
    return tuple(answers.values())


def _limits(rows: Sequence[Measurement]) -> Iterator[float]:
    """For each row the first round limit above its interval, or above its middle where the next row fits that too."""
    found = [known for row in rows if (known := value(row, "latency_ms_p50"))]
    for place, here in enumerate(found):
        following = found[place + 1] if place + 1 < len(found) else None
        wanted = (_round_up(here.high), _round_up(here.point))
        exact = math.ceil(100 * here.point) / 100
        yield next((limit for limit in wanted if following is None or limit < following.point), exact)


def _round_up(number: float) -> float:
    if number <= 0:
        return 0.0
    scale = 10.0 ** math.floor(math.log10(number))
    return next((round(step * scale, 9) for step in ROUND if step * scale >= number), 10 * scale)
