"""Which rows of a large store a page shows: all that an answer may need, those near the frontier, and a sample."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paretodet.errors import InputError
from paretodet.frontier.pareto import Frontier, pareto_frontier
from paretodet.frontier.values import Floats, Mask, columns
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows

MAX_ROWS = 300  # on a page, unless answers need more
MIN_ROWS = 60  # of a machine, if the rows are of many
BEST = 150  # rows that are not dominated in latency, memory and accuracy
AXES = ("latency_ms_p50", "memory_infer_mib")  # the costs that a budget on the page limits


def shown(rows: Sequence[Measurement], frontiers: Sequence[Frontier], *, limit: int = MAX_ROWS, seed: int = 0) -> Rows:
    """About `limit` of `rows`, in their order; all rows if there are no more.

    The members of `frontiers` and the rows that no other dominates in latency, memory and accuracy together (the 150
    most accurate of these) are always selected. Half of the remaining places go to the rows nearest to the first
    frontier, half to a random sample of the others; the same seed gives the same sample.
    """
    store = Rows.of(rows)
    if len(store) <= limit or not frontiers:
        return store
    chosen = np.isin(store.indices, store.indices[_members(store, frontiers)])
    chosen[_best(store, frontiers[0])] = True
    room = max(0, limit - int(chosen.sum()))
    distance = np.where(chosen, np.inf, _distance(store, frontiers[0]))
    near = np.argsort(distance, kind="stable")[: room - room // 2]
    chosen[near[np.isfinite(distance[near])]] = True
    others, left = np.flatnonzero(~chosen), max(0, limit - int(chosen.sum()))
    sample = np.random.default_rng(seed).choice(others, size=min(left, others.size), replace=False)
    chosen[sample] = True
    return store.where(chosen)


def for_page(rows: Sequence[Measurement], costs: Sequence[str], *, split: str | None) -> Rows:
    """`shown` with the frontiers of these costs, of each machine alone. Raises ValueError if no row has the split."""
    store = Rows.of(rows)
    if len(store) <= MAX_ROWS:
        return store
    store.read_ahead(("id", *AXES, *costs))
    machines = store.categories("machine")
    limit = max(MIN_ROWS, MAX_ROWS // len(machines.values))
    chosen, refused = list[NDArray[np.intp]](), list[InputError]()
    for code in range(len(machines.values)):
        some = store.where(machines.codes == code)
        try:
            frontiers = [pareto_frontier(some, cost=cost, split=split) for cost in known_costs(some, costs)]
            chosen.append(shown(some, frontiers, limit=limit).indices)
        except InputError as error:  # this machine has no row with the split
            refused.append(error)
    if not chosen:
        raise refused[0]
    return store.where(np.isin(store.indices, np.concatenate(chosen)))


def known_costs(rows: Sequence[Measurement], costs: Sequence[str]) -> list[str]:
    """The first of `costs`, and of the others those that some row has: the others have no frontier, and no split."""
    return [cost for cost in costs if cost == costs[0] or np.isfinite(columns(rows, cost).point).any()]


def _members(rows: Rows, frontiers: Sequence[Frontier]) -> Mask:
    ids = {member.row.id for frontier in frontiers for member in frontier.members}
    return np.array([key in ids for key in rows.texts("id")], dtype=np.bool_)


def _best(rows: Rows, frontier: Frontier) -> NDArray[np.intp]:
    """Indices of the rows that an answer may use and that no other dominates."""
    gain = columns(rows, frontier.gain).point
    table = np.column_stack([*(columns(rows, axis).point for axis in AXES), -gain])
    able = np.isfinite(table).all(axis=1) & (rows.usable() | frontier.provisional)
    places = np.flatnonzero(able)
    best = places[undominated(table[places])]
    return best[np.argsort(-gain[best], kind="stable")][:BEST]


def undominated(table: NDArray[np.float64]) -> NDArray[np.intp]:
    """[N, axes] of costs -> the sorted indices of the rows that no other row dominates.

    A row dominates another if it is at most equal on every axis and smaller on at least one.
    """
    ranks = np.column_stack([np.unique(column, return_inverse=True)[1] for column in table.T])
    left, kept = np.argsort(ranks.sum(axis=1), kind="stable"), list[int]()
    while left.size:
        first, left = left[0], left[1:]  # the smallest sum of ranks: no remaining row dominates it
        kept.append(int(first))
        worse = (ranks[left] >= ranks[first]).all(axis=1) & (ranks[left] > ranks[first]).any(axis=1)
        left = left[~worse]
    return np.array(sorted(kept), dtype=np.intp)


def _distance(rows: Rows, frontier: Frontier) -> Floats:
    """[N] how much more a row costs than the cheapest member that is as accurate, as a share of the member's cost.

    Infinite if the row lacks a number; 0 if no member is as accurate, as for a row that was not valid.
    """
    costs, gains = columns(rows, frontier.cost).point, columns(rows, frontier.gain).point
    members = [member.row for member in frontier.members]
    inside = sorted(zip(columns(members, frontier.gain).point, columns(members, frontier.cost).point, strict=True))
    levels = np.array([gain for gain, _ in inside])
    cheapest = np.minimum.accumulate(np.array([cost for _, cost in inside])[::-1])[::-1]
    price = np.append(cheapest, np.inf)[np.searchsorted(levels, gains, side="left")]
    known = np.where(np.isinf(price), 1.0, np.maximum(abs(price), 1e-12))
    away = np.where(np.isinf(price), 0.0, (costs - price) / known)
    return np.where(np.isfinite(costs) & np.isfinite(gains), np.maximum(away, 0.0), np.inf)
