"""Which rows of a run need more processes: those whose narrower interval would change the frontier."""

from collections.abc import Sequence

import numpy as np

from paretodet.frontier.dominance import SURE, membership, undecided_mask
from paretodet.frontier.shared_errors import shared_errors
from paretodet.frontier.values import MIXED, columns, comparable_group, value
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows
from paretodet.records.statistics import half_pct

COST, GAIN = "latency_ms_p50", "ap"


def rows_to_refine(rows: Sequence[Measurement], until_pct: float) -> set[str]:
    """Ids of the rows whose latency interval is still too wide.

    A row that is certainly dominated needs no narrow interval. A row whose membership on the frontier of accuracy
    against latency is open needs more processes, unless exact latencies would leave it open too. A member needs more
    while half of its interval is wider than `until_pct`; so does a row without an accuracy.
    """
    timed = [row for row in rows if row.usable]
    group = comparable_group(timed, GAIN, MIXED)
    known = Rows.of([row for row in group.rows if value(row, COST)])
    costs, gains = columns(known, COST), columns(known, GAIN, slack=group.slack)
    shared = shared_errors(known, GAIN)
    probability = membership(
        costs.point,
        gains.point,
        cost_low=costs.low,
        cost_high=costs.high,
        gain_low=gains.low,
        gain_high=gains.high,
        shared=shared,
    )
    is_open = undecided_mask(costs, gains, probability, narrowable=(True, False), shared=shared)
    is_wide = np.array([half_pct(row) > until_pct for row in known], dtype=bool)
    needs_more = is_open | ((probability >= SURE) & is_wide)
    without_accuracy = {row.id for row in timed if value(row, GAIN) is None and half_pct(row) > until_pct}
    return without_accuracy | {row.id for row, needed in zip(known, needs_more, strict=True) if needed}
