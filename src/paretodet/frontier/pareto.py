"""The Pareto set under uncertainty: which rows might be the best at their cost, and how likely each is.

Every row has a cost and a gain inside intervals. Row j *certainly beats* row i when j is no dearer and no worse
wherever the truths lie inside the intervals, and better somewhere for certain:

    cost_high[j] <= cost_low[i]  and  gain_low[j] >= gain_high[i]  and  at least one of the two is strict.

The frontier is every row that no other certainly beats. Without intervals that is the usual Pareto set, in which
equal rows stand side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paretodet.bench.record import Measurement
from paretodet.frontier.values import COSTS, GAINS, Columns, columns, entering, group, known_field, mixtures, value

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
NORMAL_975 = 1.959963984540054
DRAWS = 1000
WORK = 16_000_000  # rows x draws; fewer draws are taken where many rows touch the frontier
FEWEST = 16


class Member(NamedTuple):
    """A row of the frontier; `tied` when only its interval keeps it there."""

    row: Measurement
    probability: float
    tied: bool


class Dominated(NamedTuple):
    """A row that `by`, a member, certainly beats."""

    row: Measurement
    by: Measurement


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """The frontier of one cost and one gain, members from cheap to dear."""

    cost: str
    gain: str
    split: str | None  # whose accuracy it is: a split, "measured:..." or "mixed"; None where the gain is no accuracy
    members: tuple[Member, ...]
    dominated: tuple[Dominated, ...]
    cost_only: tuple[Measurement, ...]  # rows whose gain is unknown
    left_out: int  # rows that were not valid
    notes: tuple[str, ...]  # sentences


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
    bounds = {"cost_low": costs.low, "cost_high": costs.high, "gain_low": gains.low, "gain_high": gains.high}
    touching = pareto_mask(costs.point, gains.point, **bounds)
    costs, gains = (Columns(*(each[touching] for each in column)) for column in (costs, gains))
    draws = int(np.clip(WORK // max(1, costs.point.size), FEWEST, DRAWS))
    random = np.random.default_rng(seed)
    hits = np.zeros(costs.point.size)
    for _ in range(draws):
        hits += pareto_mask(_drawn_costs(costs, random), _drawn_gains(gains, random))
    probability = np.zeros(touching.size)
    probability[touching] = hits / draws
    return probability


def pareto_frontier(
    rows: Sequence[Measurement],
    *,
    cost: str = "latency_ms_p50",
    gain: str = "ap",
    split: str | None = None,
    include_invalid: bool = False,
    seed: int = 0,
) -> Frontier:
    """The frontier of `rows`. `gain` is an accuracy, or a cost with a minus sign in front ("-memory_infer_mib").

    Accuracy is compared inside one group: the largest, or the one `split` asks for (see `values.group`).
    Raises ValueError on a cost, gain or split that is not there.
    """
    known_field(cost, COSTS)
    known_field(gain, (*GAINS, *(f"-{each}" for each in COSTS)))
    trusted, left_out = entering(rows, include_invalid=include_invalid)
    with_cost = [row for row in trusted if value(row, cost)]
    chosen = group(with_cost, gain, split, left_out=left_out) if gain in GAINS else None
    slack = chosen.slack if chosen else 0.0
    compared = chosen.rows if chosen else [row for row in with_cost if value(row, gain)]
    members, dominated = _divide(compared, columns(compared, cost), columns(compared, gain, slack=slack), seed)
    unpriced = len(trusted) - len(with_cost)
    return Frontier(
        cost=cost,
        gain=gain,
        split=chosen.label if chosen else None,
        members=members,
        dominated=dominated,
        cost_only=tuple(row for row in with_cost if not value(row, gain)),
        left_out=left_out,
        notes=(
            *(chosen.notes if chosen else ()),
            *mixtures(compared),
            *((f"Without {cost}: {unpriced} of {len(trusted)} rows.",) if unpriced else ()),
            *((f"Left out as not valid: {left_out} of {len(rows)} rows.",) if left_out else ()),
        ),
    )


def _divide(
    rows: Sequence[Measurement], costs: Columns, gains: Columns, seed: int
) -> tuple[tuple[Member, ...], tuple[Dominated, ...]]:
    bounds = {"cost_low": costs.low, "cost_high": costs.high, "gain_low": gains.low, "gain_high": gains.high}
    inside = pareto_mask(costs.point, gains.point, **bounds)
    by_value = pareto_mask(costs.point, gains.point)
    probability = membership(costs.point, gains.point, **bounds, seed=seed)
    order = sorted(range(len(rows)), key=lambda i: (costs.point[i], -gains.point[i], rows[i].name, rows[i].id))
    members = np.array([i for i in order if inside[i]], dtype=np.intp)
    return (
        tuple(Member(rows[i], float(probability[i]), not bool(by_value[i])) for i in members),
        tuple(Dominated(rows[i], rows[_beater(i, members, costs, gains)]) for i in order if not inside[i]),
    )


def _beater(i: int, members: NDArray[np.intp], costs: Columns, gains: Columns) -> int:
    """The member that certainly beats row i: of several the one with most gain, then the cheapest."""
    beats = (costs.high[members] <= costs.low[i]) & (gains.low[members] >= gains.high[i])
    able = members[beats]
    return int(able[np.lexsort((costs.point[able], -gains.point[able]))[0]])


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
