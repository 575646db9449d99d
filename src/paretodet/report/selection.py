"""Which of very many rows a page shows: every one that an answer may need, the rows near the frontier, and a sample."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paretodet.frontier.pareto import Frontier, pareto_frontier
from paretodet.frontier.values import Floats, Mask, columns
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows

MOST = 300  # rows on a page, where answers do not need more
BEST = 150  # rows that are best at some mix of latency, memory and accuracy
AXES = ("latency_ms_p50", "memory_infer_mib")  # what a budget on the page limits beside the accuracy


def shown(rows: Sequence[Measurement], frontiers: Sequence[Frontier], *, most: int = MOST, seed: int = 0) -> Rows:
    """At most about `most` of `rows`, in their order; all of them where there are no more.

    Always here are the members of `frontiers` and the rows that none surpasses in latency, memory and accuracy at
    once (the first 150 of these by accuracy). Half of the room that is left goes to the rows nearest to the first
    frontier, the other half to a sample of all others, the same for the same seed.
    """
    every = Rows.of(rows)
    if len(every) <= most or not frontiers:
        return every
    chosen = np.isin(every.indices, every.indices[_members(every, frontiers)])
    chosen[_best(every, frontiers[0])] = True
    room = max(0, most - int(chosen.sum()))
    away = np.where(chosen, np.inf, _distance(every, frontiers[0]))
    near = np.argsort(away, kind="stable")[: room - room // 2]
    chosen[near[np.isfinite(away[near])]] = True
    others, left = np.flatnonzero(~chosen), max(0, most - int(chosen.sum()))
    sample = np.random.default_rng(seed).choice(others, size=min(left, others.size), replace=False)
    chosen[sample] = True
    return every.where(chosen)


def for_page(rows: Sequence[Measurement], costs: Sequence[str], *, split: str | None) -> Rows:
    """What `shown` gives of the frontiers of these costs. Raises ValueError on a split that is not there."""
    every = Rows.of(rows)
    if len(every) <= MOST:
        return every
    every.read_ahead(("id", *AXES, *costs))
    return shown(every, [pareto_frontier(every, cost=cost, split=split) for cost in costs])


def _members(rows: Rows, frontiers: Sequence[Frontier]) -> Mask:
    ids = {member.row.id for found in frontiers for member in found.members}
    return np.array([each in ids for each in rows.texts("id")], dtype=np.bool_)


def _best(rows: Rows, found: Frontier) -> NDArray[np.intp]:
    """Of the rows that may enter an answer, those that none surpasses in every axis."""
    gain = columns(rows, found.gain).point
    table = np.column_stack([*(columns(rows, axis).point for axis in AXES), -gain])
    able = np.isfinite(table).all(axis=1) & (rows.usable() | found.provisional)
    places = np.flatnonzero(able)
    best = places[unsurpassed(table[places])]
    return best[np.argsort(-gain[best], kind="stable")][:BEST]


def unsurpassed(table: NDArray[np.float64]) -> NDArray[np.intp]:
    """[N, axes], the less the better -> the places of rows that no other equals or betters in every axis and betters
    in one.
    """
    ranks = np.column_stack([np.unique(column, return_inverse=True)[1] for column in table.T])
    left, kept = np.argsort(ranks.sum(axis=1), kind="stable"), list[int]()
    while left.size:
        first, left = left[0], left[1:]  # the least sum: nothing that is left surpasses it
        kept.append(int(first))
        worse = (ranks[left] >= ranks[first]).all(axis=1) & (ranks[left] > ranks[first]).any(axis=1)
        left = left[~worse]
    return np.array(sorted(kept), dtype=np.intp)


def _distance(rows: Rows, found: Frontier) -> Floats:
    """[N] the share by which a row would have to be cheaper than the cheapest member that gives as much; infinite
    where that is unknown. No member gives more than a row that was left out: that one is as near as it can be.
    """
    costs, gains = columns(rows, found.cost).point, columns(rows, found.gain).point
    members = [member.row for member in found.members]
    inside = sorted(zip(columns(members, found.gain).point, columns(members, found.cost).point, strict=True))
    levels = np.array([gain for gain, _ in inside])
    cheapest = np.minimum.accumulate(np.array([cost for _, cost in inside])[::-1])[::-1]
    price = np.append(cheapest, np.inf)[np.searchsorted(levels, gains, side="left")]
    known = np.where(np.isinf(price), 1.0, np.maximum(abs(price), 1e-12))
    away = np.where(np.isinf(price), 0.0, (costs - price) / known)
    return np.where(np.isfinite(costs) & np.isfinite(gains), np.maximum(away, 0.0), np.inf)
