"""Where a narrower interval would change what is said: the rows that are worth more processes."""

from collections.abc import Sequence

import numpy as np

from paretodet.frontier.pareto import membership
from paretodet.frontier.values import MIXED, Columns, columns, group, value
from paretodet.records.measurement import Measurement
from paretodet.records.statistics import half_pct

COST, GAIN = "latency_ms_p50", "ap"
DECIDED = 0.95  # a membership that is more probable than this, or less than the rest, is decided


def undecided(rows: Sequence[Measurement], until_pct: float) -> set[str]:
    """Ids of the rows whose latency is still too wide.

    A row that others certainly beat needs no narrow interval. One whose place on the frontier of accuracy against
    latency is open needs more, unless it would be open with exact latencies too. A member needs more while half of its
    interval is wider than `until_pct`, and so does a row without an accuracy.
    """
    timed = [row for row in rows if row.usable]
    compared = group(timed, GAIN, MIXED)
    known = [row for row in compared.rows if value(row, COST)]
    costs, gains = columns(known, COST), columns(known, GAIN, slack=compared.slack)
    exact = Columns(costs.point, costs.point, costs.point)
    now, then = (_probability(each, gains) for each in (costs, exact))
    open_ = (now > 1 - DECIDED) & (now < DECIDED) & ~((then > 1 - DECIDED) & (then < DECIDED))
    wide = np.array([half_pct(row) > until_pct for row in known], dtype=bool)
    worth = open_ | ((now >= DECIDED) & wide)
    alone = {row.id for row in timed if value(row, GAIN) is None and half_pct(row) > until_pct}
    return alone | {row.id for row, more in zip(known, worth, strict=True) if more}


def _probability(costs: Columns, gains: Columns) -> np.ndarray:
    return membership(
        costs.point, gains.point, cost_low=costs.low, cost_high=costs.high, gain_low=gains.low, gain_high=gains.high
    )
