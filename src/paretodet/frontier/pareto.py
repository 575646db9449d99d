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
    Columns,
    ComparableRows,
    Mask,
    assumed_accuracy,
    check_field,
    columns,
    comparable_group,
    estimated_accuracy,
    is_time,
    mixed_conditions,
    noun,
    of_group,
)
from paretodet.records.measurement import GAINS, Measurement
from paretodet.records.rows import Rows

Indices = NDArray[np.intp]
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

    def __init__(self, rows: Rows, by: Indices, members: Sequence[Member]) -> None:
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


class _Axes(NamedTuple):
    """What is compared; `slack` is the uncertainty of every accuracy."""

    cost: str
    gain: str
    slack: float

    @property
    def narrowable(self) -> tuple[bool, bool]:
        """Whether measuring again narrows the intervals of costs and of gains."""
        return is_time(self.cost), is_time(self.gain)

    @property
    def negated(self) -> bool:
        """Whether the gain is a cost with a minus sign."""
        return self.gain not in GAINS

    def columns(self, rows: Rows) -> tuple[Columns, Columns]:
        """The costs and the gains of rows."""
        return columns(rows, self.cost), columns(rows, self.gain, slack=self.slack)


class _FrontierIndices(NamedTuple):
    """The compared rows, their costs and gains, and the indices of the members by rising cost."""

    rows: Rows
    costs: Columns
    gains: Columns
    shared: SharedErrors | None  # of the rows that are not certainly dominated
    members: Indices


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
    axes = _Axes(cost, gain, group.slack if group else 0.0)
    members, indices = _members(known, axes, seed)
    undecided = _undecided(members, indices, axes, seed)
    missed = NO_ROWS if strict else _missed(selected, indices, axes)
    return Frontier(
        cost=cost,
        gain=gain,
        split=group.label if group else None,
        members=members,
        dominated=_dominated(members, indices),
        cost_only=priced.where(np.isnan(columns(priced, gain).point)),
        left_out=len(selected.outside),
        notes=_notes(selected, axes, len(rows), missed),
        outside=selected.outside,
        provisional=selected.provisional,
        why=selected.why,
        undecided=tuple(members[i] for i in undecided),
        remeasure=_remeasure(selected, indices, undecided, missed, axes),
    )


def _members(rows: Rows, axes: _Axes, seed: int) -> tuple[tuple[Member, ...], _FrontierIndices]:
    costs, gains = axes.columns(rows)
    inside, shared = _undominated(rows, costs, gains, axes)
    by_point = pareto_mask(costs.point, gains.point)
    bounds = interval_bounds(costs, gains)
    probability = membership(costs.point, gains.point, **bounds, shared=shared, negated=axes.negated, seed=seed)
    row_at = dict(zip(inside.tolist(), rows.where(inside), strict=True))
    order = sorted(row_at, key=lambda i: (costs.point[i], -gains.point[i], row_at[i].name, row_at[i].id))
    members = tuple(Member(row_at[i], float(probability[i]), not bool(by_point[i])) for i in order)
    return members, _FrontierIndices(rows, costs, gains, shared, np.array(order, dtype=np.intp))


def _undominated(rows: Rows, costs: Columns, gains: Columns, axes: _Axes) -> tuple[Indices, SharedErrors | None]:
    """The rows that no other row certainly dominates, and the errors that these share."""
    kept = np.flatnonzero(pareto_mask(costs.point, gains.point, **interval_bounds(costs, gains)))
    shared = shared_errors(rows.where(kept), axes.gain)
    slower = is_slower_twin(Columns(*(part[kept] for part in costs)), shared)
    return kept[~slower], shared and shared.spread(kept, len(rows))


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
    members: Indices,
    rest: Indices,
    costs: Columns,
    gains: Columns,
    shared: SharedErrors | None,
) -> Indices:
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
            no_worse |= shared.first[members] == shared.first[rest[part], None]
        first[part] = ((costs.high[members] <= cost) & no_worse).argmax(axis=1)
    return np.asarray(first)


