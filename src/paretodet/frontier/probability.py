"""The probability that a row keeps limits, and that it is the best of those that do.

A row's times follow a log-normal distribution whose central 95 % is their interval, and are fully correlated: what made
one of them too large made the others too large. An accuracy is uniform within its rounding. Rows are independent,
but for accuracies that are the same number, or estimates that are wrong together (see `shared_errors.py`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from paretodet.frontier.shared_errors import Indices, SharedErrors
from paretodet.frontier.values import Columns, Floats, Mask, is_time
from paretodet.records.measurement import GAINS
from paretodet.records.statistics import NORMAL_975

MAX_DRAWS = 1000
MIN_DRAWS = 16
DRAW_BUDGET = 4_000_000  # rows x draws; with many rows that might be the best there are fewer draws
NEGLIGIBLE = 1e-6  # rows with a smaller probability are not drawn
MAX_SIGMA = 6.0  # standard deviations beyond which a value is not looked for
MAXIMUM, MINIMUM = "maximum", "minimum"


class Limit(NamedTuple):
    field: str
    kind: str  # "maximum" or "minimum"
    limit: float


class FittingRange(NamedTuple):
    """The range of a row's standard variable in which the row keeps its limits, [N] each."""

    low: Floats
    high: Floats


def fit_probability(numbers: Mapping[str, Columns], limits: Sequence[Limit]) -> Floats:
    """[N] -> the probability that a row keeps all limits; 1 if there are none."""
    return _probability_within(_fitting_ranges(numbers, limits), next(iter(numbers.values())).point.size)


def time_fit_probability(numbers: Mapping[str, Columns], limits: Sequence[Limit]) -> Floats:
    """[N] -> the same for the limits on times only, which are the ones that a further measurement can decide."""
    return fit_probability(numbers, [limit for limit in limits if is_time(limit.field)])


def best_probability(
    numbers: Mapping[str, Columns],
    limits: Sequence[Limit],
    goal: str,
    fits: Floats,
    *,
    shared: Callable[[Indices], SharedErrors | None] = lambda indices: None,
    seed: int = 0,
) -> Floats:
    """[N] -> the probability that a row has the best goal (most of a gain, least of a cost) of those that keep limits.

    `fits` is the result of `fit_probability`; of rows with equal goals the first wins. `shared` gives the errors that
    the goals of the rows at some indices share: these are drawn together. Only the goals are drawn, and with them
    whether the limits on correlated fields are kept. Rows whose probability is negligible are not drawn.
    """
    candidates = np.flatnonzero(_may_be_best(numbers[goal], goal, fits))
    probability = np.zeros(fits.size)
    if candidates.size < 2:
        probability[candidates] = fits[candidates]
        return probability
    subset = {name: Columns(*(part[candidates] for part in column)) for name, column in numbers.items()}
    draws = int(np.clip(DRAW_BUDGET // candidates.size, MIN_DRAWS, MAX_DRAWS))
    random = np.random.default_rng(seed)
    errors = shared(candidates)
    shape = (draws, candidates.size)
    drawn = errors.draw(draws, random) if errors else _draw_standard(_variable(goal), shape, random)
    ranges = _fitting_ranges(subset, limits)
    goal_range = ranges.pop(_variable(goal), None)  # limits on fields correlated with the goal: known in each draw
    keeps = np.ones_like(drawn) if goal_range is None else (goal_range.low <= drawn) & (drawn <= goal_range.high)
    chance = keeps * _probability_within(ranges, candidates.size)
    order = np.argsort(-_goal_score(subset[goal], goal, drawn), axis=1, kind="stable")
    none_fits = np.cumprod(1 - np.take_along_axis(chance, order, axis=1), axis=1)  # of the rows up to here
    none_better_fits = np.empty_like(chance)
    np.put_along_axis(none_better_fits, order, np.insert(none_fits[:, :-1], 0, 1.0, axis=1), axis=1)
    # The true value is never above `fits`; the mean of the draws may be.
    probability[candidates] = np.minimum((chance * none_better_fits).mean(axis=0), fits[candidates])
    return probability


def _may_be_best(goal: Columns, name: str, fits: Floats) -> Mask:
    """[N] -> rows that are not negligibly unlikely to be the best, given the certainly better rows that may fit."""
    ends = np.sort(np.stack([_goal_score(goal, name, np.full(goal.point.size, end)) for end in _ends(name)]), axis=0)
    order = np.argsort(-ends[0], kind="stable")
    log_none_fits = np.concatenate([[0.0], np.cumsum(np.log1p(-np.minimum(fits[order], 1 - 1e-12)))])
    better = np.searchsorted(-ends[0][order], -ends[1], side="left")
    return (log_none_fits[better] > np.log(NEGLIGIBLE)) & (fits > NEGLIGIBLE)


def _ends(name: str) -> tuple[float, float]:
    return (0.0, 1.0) if name in GAINS else (-MAX_SIGMA, MAX_SIGMA)


def _fitting_ranges(numbers: Mapping[str, Columns], limits: Sequence[Limit]) -> dict[str, FittingRange]:
    """By standard variable: all times of a row share one, every other field has its own."""
    ranges: dict[str, FittingRange] = {}
    for name, kind, limit in limits:
        size = numbers[name].point.size
        low, high = ranges.get(_variable(name), FittingRange(np.full(size, -np.inf), np.full(size, np.inf)))
        position = _position(numbers[name], name, kind, limit)
        ranges[_variable(name)] = (
            FittingRange(low, np.minimum(high, position))
            if kind == MAXIMUM
            else FittingRange(np.maximum(low, position), high)
        )
    return ranges


def _probability_within(ranges: Mapping[str, FittingRange], size: int) -> Floats:
    """[N] -> the probability that every standard variable lies in its range."""
    probability = np.ones(size)
    for variable, fitting in ranges.items():
        cdf = _uniform_cdf if variable in GAINS else _normal_cdf
        probability *= np.maximum(0.0, cdf(fitting.high) - cdf(fitting.low))
    return probability


def _variable(name: str) -> str:
    """The standard variable of a field."""
    return "time" if is_time(name) else name


def _position(column: Columns, name: str, kind: str, limit: float) -> Floats:
    """[N] -> the limit as a value of the row's standard variable; infinite if the number has no interval."""
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


def _goal_score(column: Columns, name: str, drawn: Floats) -> Floats:
    """The goal where the standard variable is `drawn`, larger is better: a gain, or a cost with its sign changed."""
    if name in GAINS:
        return column.low + drawn * (column.high - column.low)
    share, bound = abs(drawn) / NORMAL_975, np.where(drawn < 0, column.low, column.high)
    if (column.low > 0).all():
        return -column.point * (bound / column.point) ** share
    return -(column.point + share * (bound - column.point))


def _draw_standard(variable: str, shape: tuple[int, int], random: np.random.Generator) -> Floats:
    return random.random(shape) if variable in GAINS else random.standard_normal(shape)


def _uniform_cdf(position: Floats) -> Floats:
    return np.clip(position, 0.0, 1.0)


def _normal_cdf(position: Floats) -> Floats:
    """Computed only where it is neither 0 nor 1."""
    cdf = (position > 0).astype(np.float64)
    near = np.flatnonzero(np.abs(position) < MAX_SIGMA + 3)
    cdf[near] = list(_scalar_cdf(position[near]))
    return cdf


def _scalar_cdf(positions: Floats) -> Iterator[float]:
    return map(NormalDist().cdf, positions.tolist())
