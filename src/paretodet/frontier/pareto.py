"""The Pareto set under uncertainty: which rows might be the best at their cost, and how likely each is.

Every row has a cost and a gain inside intervals. Row j *certainly beats* row i when j is no dearer and no worse
wherever the truths lie inside the intervals, and better somewhere for certain:

    cost_high[j] <= cost_low[i]  and  gain_low[j] >= gain_high[i]  and  at least one of the two is strict.

The frontier is every row that no other certainly beats. Without intervals that is the usual Pareto set, in which
equal rows stand side by side.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paretodet.frontier.taking import NONE, Taken, again, has_time, named, taken
from paretodet.frontier.values import (
    COSTS,
    GAINS,
    Columns,
    ComparableRows,
    Floats,
    Mask,
    columns,
    group,
    groups,
    known_field,
    mixtures,
    timed,
)
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows

NORMAL_975 = 1.959963984540054
DRAWS = 1000
WORK = 16_000_000  # rows x draws; fewer draws are taken where many rows touch the frontier
FEWEST = 16
FEW = 32  # rows whose draws are compared pair by pair
SURE = 0.95  # membership is decided at this probability, and at its complement
BESIDE = 16_000_000  # pairs of rows compared at once


class Member(NamedTuple):
    """A row of the frontier; `tied` when only its interval keeps it there."""

    row: Measurement
    probability: float
    tied: bool


class Dominated(NamedTuple):
    """A row that `by`, a member, certainly beats."""

    row: Measurement
    by: Measurement


class Beaten(Sequence[Dominated]):
    """The rows that are certainly beaten; each becomes an object when it is asked for."""

    def __init__(self, rows: Rows, by: NDArray[np.intp], members: Sequence[Member]) -> None:
        self._rows, self._by, self._members = rows, by, members

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Dominated:  # type: ignore[override]
        return Dominated(self._rows[index], self._members[self._by[index]].row)

    def __iter__(self) -> Iterator[Dominated]:
        for row, by in zip(self._rows, self._by, strict=True):
            yield Dominated(row, self._members[by].row)

    def told(self) -> Iterator[tuple[str, str, str]]:
        """Id, name and the id of the member that beats it of each, without an object a row."""
        by = [self._members[place].row.id for place in self._by.tolist()]
        return zip(self._rows.texts("id"), self._rows.texts("name"), by, strict=True)


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """The frontier of one cost and one gain, members from cheap to dear.

    It is provisional where fewer than two rows could be trusted, so that all that have a time are in it: `why` says
    so. Where a membership hangs on the width of an interval, `undecided` holds these members. `again` are the words of
    the command that measures what would settle either.
    """

    cost: str
    gain: str
    split: str | None  # whose accuracy it is: a split, "measured:..." or "mixed"; None where the gain is no accuracy
    members: tuple[Member, ...]
    dominated: Beaten
    cost_only: Rows  # rows whose gain is unknown
    left_out: int  # rows that were not valid
    notes: tuple[str, ...]  # sentences
    outside: Sequence[Measurement] = ()  # the rows left out
    provisional: bool = False
    why: str = ""
    undecided: tuple[Member, ...] = ()
    again: tuple[str, ...] = ()


def pareto_mask(
    cost: ArrayLike,
    gain: ArrayLike,
    *,
    cost_low: ArrayLike | None = None,
    cost_high: ArrayLike | None = None,
    gain_low: ArrayLike | None = None,
    gain_high: ArrayLike | None = None,
) -> Mask:
    """[N] -> which rows no other certainly beats; O(N log N).

    A bound that is missing or NaN is the value itself. Rows whose cost or gain is not finite neither stay nor beat.
    """
    costs, gains = _columns(cost, cost_low, cost_high), _columns(gain, gain_low, gain_high)
    kept = np.isfinite(costs.point) & np.isfinite(gains.point)
    kept[kept] = ~_beaten(*(each[kept] for each in (costs.low, costs.high, gains.low, gains.high)))
    return kept


def membership(
    cost: ArrayLike,
    gain: ArrayLike,
    *,
    cost_low: ArrayLike | None = None,
    cost_high: ArrayLike | None = None,
    gain_low: ArrayLike | None = None,
    gain_high: ArrayLike | None = None,
    seed: int = 0,
) -> Floats:
    """[N] -> the probability that a row is on the frontier, by parametric bootstrap; the same for the same seed.

    Costs are drawn log-normal with their interval as the central 95 %, gains uniform (they are rounding), and both
    stay inside their intervals. So a row that is certainly beaten has probability 0 without being drawn, and no other
    row's probability depends on it. 1,000 draws; at least 16 where more than 16,000 rows touch the frontier.
    """
    costs, gains = _columns(cost, cost_low, cost_high), _columns(gain, gain_low, gain_high)
    bounds = _bounds(costs, gains)
    touching = pareto_mask(costs.point, gains.point, **bounds)
    costs, gains = (Columns(*(each[touching] for each in column)) for column in (costs, gains))
    draws = int(np.clip(WORK // max(1, costs.point.size), FEWEST, DRAWS))
    random = np.random.default_rng(seed)
    drawn = ((_drawn_costs(costs, random), _drawn_gains(gains, random)) for _ in range(draws))
    hits = (
        _hits_of_few(*zip(*drawn, strict=True))
        if costs.point.size <= FEW
        else sum(pareto_mask(*each) for each in drawn)
    )
    probability = np.zeros(touching.size)
    probability[touching] = hits / draws
    return probability


def _hits_of_few(costs: Sequence[Floats], gains: Sequence[Floats]) -> NDArray[np.intp]:
    """How often each row stays, all pairs of all draws at once."""
    cost, gain = np.array(costs), np.array(gains)
    cheaper, better = cost[:, None] - cost[:, :, None], gain[:, None] - gain[:, :, None]  # of the last row
    beaten = (cheaper <= 0) & (better >= 0) & ((cheaper < 0) | (better > 0))
    return np.asarray((~beaten.any(axis=2)).sum(axis=0))


class _PricedRows(NamedTuple):
    """The rows that have the cost, those of them that have the gain too, and whose accuracy that is."""

    priced: Rows
    known: Rows
    group: ComparableRows | None


class _Places(NamedTuple):
    """The compared rows, their numbers, and where in them the members are, from cheap to dear."""

    rows: Rows
    costs: Columns
    gains: Columns
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

    Accuracy is compared inside one group: the largest, or the one `split` asks for (see `values.group`). Which rows
    take part is told by `taking.taken`. Raises ValueError on a cost, gain or split that is not there.

    >>> import paretodet
    >>> frontier = paretodet.pareto_frontier(paretodet.read_rows("rows.jsonl"), split="mixed")
    >>> [member.row.name for member in frontier.members]
    ['ssd-mobilenet_v1-300', 'hf:d_fine-n', 'hf:d_fine-s']
    """
    known_field(cost, COSTS)
    known_field(gain, (*GAINS, *(f"-{each}" for each in COSTS)))

    def compare(inside: Rows, left_out: int) -> _PricedRows:
        priced = inside.where(np.isfinite(columns(inside, cost).point))
        chosen = group(priced, gain, split, left_out=left_out) if gain in GAINS else None
        known = chosen.rows if chosen else priced.where(np.isfinite(columns(priced, gain).point))
        return _PricedRows(priced, known, chosen)

    found = taken(rows, compare, include_invalid=include_invalid, strict=strict)
    priced, known, chosen = found.compared
    slack = chosen.slack if chosen else 0.0
    costs, gains = columns(known, cost), columns(known, gain, slack=slack)
    members, places = _members(known, costs, gains, seed)
    undecided = _undecided(members, places, (timed(cost), timed(gain)), seed)
    missed = NONE if strict else _missed(found, places, (cost, gain, slack))
    return Frontier(
        cost=cost,
        gain=gain,
        split=chosen.label if chosen else None,
        members=members,
        dominated=_dominated(members, places),
        cost_only=priced.where(np.isnan(columns(priced, gain).point)),
        left_out=len(found.outside),
        notes=_notes(found, cost, len(rows), missed),
        outside=found.outside,
        provisional=found.provisional,
        why=found.why,
        undecided=tuple(members[i] for i in undecided),
        again=_again(found, places, undecided, missed),
    )