def _undecided(members: tuple[Member, ...], indices: _FrontierIndices, axes: _Axes, seed: int) -> list[int]:
    """The positions in `members` of those that exact times would decide."""
    costs, gains = _of_members(indices)
    probability = np.array([member.probability for member in members], dtype=np.float64)
    shared = indices.shared.where(indices.members) if indices.shared else None
    mask = undecided_mask(
        costs,
        gains,
        probability,
        narrowable=axes.narrowable,
        shared=shared,
        negated=axes.negated,
        seed=seed,
    )
    positions: list[int] = np.flatnonzero(mask).tolist()
    return positions


def _of_members(indices: _FrontierIndices) -> tuple[Columns, Columns]:
    """The costs and the gains of the members."""
    costs, gains = (Columns(*(part[indices.members] for part in column)) for column in (indices.costs, indices.gains))
    return costs, gains


def _missed(selected: Participation[_PricedRows], indices: _FrontierIndices, axes: _Axes) -> Rows:
    """The rows left out that no compared row certainly dominates: if they were valid, they might be members."""
    outside = selected.outside.where(has_latency(selected.outside))
    group = selected.compared.group
    if group:
        outside = of_group(outside, axes.gain, group.label)
    costs, gains = (
        Columns(*map(np.concatenate, zip(compared, left_out, strict=True)))
        for compared, left_out in zip((indices.costs, indices.gains), axes.columns(outside), strict=True)
    )
    inside = len(indices.rows)
    everyone = Rows(outside.source, np.concatenate([indices.rows.indices, outside.indices]))
    kept, _ = _undominated(everyone, costs, gains, axes)
    return outside.where(kept[kept >= inside] - inside)


def _remeasure(
    selected: Participation[_PricedRows],
    indices: _FrontierIndices,
    undecided: Sequence[int],
    missed: Rows,
    axes: _Axes,
) -> tuple[str, ...]:
    if selected.provisional:
        return remeasure_command(selected.disturbed, patient=True)
    if len(missed):
        return remeasure_command(missed, patient=True)
    rivals = _rivals(_of_members(indices), undecided, axes.narrowable)
    return remeasure_command(indices.rows.where(indices.members[rivals]), patient=False)


def _rivals(values: tuple[Columns, Columns], undecided: Sequence[int], narrowable: tuple[bool, bool]) -> Mask:
    """[M] which members may turn out to dominate an undecided one, or itself, in a value that can be narrowed.

    `values` are the costs and the gains of the members.
    """
    is_open = np.array(undecided, dtype=np.intp)
    near_cost, near_gain = (
        (column.low < column.high[is_open, None]) & (column.high > column.low[is_open, None]) & narrows
        for column, narrows in zip(values, narrowable, strict=True)
    )
    no_dearer = values[0].point <= values[0].point[is_open, None]
    no_less = values[1].point >= values[1].point[is_open, None]
    rivals = (near_cost & (no_less | near_gain)) | (near_gain & (no_dearer | near_cost))
    return np.asarray(rivals.any(axis=0))


def _notes(selected: Participation[_PricedRows], axes: _Axes, rows: int, missed: Rows) -> tuple[str, ...]:
    priced, known, group = selected.compared
    unpriced, cost = len(selected.rows) - len(priced), axes.cost
    gainless = not group and len(priced) and not len(known)
    return (
        *((selected.why,) if selected.why else ()),
        *(group.notes if group and (len(priced) or not unpriced) else ()),
        *estimated_accuracy(known),
        *mixed_conditions(known),
        *assumed_accuracy(known),
        *((f"Left out because they have no {cost}: {unpriced} of {len(selected.rows)} rows.",) if unpriced else ()),
        *((f"The rows have no {noun(axes.gain[1:])}; compare them by another gain.",) if gainless else ()),
        *left_out_notes(selected, rows),
        *((f"Rows left out that might be on the frontier: {describe_rows(missed)}.",) if len(missed) else ()),
    )
