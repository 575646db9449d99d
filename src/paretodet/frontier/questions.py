"""What to ask of rows that were just measured."""

import math
from collections.abc import Sequence
from typing import Any

from paretodet.bench.record import Measurement
from paretodet.bench.rows import Rows
from paretodet.frontier.taking import FEWEST, has_time
from paretodet.frontier.values import MEASURED, entering, groups


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
