"""Which points no other point certainly dominates, with intervals of costs and gains, and with what probability.

Point j *certainly dominates* point i if, wherever the true values lie in their intervals, j costs no more and gains no
less, and one of the two is strictly better:

    cost_high[j] <= cost_low[i]  and  gain_low[j] >= gain_high[i]  and  at least one of the two is strict.

Without intervals the points that remain are the usual Pareto set; equal points are all in it.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paretodet.frontier.shared_errors import SharedErrors
from paretodet.frontier.values import Columns, Floats, Mask
from paretodet.records.statistics import NORMAL_975

MAX_DRAWS = 1000
MIN_DRAWS = 16
DRAW_BUDGET = 16_000_000  # rows x draws; with many undominated rows there are fewer draws
PAIRWISE_ROWS = 32  # up to this many rows, all draws are compared pair by pair at once
SURE = 0.95  # a question is decided if its probability is at least this, or at most 1 - this


def pareto_mask(
    cost: ArrayLike,
    gain: ArrayLike,
    *,
    cost_low: ArrayLike | None = None,
    cost_high: ArrayLike | None = None,
    gain_low: ArrayLike | None = None,
    gain_high: ArrayLike | None = None,
) -> Mask:
    """[N] -> which rows no other row certainly dominates; O(N log N).

    A bound that is missing or NaN equals the point. A row whose cost or gain is not finite is not on the frontier and
    dominates nothing.
    """
    costs, gains = _columns(cost, cost_low, cost_high), _columns(gain, gain_low, gain_high)
    kept = np.isfinite(costs.point) & np.isfinite(gains.point)
    kept[kept] = ~_is_dominated(*(bound[kept] for bound in (costs.low, costs.high, gains.low, gains.high)))
    return kept


def membership(
    cost: ArrayLike,
    gain: ArrayLike,
    *,
    cost_low: ArrayLike | None = None,
    cost_high: ArrayLike | None = None,
    gain_low: ArrayLike | None = None,
    gain_high: ArrayLike | None = None,
    shared: SharedErrors | None = None,
    negated: bool = False,
    seed: int = 0,
) -> Floats:
    """[N] -> the probability that a row is on the frontier, by parametric bootstrap; deterministic for a seed.

    Costs are drawn from a log-normal distribution whose central 95 % is their interval, gains from a uniform one
    (their interval is rounding); both are clipped to their intervals. Gains whose errors are `shared` are drawn
    together; all other numbers are independent. `negated` gains are costs with a minus sign, and are drawn as these. A
    row that is certainly dominated has probability 0 without being drawn and does not affect the other rows. There are
    1,000 draws, fewer (at least 16) if more than 16,000 rows are undominated.
    """
    costs, gains = _columns(cost, cost_low, cost_high), _columns(gain, gain_low, gain_high)
    undominated = pareto_mask(costs.point, gains.point, **interval_bounds(costs, gains))
    costs, gains = (Columns(*(part[undominated] for part in column)) for column in (costs, gains))
    shared = shared.where(undominated) if shared else None
    draws = int(np.clip(DRAW_BUDGET // max(1, costs.point.size), MIN_DRAWS, MAX_DRAWS))
    random = np.random.default_rng(seed)
    draw_gains = _draw_negated if negated else partial(_draw_gains, shared)
    drawn = ((_draw_costs(costs, random), draw_gains(gains, random)) for _ in range(draws))
    hits = (
        _count_hits_pairwise(*zip(*drawn, strict=True))
        if costs.point.size <= PAIRWISE_ROWS
        else sum(pareto_mask(*draw) for draw in drawn)
    )
    probability = np.zeros(undominated.size)
    probability[undominated] = hits / draws
    return probability


def undecided_mask(
    costs: Columns,
    gains: Columns,
    probability: Floats,
    *,
    narrowable: tuple[bool, bool],
    shared: SharedErrors | None = None,
    negated: bool = False,
    seed: int = 0,
) -> Mask:
    """[N] -> which rows are neither surely on the frontier nor surely off it, but would be if costs were exact.

    `probability` is the `membership` of the same rows. `narrowable` says whether measuring again narrows the
    intervals of (costs, gains); the others stay as they are. `shared` and `negated` are as in `membership`. Rows that
    only the rounding of an accuracy leaves open are not among the result, because no further measurement decides them.
    """
    is_open = is_uncertain(probability)
    if not is_open.any() or not any(narrowable):
        return np.zeros_like(is_open)
    costs, gains = (
        Columns(column.point, column.point, column.point) if narrows else column
        for column, narrows in zip((costs, gains), narrowable, strict=True)
    )
    bounds = interval_bounds(costs, gains)
    exact = membership(costs.point, gains.point, **bounds, shared=shared, negated=negated, seed=seed)
    return is_open & ~is_uncertain(exact)


def is_uncertain(probability: Floats) -> Mask:
    """[N] -> which probabilities are neither at least `SURE` nor at most 1 - `SURE`."""
    return np.asarray((probability > 1 - SURE) & (probability < SURE))


def _count_hits_pairwise(costs: Sequence[Floats], gains: Sequence[Floats]) -> NDArray[np.intp]:
    """In how many draws each row is undominated, for all pairs of all draws at once."""
    cost, gain = np.array(costs), np.array(gains)
    cost_gap, gain_gap = cost[:, None] - cost[:, :, None], gain[:, None] - gain[:, :, None]  # last row - middle row
    dominated = (cost_gap <= 0) & (gain_gap >= 0) & ((cost_gap < 0) | (gain_gap > 0))
    return np.asarray((~dominated.any(axis=2)).sum(axis=0))


def interval_bounds(costs: Columns, gains: Columns) -> dict[str, Floats]:
    return {"cost_low": costs.low, "cost_high": costs.high, "gain_low": gains.low, "gain_high": gains.high}


def _columns(point: ArrayLike, low: ArrayLike | None, high: ArrayLike | None) -> Columns:
    """Float64 columns without missing bounds, in which every interval contains its point."""
    values = np.asarray(point, dtype=np.float64)
    below = values if low is None else np.fmin(values, np.asarray(low, dtype=np.float64))
    above = values if high is None else np.fmax(values, np.asarray(high, dtype=np.float64))
    return Columns(values, below, above)


def _is_dominated(cost_low: Floats, cost_high: Floats, gain_low: Floats, gain_high: Floats) -> Mask:
    """[N]: compares every row with the best certain gain at its cost, read from a staircase of rising gains."""
    order = np.argsort(cost_high)
    best = np.maximum.accumulate(gain_low[order])
    rises = np.append(True, best[1:] > best[:-1])[: best.size]
    price, best = cost_high[order][rises], np.append(-np.inf, best[rises])
    cheaper = best[np.searchsorted(price, cost_low, side="left")]
    no_dearer = best[np.searchsorted(price, cost_low, side="right")]
    return (cheaper >= gain_high) | (no_dearer > gain_high)


def _draw_costs(costs: Columns, random: np.random.Generator) -> Floats:
    """Log-normal on either side of the point (normal if a cost is not above 0), clipped to the interval."""
    position = np.clip(random.standard_normal(costs.point.size) / NORMAL_975, -1, 1)
    bound = np.where(position < 0, costs.low, costs.high)
    if not (costs.low > 0).all():
        return costs.point + abs(position) * (bound - costs.point)
    return costs.point * (bound / costs.point) ** abs(position)


def _draw_negated(gains: Columns, random: np.random.Generator) -> Floats:
    """Gains that are costs with a minus sign."""
    return -_draw_costs(Columns(-gains.point, -gains.high, -gains.low), random)


def _draw_gains(shared: SharedErrors | None, gains: Columns, random: np.random.Generator) -> Floats:
    position = shared.draw(1, random)[0] if shared else random.random(gains.point.size)
    return gains.low + position * (gains.high - gains.low)