def _members(rows: Rows, costs: Columns, gains: Columns, seed: int) -> tuple[tuple[Member, ...], _Places]:
    bounds = _bounds(costs, gains)
    inside = np.flatnonzero(pareto_mask(costs.point, gains.point, **bounds))
    by_value = pareto_mask(costs.point, gains.point)
    probability = membership(costs.point, gains.point, **bounds, seed=seed)
    known = dict(zip(inside.tolist(), rows.where(inside), strict=True))
    order = sorted(known, key=lambda i: (costs.point[i], -gains.point[i], known[i].name, known[i].id))
    members = tuple(Member(known[i], float(probability[i]), not bool(by_value[i])) for i in order)
    return members, _Places(rows, costs, gains, np.array(order, dtype=np.intp))


def _dominated(members: tuple[Member, ...], places: _Places) -> Beaten:
    """The rest, from cheap to dear, each with the member that beats it: of several the one with most gain."""
    rows, costs, gains, inside = places
    beaten = np.ones(len(rows), dtype=np.bool_)
    beaten[inside] = False
    rest = np.flatnonzero(beaten)
    rest = rest[np.lexsort((-gains.point[rest], costs.point[rest]))]
    best = np.lexsort((costs.point[inside], -gains.point[inside]))
    able = inside[best]
    by = [np.empty(0, dtype=np.intp)]
    for part in np.array_split(rest, 1 + rest.size * able.size // BESIDE):
        beats = (costs.high[able] <= costs.low[part, None]) & (gains.low[able] >= gains.high[part, None])
        by += [best[beats.argmax(axis=1)]] if part.size else []
    return Beaten(rows.where(rest), np.concatenate(by), members)


def _undecided(members: tuple[Member, ...], places: _Places, can_narrow: tuple[bool, bool], seed: int) -> list[int]:
    """The members that are neither on the frontier nor off it for sure, and would be if the times were exact.

    Where accuracy's rounding alone leaves it open no measurement of time decides it.
    """
    open_ = [i for i, member in enumerate(members) if 1 - SURE < member.probability < SURE]
    if not open_ or not any(can_narrow):
        return []
    costs, gains = (
        Columns(*((each.point if can else column)[places.members] for column in each))
        for each, can in zip((places.costs, places.gains), can_narrow, strict=True)
    )
    exact = membership(costs.point, gains.point, **_bounds(costs, gains), seed=seed)
    return [i for i in open_ if not 1 - SURE < exact[i] < SURE]


def _missed(found: Taken[_PricedRows], places: _Places, asked: tuple[str, str, float]) -> Rows:
    """The rows left out that no row in it certainly beats: they might have been on the frontier."""
    cost, gain, slack = asked
    away = found.outside.where(has_time(found.outside))
    chosen = found.compared.group
    if chosen and chosen.slack == 0:
        away = groups(away, gain).get(chosen.label, away.where(np.arange(0)))
    costs, gains = (
        Columns(*map(np.concatenate, zip(inside, outside, strict=True)))
        for inside, outside in (
            (places.costs, columns(away, cost)),
            (places.gains, columns(away, gain, slack=slack)),
        )
    )
    kept = pareto_mask(costs.point, gains.point, **_bounds(costs, gains))
    return away.where(kept[len(places.rows) :])


def _again(found: Taken[_PricedRows], places: _Places, undecided: Sequence[int], missed: Rows) -> tuple[str, ...]:
    if found.provisional:
        return again(found.disturbed, patient=True)
    if len(missed):
        return again(missed, patient=True)
    rows, costs, gains, members = places
    open_ = members[list(undecided)]
    overlaps = (costs.low[members] < costs.high[open_, None]) & (costs.high[members] > costs.low[open_, None])
    rivals = overlaps & (gains.point[members] >= gains.point[open_, None])
    return again(rows.where(members[rivals.any(axis=0)]), patient=False)


def _notes(found: Taken[_PricedRows], cost: str, rows: int, missed: Rows) -> tuple[str, ...]:
    priced, known, chosen = found.compared
    unpriced, outside = len(found.rows) - len(priced), len(found.outside)
    return (
        *((found.why,) if found.why else ()),
        *(chosen.notes if chosen else ()),
        *mixtures(known),
        *((f"Without {cost}: {unpriced} of {len(found.rows)} rows.",) if unpriced else ()),
        *((f"Left out as not valid: {outside} of {rows} rows.",) if outside else ()),
        *((f"Of these {len(missed)} might be on the frontier: {named(missed)}.",) if len(missed) else ()),
    )


def _bounds(costs: Columns, gains: Columns) -> dict[str, Floats]:
    return {"cost_low": costs.low, "cost_high": costs.high, "gain_low": gains.low, "gain_high": gains.high}


def _columns(point: ArrayLike, low: ArrayLike | None, high: ArrayLike | None) -> Columns:
    """Float64 columns in which every bound is known and holds its point."""
    values = np.asarray(point, dtype=np.float64)
    below = values if low is None else np.fmin(values, np.asarray(low, dtype=np.float64))
    above = values if high is None else np.fmax(values, np.asarray(high, dtype=np.float64))
    return Columns(values, below, above)


def _beaten(cost_low: Floats, cost_high: Floats, gain_low: Floats, gain_high: Floats) -> Mask:
    """The best gain that is certain within each row's cost, from a staircase of the few rows that raise it."""
    order = np.argsort(cost_high)
    best = np.maximum.accumulate(gain_low[order])
    rises = np.append(True, best[1:] > best[:-1])[: best.size]
    price, best = cost_high[order][rises], np.append(-np.inf, best[rises])
    cheaper = best[np.searchsorted(price, cost_low, side="left")]
    no_dearer = best[np.searchsorted(price, cost_low, side="right")]
    return (cheaper >= gain_high) | (no_dearer > gain_high)


def _drawn_costs(costs: Columns, random: np.random.Generator) -> Floats:
    """Log-normal on either side of the point (normal where a cost is not above 0), clipped to the interval."""
    place = np.clip(random.standard_normal(costs.point.size) / NORMAL_975, -1, 1)
    bound = np.where(place < 0, costs.low, costs.high)
    if not (costs.low > 0).all():
        return costs.point + abs(place) * (bound - costs.point)
    return costs.point * (bound / costs.point) ** abs(place)


def _drawn_gains(gains: Columns, random: np.random.Generator) -> Floats:
    return gains.low + random.random(gains.point.size) * (gains.high - gains.low)
