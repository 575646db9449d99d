"""Rows with the numbers that a budget asks for, the best first, held against its limits all at once."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretodet.frontier.chances import MAXIMUM, Limit
from paretodet.frontier.row_labels import row_labels
from paretodet.frontier.values import GAINS, Columns, Floats, Mask, columns
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows

Places = NDArray[np.intp]


class LimitCheck(NamedTuple):
    """Rows against limits: which keep all of them, and [limits, N] by what share of itself each has to move."""

    keeps: Mask
    needed: Floats  # [limits, N]
    shares: Floats  # [limits, N], 0 where it is kept


class Ranked:
    """Rows that have every number asked for: more of the goal first, then the lower latency, then name and id."""

    def __init__(self, rows: Rows, fields: Sequence[str], *, slack: float = 0.0) -> None:
        self.goal = fields[0]
        self._sign = 1 if self.goal in GAINS else -1
        numbers = {name: columns(rows, name, slack=slack) for name in fields}
        order = _order(rows, self._sign * numbers[self.goal].point)
        self.rows = rows.where(order)
        self.numbers = {name: Columns(*(column[order] for column in each)) for name, each in numbers.items()}
        self._labels: dict[str, str] = {}

    @cached_property
    def worth(self) -> Floats:
        """[N] the goal, the larger the better."""
        return self._sign * self.numbers[self.goal].point

    def point(self, place: int, field: str) -> float:
        return float(self.numbers[field].point[place])

    def called(self, row: Measurement) -> str:
        """What a row is called beside the others."""
        if row.id not in self._labels:
            self._labels |= row_labels([row], among=self.rows)
        return self._labels[row.id]

    def held(self, limits: Sequence[Limit], *, confident: bool = False) -> LimitCheck:
        """By the middle of every interval or, where `confident`, by its unfavorable end."""
        needed, shares = np.empty((2, len(limits), len(self.rows)))
        for place, (name, kind, limit) in enumerate(limits):
            point, low, high = self.numbers[name]
            needed[place] = (high if kind == MAXIMUM else low) if confident else point
            over = needed[place] - limit if kind == MAXIMUM else limit - needed[place]
            with np.errstate(divide="ignore", invalid="ignore"):
                shares[place] = np.where(over > 0, over / limit, 0.0)
        return LimitCheck(np.asarray(~(shares > 0).any(axis=0)), needed, shares)


def _order(rows: Rows, worth: Floats) -> Places:
    latency = np.nan_to_num(rows.numbers("latency_ms_p50"), nan=np.inf)
    order = np.lexsort((latency, -worth))
    same = (np.diff(worth[order]) == 0) & (latency[order][1:] == latency[order][:-1])
    tied = np.append(same, False) | np.insert(same, 0, False)
    if tied.any():
        ties = order[tied]
        names, ids = (rows.where(ties).texts(field) for field in ("name", "id"))
        keys = zip((-worth[ties]).tolist(), latency[ties].tolist(), names, ids, ties.tolist(), strict=True)
        order[tied] = [key[-1] for key in sorted(keys)]
    return order
