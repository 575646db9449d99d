"""The Pareto frontier under uncertainty: which rows may be the best at their cost, and with what probability.

The frontier consists of the rows that no other row certainly dominates (see `dominance.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretodet.frontier.dominance import interval_bounds, membership, pareto_mask, undecided_mask
from paretodet.frontier.participation import (
    NO_ROWS,
    Participation,
    describe_rows,
    has_latency,
    left_out_notes,
    remeasure_command,
    select_rows,
)
from paretodet.frontier.shared_errors import SharedErrors, is_slower_twin, shared_errors
from paretodet.frontier.values import (
    COSTS,
    GAINS,
    Columns,
    ComparableRows,
    accuracy_groups,
    assumed_accuracy,
    check_field,
    columns,
    comparable_group,
    estimated_accuracy,
    is_time,
    mixed_conditions,
)
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows

PAIR_BUDGET = 16_000_000  # pairs of rows that are compared at once


class Member(NamedTuple):
    """A row of the frontier. `tied`: by its point values alone it would be dominated."""

    row: Measurement
    probability: float
    tied: bool


class Dominated(NamedTuple):
    """A row, and the member `by` that certainly dominates it."""

    row: Measurement
    by: Measurement


class DominatedRows(Sequence[Dominated]):
    """The rows that are certainly dominated; each object is made on access."""

    def __init__(self, rows: Rows, by: NDArray[np.intp], members: Sequence[Member]) -> None:
        self._rows, self._by, self._members = rows, by, members

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Dominated:  # type: ignore[override]
        return Dominated(self._rows[index], self._members[self._by[index]].row)

    def __iter__(self) -> Iterator[Dominated]:
        for row, by in zip(self._rows, self._by, strict=True):
            yield Dominated(row, self._members[by].row)

    def summaries(self) -> Iterator[tuple[str, str, str]]:
        """(id, name, id of the dominating member) of every row, without making an object per row."""
        ids = [member.row.id for member in self._members]
        by = (ids[index] for index in self._by.tolist())
        return zip(self._rows.texts("id"), self._rows.texts("name"), by, strict=True)


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """The frontier of one cost and one gain, members by rising cost.

    It is provisional if fewer than two rows are trusted: all rows that have a latency then enter, and `why` is a
    sentence that says so. `undecided` are the members whose membership narrower intervals of time would decide.
    `remeasure` are the words of the command whose measurements would settle what is provisional or undecided.
    """

    cost: str
    gain: str
    split: str | None  # of the accuracy: a split, "measured:..." or "mixed"; None if the gain is not an accuracy
    members: tuple[Member, ...]
    dominated: DominatedRows
    cost_only: Rows  # rows without the gain
    left_out: int  # number of rows that are not valid
    notes: tuple[str, ...]  # sentences
    outside: Sequence[Measurement] = ()  # the rows that are not valid
    provisional: bool = False
    why: str = ""
    undecided: tuple[Member, ...] = ()
    remeasure: tuple[str, ...] = ()


class _PricedRows(NamedTuple):
    """The rows that have the cost, those of them that also have the gain, and the accuracy group of these."""

    priced: Rows
    known: Rows
    group: ComparableRows | None


class _FrontierIndices(NamedTuple):
    """The compared rows, their costs and gains, and the indices of the members by rising cost."""

    rows: Rows
    costs: Columns
    gains: Columns
    shared: SharedErrors | None  # errors of estimated gains
    members: NDArray[np.intp]


def pareto_frontier(
    rows: Sequence[Measurement],
    *,
    cost: str = "latency_ms_p50",
    gain: str = "ap",
    split: str | None = None,
    include_invalid: bool = False,
    strict: bool = False,
    seed: int = 0,
) -> Frontier:
    """The frontier of `rows`. `gain` is an accuracy, or a cost with a minus sign in front ("-memory_infer_mib").

    Accuracies are compared within one group: the largest, or that of `split` (see `values.comparable_group`).
    `participation.select_rows` decides which rows enter. Raises ValueError for a cost, gain or split that does not
    exist.

    >>> import paretodet
    >>> frontier = paretodet.pareto_frontier(paretodet.read_rows("rows.jsonl"), split="mixed")
    >>> [member.row.name for member in frontier.members]
    ['ssd-mobilenet_v1-300', 'hf:d_fine-n', 'hf:d_fine-s']
    """
    check_field(cost, COSTS)
    check_field(gain, (*GAINS, *(f"-{name}" for name in COSTS)))

    def compare(inside: Rows, left_out: int) -> _PricedRows:
        priced = inside.where(np.isfinite(columns(inside, cost).point))
        group = comparable_group(priced, gain, split, left_out=left_out) if gain in GAINS else None
        known = group.rows if group else priced.where(np.isfinite(columns(priced, gain).point))
        return _PricedRows(priced, known, group)

    selected = select_rows(rows, compare, include_invalid=include_invalid, strict=strict)
    priced, known, group = selected.compared
    slack = group.slack if group else 0.0
    costs, gains = columns(known, cost), columns(known, gain, slack=slack)
    shared = shared_errors(known) if gain == "ap" else None
    members, indices = _members(known, costs, gains, shared, seed)
    undecided = _undecided(members, indices, (is_time(cost), is_time(gain)), seed)
    missed = NO_ROWS if strict else _missed(selected, indices, (cost, gain, slack))
    return Frontier(
        cost=cost,
        gain=gain,
        split=group.label if group else None,
        members=members,
        dominated=_dominated(members, indices),
        cost_only=priced.where(np.isnan(columns(priced, gain).point)),
        left_out=len(selected.outside),
        notes=_notes(selected, cost, len(rows), missed),
        outside=selected.outside,
        provisional=selected.provisional,
        why=selected.why,
        undecided=tuple(members[i] for i in undecided),
        remeasure=_remeasure(selected, indices, undecided, missed),
    )


def _members(
    rows: Rows, costs: Columns, gains: Columns, shared: SharedErrors | None, seed: int
) -> tuple[tuple[Member, ...], _FrontierIndices]:
    bounds = interval_bounds(costs, gains)
    inside = np.flatnonzero(pareto_mask(costs.point, gains.point, **bounds) & ~is_slower_twin(costs, shared))
    by_point = pareto_mask(costs.point, gains.point)
    probability = membership(costs.point, gains.point, **bounds, shared=shared, seed=seed)
    row_at = dict(zip(inside.tolist(), rows.where(inside), strict=True))
    order = sorted(row_at, key=lambda i: (costs.point[i], -gains.point[i], row_at[i].name, row_at[i].id))
    members = tuple(Member(row_at[i], float(probability[i]), not bool(by_point[i])) for i in order)
    return members, _FrontierIndices(rows, costs, gains, shared, np.array(order, dtype=np.intp))


def _dominated(members: tuple[Member, ...], indices: _FrontierIndices) -> DominatedRows:
    """The other rows by rising cost, each with the member that dominates it: if several do, the one with most gain."""
    rows, costs, gains, shared, inside = indices
    outside = np.ones(len(rows), dtype=np.bool_)
    outside[inside] = False
    rest = np.flatnonzero(outside)
    rest = rest[np.lexsort((-gains.point[rest], costs.point[rest]))]
    best = np.lexsort((costs.point[inside], -gains.point[inside]))
    by = best[_first_dominating(inside[best], rest, costs, gains, shared)] if rest.size else rest
    return DominatedRows(rows.where(rest), by, members)


def _first_dominating(
    members: NDArray[np.intp],
    rest: NDArray[np.intp],
    costs: Columns,
    gains: Columns,
    shared: SharedErrors | None,
) -> NDArray[np.intp]:
    """[R] -> the position of the first of `members` that certainly dominates each row of `rest`.

    Nearly always it is the first of those that cost no more. Only the other rows are compared with every member.
    """
    order = np.argsort(costs.high[members], kind="stable")
    affordable = np.searchsorted(costs.high[members][order], costs.low[rest], side="right")
    first = np.append(members.size - 1, np.minimum.accumulate(order))[affordable]
    open_rows = np.flatnonzero((affordable == 0) | (gains.low[members[first]] < gains.high[rest]))
    for part in np.array_split(open_rows, 1 + open_rows.size * members.size // PAIR_BUDGET):
        cost, gain = costs.low[rest[part], None], gains.high[rest[part], None]
        no_worse = gains.low[members] >= gain
        if shared:
            same = shared.system[members] == shared.system[rest[part], None]
            no_worse |= same & shared.estimated[members] & shared.estimated[rest[part], None]
        first[part] = ((costs.high[members] <= cost) & no_worse).argmax(axis=1)
    return np.asarray(first)


def _undecided(
    members: tuple[Member, ...], indices: _FrontierIndices, narrowable: tuple[bool, bool], seed: int
) -> list[int]:
    """The positions in `members` of those that exact times would decide."""
    costs, gains = (Columns(*(part[indices.members] for part in column)) for column in (indices.costs, indices.gains))
    probability = np.array([member.probability for member in members], dtype=np.float64)
    shared = indices.shared.where(indices.members) if indices.shared else None
    mask = undecided_mask(costs, gains, probability, narrowable=narrowable, shared=shared, seed=seed)
    positions: list[int] = np.flatnonzero(mask).tolist()
    return positions


def _missed(selected: Participation[_PricedRows], indices: _FrontierIndices, question: tuple[str, str, float]) -> Rows:
    """The rows left out that no compared row certainly dominates: if they were valid, they might be members."""
    cost, gain, slack = question
    outside = selected.outside.where(has_latency(selected.outside))
    group = selected.compared.group
    if group and group.slack == 0:
        outside = accuracy_groups(outside, gain).get(group.label, outside.where(np.arange(0)))
    costs, gains = (
        Columns(*map(np.concatenate, zip(compared, left_out, strict=True)))
        for compared, left_out in (
            (indices.costs, columns(outside, cost)),
            (indices.gains, columns(outside, gain, slack=slack)),
        )
    )
    kept = pareto_mask(costs.point, gains.point, **interval_bounds(costs, gains))
    return outside.where(kept[len(indices.rows) :])


def _remeasure(
    selected: Participation[_PricedRows], indices: _FrontierIndices, undecided: Sequence[int], missed: Rows
) -> tuple[str, ...]:
    if selected.provisional:
        return remeasure_command(selected.disturbed, patient=True)
    if len(missed):
        return remeasure_command(missed, patient=True)
    rows, costs, gains, _, members = indices
    is_open = members[list(undecided)]
    overlaps = (costs.low[members] < costs.high[is_open, None]) & (costs.high[members] > costs.low[is_open, None])
    rivals = overlaps & (gains.point[members] >= gains.point[is_open, None])
    return remeasure_command(rows.where(members[rivals.any(axis=0)]), patient=False)


def _notes(selected: Participation[_PricedRows], cost: str, rows: int, missed: Rows) -> tuple[str, ...]:
    priced, known, group = selected.compared
    unpriced = len(selected.rows) - len(priced)
    return (
        *((selected.why,) if selected.why else ()),
        *(group.notes if group and (len(priced) or not unpriced) else ()),
        *estimated_accuracy(known),
        *mixed_conditions(known),
        *assumed_accuracy(known),
        *((f"Left out because they have no {cost}: {unpriced} of {len(selected.rows)} rows.",) if unpriced else ()),
        *left_out_notes(selected, rows),
        *((f"Rows left out that might be on the frontier: {describe_rows(missed)}.",) if len(missed) else ()),
    )
