"""How likely rows keep limits, and how likely each is the best of those that do.

A row's times are log-normal with their interval as the central 95 %, and move together: what made one measurement too
large made the others so. An accuracy is uniform within its rounding. Rows are independent of each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from paretodet.frontier.values import GAINS, Columns, Floats, Mask, timed

NORMAL_975 = 1.959963984540054
DRAWS = 1000
WORK = 4_000_000  # rows x draws; fewer draws are taken where many rows might be the best
FEWEST = 16
NEVER = 1e-6  # what is less likely is not drawn
REACH = 6.0  # standard deviations within which an interval's number is looked for
MAXIMUM, MINIMUM = "maximum", "minimum"


class Limit(NamedTuple):
    field: str
    kind: str  # "maximum" or "minimum"
    limit: float


class FittingRange(NamedTuple):
    """Where a row's standard variable has to lie for the row to keep its limits, [N] each."""

    low: Floats
    high: Floats


def keeping(numbers: Mapping[str, Columns], limits: Sequence[Limit]) -> Floats:
    """[N] -> the probability that a row keeps all limits; 1 where there is none."""
    return _within(_windows(numbers, limits), next(iter(numbers.values())).point.size)


def keeping_in_time(numbers: Mapping[str, Columns], limits: Sequence[Limit]) -> Floats:
    """The same of the limits that are times: what another measurement can decide."""
    return keeping(numbers, [limit for limit in limits if timed(limit.field)])


def best(numbers: Mapping[str, Columns], limits: Sequence[Limit], goal: str, kept: Floats, *, seed: int = 0) -> Floats:
    """[N] -> the probability that a row has the most of the goal (least of a cost) among those that keep all limits.

    `kept` is what `keeping` says; of rows with equal goals the first wins. Only goals are drawn, and whether limits of
    what moves with them are kept; rows that could hardly ever be the best are not.
    """
    able = np.flatnonzero(_can_matter(numbers[goal], goal, kept))
    found = np.zeros(kept.size)
    if able.size < 2:
        found[able] = kept[able]
        return found
    few = {name: Columns(*(column[able] for column in each)) for name, each in numbers.items()}
    draws = int(np.clip(WORK // able.size, FEWEST, DRAWS))
    drawn = _standard(_source(goal), (draws, able.size), np.random.default_rng(seed))
    windows = _windows(few, limits)
    own = windows.pop(_source(goal), None)  # limits of what the goal moves with: kept or not in each draw
    kept_here = np.ones_like(drawn) if own is None else (own.low <= drawn) & (drawn <= own.high)
    chance = kept_here * _within(windows, able.size)
    order = np.argsort(-_worth(few[goal], goal, drawn), axis=1, kind="stable")
    missing = np.cumprod(1 - np.take_along_axis(chance, order, axis=1), axis=1)
    unbeaten = np.empty_like(chance)
    np.put_along_axis(unbeaten, order, np.insert(missing[:, :-1], 0, 1.0, axis=1), axis=1)
    found[able] = np.minimum((chance * unbeaten).mean(axis=0), kept[able])  # but for the draws it is never more
    return found


def _can_matter(goal: Columns, name: str, kept: Floats) -> Mask:
    """Rows that are not beaten, but for a probability too small to draw, by certainly better ones that keep limits."""
    ends = np.sort(np.stack([_worth(goal, name, np.full(goal.point.size, end)) for end in _ends(name)]), axis=0)
    order = np.argsort(-ends[0], kind="stable")
    missing = np.concatenate([[0.0], np.cumsum(np.log1p(-np.minimum(kept[order], 1 - 1e-12)))])
    better = np.searchsorted(-ends[0][order], -ends[1], side="left")
    return (missing[better] > np.log(NEVER)) & (kept > NEVER)


def _ends(name: str) -> tuple[float, float]:
    return (0.0, 1.0) if name in GAINS else (-REACH, REACH)


def _windows(numbers: Mapping[str, Columns], limits: Sequence[Limit]) -> dict[str, FittingRange]:
    """By standard variable: all times of a row have one, each other field its own."""
    found: dict[str, FittingRange] = {}
    for name, kind, limit in limits:
        size = numbers[name].point.size
        low, high = found.get(_source(name), FittingRange(np.full(size, -np.inf), np.full(size, np.inf)))
        place = _place(numbers[name], name, kind, limit)
        bounded = (
            FittingRange(low, np.minimum(high, place))
            if kind == MAXIMUM
            else FittingRange(np.maximum(low, place), high)
        )
        found[_source(name)] = bounded
    return found


def _within(windows: Mapping[str, FittingRange], size: int) -> Floats:
    """[N] -> the probability that every standard variable lies in its window."""
    found = np.ones(size)
    for source, window in windows.items():
        share = _uniform if source in GAINS else _normal
        found *= np.maximum(0.0, share(window.high) - share(window.low))
    return found


def _source(name: str) -> str:
    return "time" if timed(name) else name


def _place(column: Columns, name: str, kind: str, limit: float) -> Floats:
    """[N] where the limit lies on the row's standard variable; infinitely far where the number has no width."""
    point, low, high = column
    above = limit >= point if kind == MAXIMUM else limit > point
    beyond = np.where(above, np.inf, -np.inf)
    with np.errstate(all="ignore"):
        if name in GAINS:
            return np.where(high > low, (limit - low) / (high - low), beyond)
        bound = np.where(above, high, low)
        if (low > 0).all():
            share = np.log(limit / point) / np.abs(np.log(bound / point))
        else:
            share = (limit - point) / np.abs(bound - point)
    return np.where(bound == point, beyond, NORMAL_975 * np.nan_to_num(share, nan=0.0, posinf=np.inf, neginf=-np.inf))


def _worth(column: Columns, name: str, drawn: Floats) -> Floats:
    """What the row's goal is worth where its standard variable is `drawn`: more of a gain, less of a cost."""
    if name in GAINS:
        return column.low + drawn * (column.high - column.low)
    share, bound = abs(drawn) / NORMAL_975, np.where(drawn < 0, column.low, column.high)
    if (column.low > 0).all():
        return -column.point * (bound / column.point) ** share
    return -(column.point + share * (bound - column.point))


def _standard(source: str, shape: tuple[int, int], random: np.random.Generator) -> Floats:
    return random.random(shape) if source in GAINS else random.standard_normal(shape)


def _uniform(place: Floats) -> Floats:
    return np.clip(place, 0.0, 1.0)


def _normal(place: Floats) -> Floats:
    """The normal distribution function; only what is neither 0 nor 1 is computed."""
    found = (place > 0).astype(np.float64)
    near = np.flatnonzero(np.abs(place) < REACH + 3)
    found[near] = list(_cdf(place[near]))
    return found


def _cdf(places: Floats) -> Iterator[float]:
    return map(NormalDist().cdf, places.tolist())
