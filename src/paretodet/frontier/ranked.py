"""Rows that have the numbers a budget needs, best first, compared with its limits all at once."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretodet.frontier.probability import MAXIMUM, Limit
from paretodet.frontier.row_labels import row_labels
from paretodet.frontier.shared_errors import SharedErrors, shared_errors
from paretodet.frontier.values import Columns, Floats, Mask, columns
from paretodet.records.measurement import GAINS, Measurement
from paretodet.records.rows import Rows

Indices = NDArray[np.intp]


class LimitCheck(NamedTuple):
    """Which rows keep all limits, what limit each row needs, and by what share of itself each limit has to move."""

    keeps: Mask
    needed: Floats  # [limits, N]
    shares: Floats  # [limits, N], 0 if the limit is kept


class RankedRows:
    """Rows that have every field of a question: most of the goal first, then lower latency, then name and id."""

    def __init__(self, rows: Rows, fields: Sequence[str], *, slack: float = 0.0) -> None:
        self.goal = fields[0]
        self._sign = 1 if self.goal in GAINS else -1
        numbers = {name: columns(rows, name, slack=slack) for name in fields}
        order = _order(rows, self._sign * numbers[self.goal].point)
        self.rows = rows.where(order)
        self.numbers = {name: Columns(*(part[order] for part in column)) for name, column in numbers.items()}
        self._labels: dict[str, str] = {}

    @cached_property
    def score(self) -> Floats:
        """[N] the goal; larger is better."""
        return self._sign * self.numbers[self.goal].point

    def shared(self, indices: Indices) -> SharedErrors | None:
        """The errors that the goals of the rows at these indices share."""
        return shared_errors(self.rows.where(indices), self.goal)

    def point(self, index: int, field: str) -> float:
        return float(self.numbers[field].point[index])

    def label(self, row: Measurement) -> str:
        """A label of the row that no other of these rows has."""
        if row.id not in self._labels:
            self._labels |= row_labels([row], among=self.rows)
        return self._labels[row.id]

    def check(self, limits: Sequence[Limit], *, confident: bool = False) -> LimitCheck:
        """Compares the point of every interval with the limits or, if `confident`, its unfavorable end."""
        needed, shares = np.empty((2, len(limits), len(self.rows)))
        for index, (name, kind, limit) in enumerate(limits):
            point, low, high = self.numbers[name]
            needed[index] = (high if kind == MAXIMUM else low) if confident else point
            over = needed[index] - limit if kind == MAXIMUM else limit - needed[index]
            with np.errstate(divide="ignore", invalid="ignore"):
                shares[index] = np.where(over > 0, over / limit, 0.0)
        return LimitCheck(np.asarray(~(shares > 0).any(axis=0)), needed, shares)


def _order(rows: Rows, score: Floats) -> Indices:
    latency = np.nan_to_num(rows.numbers("latency_ms_p50"), nan=np.inf)
    order = np.lexsort((latency, -score))
    same = (np.diff(score[order]) == 0) & (latency[order][1:] == latency[order][:-1])
    tied = np.append(same, False) | np.insert(same, 0, False)
    if tied.any():
        ties = order[tied]
        names, ids = (rows.where(ties).texts(field) for field in ("name", "id"))
        keys = zip((-score[ties]).tolist(), latency[ties].tolist(), names, ids, ties.tolist(), strict=True)
        order[tied] = [key[-1] for key in sorted(keys)]
    return order
