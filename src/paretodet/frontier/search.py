"""Which configuration to measure next, and what is certain about the frontier of thousands of them.

Nothing is measured here: a `Space` holds what has been, `standing` says what follows from it, and `choose` names the
configuration whose measurement is expected to add most to the frontier per second of machine time.

The expected gain is that of the hypervolume (Emmerich, Deutz and Klinkenberg 2011): the area between the frontier and
a reference point in the plane of the logarithm of the cost and the gain. When no area is left to gain, what is
measured is what leaves most memberships undecided.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paretodet.frontier.dominance import SURE, pareto_mask
from paretodet.frontier.failures import Working, working
from paretodet.frontier.features import NETWORK, Features
from paretodet.frontier.law import law
from paretodet.frontier.predict import MIN_ROWS, Ground, Predictor, Prospects, fit
from paretodet.frontier.values import Columns, Floats, Mask
from paretodet.records.statistics import NORMAL_975

FIRST = 8  # configurations that are measured before predictions decide: those with words that none has yet
DRAWS, DRAWN = (60, 200), 40_000  # the number of draws, and of drawn values where it is neither limit
PRUNED = 3.0  # standard deviations beyond which a configuration counts as dominated without a draw
NOTHING = 1e-6  # an expected improvement, as a share of the area, that is not worth a measurement
# Nodes and weights of a normal distribution (Gauss-Hermite), for expectations over one value.
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


@dataclass(frozen=True, kw_only=True)
class Space:
    """N configurations and what is known of them, [N] each.

    `cost` and `gain` are NaN where they are not known, and have their 95 % intervals; a gain that is known before
    any measurement is given for all. `seconds` is the machine time that measuring each would take. `excluded` are
    those that cannot be measured; they are on no frontier. Where codes of `shared` are equal, the gain is one number,
    whatever it is: the accuracy of a network in several runtimes. None: no gain is shared. `kinds` [N, L] are codes of
    nested kinds, from wide to narrow, that fail alike (`failures.working`); None: what was not measured will not fail.
    """

    features: Features
    cost: Columns
    gain: Columns
    seconds: Floats
    excluded: Mask
    shared: NDArray[np.int64] | None = None
    kinds: NDArray[np.int64] | None = None

    @cached_property
    def working(self) -> Working:
        """The probability that each can be measured, from those that were and those that failed."""
        if self.kinds is None:
            return Working.surely(len(self.excluded))
        return working(self.kinds, self.measured, self.excluded)

    @property
    def measured(self) -> Mask:
        """Which configurations have both numbers and are not excluded."""
        return np.isfinite(self.cost.point) & np.isfinite(self.gain.point) & ~self.excluded

    @property
    def logarithmic(self) -> bool:
        """Whether all costs are above 0, so that their logarithms count."""
        return bool(np.fmin.reduce(self.cost.low[~self.excluded], initial=np.inf) > 0)


class Standing(NamedTuple):
    """What is certain so far, [N] each: both values as measured or predicted (with 95 % intervals), the probability
    of being on the frontier of all N, whether that is decided, whether the prediction interpolates, and the
    probability that it can be measured; what cannot is not on the frontier.

    A membership is decided if its probability is at most 5 %, or if the configuration was measured and its
    probability is at least 95 %. With fewer than 3 measured rows nothing is predicted: the values are NaN, the
    probabilities 0.5.
    """

    cost: Columns
    gain: Columns
    membership: Floats
    decided: Mask
    known: Mask
    works: Floats


def standing(space: Space, *, seed: int = 0) -> Standing:
    """What the measured configurations say about all; deterministic for a seed."""
    ground = Ground.of(space.features)
    cost = _Belief.of(space, space.cost, ground, log=space.logarithmic)
    beliefs = cost, _Belief.of(space, space.gain, ground, log=False)
    if not all(belief.formed for belief in beliefs):
        membership = np.where(space.excluded, 0.0, 0.5)
        return Standing(space.cost, space.gain, membership, space.excluded, ~space.excluded, space.working.mean)
    membership = _membership(space, *beliefs, np.random.default_rng(seed))
    decided = (membership <= 1 - SURE) | (space.measured & (membership >= SURE))
    gain = beliefs[1]
    known = cost.known & gain.known
    return Standing(cost.columns(), gain.columns(), membership, decided, known, space.working.mean)


def choose(space: Space, standing: Standing) -> int | None:
    """The position of the configuration to measure next; None if every membership is decided or none is left."""
    left = ~space.measured & ~space.excluded
    if not left.any():
        return None
    if space.measured.sum() < FIRST or np.isnan(standing.cost.point[left]).any():
        return _random(space, standing, left)
    left &= ~standing.decided
    if not left.any():
        return None
    value = expected_improvement(space, standing, left) * standing.works
    if value[left].max() <= NOTHING:
        value = standing.membership * (1 - standing.membership)
    return int(np.argmax(np.where(left, value / space.seconds, -1.0)))


def assumed(space: Space, now: Standing, running: Collection[int]) -> tuple[Space, Standing]:
    """The space and its standing as if what is being measured had the values that are predicted of it, as surely as
    they are: what is chosen next then adds to it. If too little is measured for predictions, it is left out.
    """
    pending = np.zeros(len(space.excluded), dtype=np.bool_)
    pending[list(running)] = True
    pending &= ~space.measured & ~space.excluded
    if not pending.any():
        return space, now
    if np.isnan((now.cost.point + now.gain.point)[pending]).any():
        return replace(space, excluded=space.excluded | pending), now
    cost, gain = (
        Columns(*(np.where(pending, predicted, bound) for predicted, bound in zip(expected, known, strict=True)))
        for expected, known in ((now.cost, space.cost), (now.gain, space.gain))
    )
    then = replace(space, cost=cost, gain=gain)
    return then, standing(then)


def hypervolume(cost: ArrayLike, gain: ArrayLike, *, reference: tuple[float, float]) -> float:
    """The area that points dominate between them and `reference`, a cost and a gain, with costs as logarithms.

    Points that do not dominate the reference point add nothing. Customary is the highest cost and the lowest gain of
    all configurations.
    """
    costs, gains = np.log(np.asarray(cost, dtype=np.float64)), np.asarray(gain, dtype=np.float64)
    return float(_stairs(costs, gains, (float(np.log(reference[0])), reference[1])).areas[-1])


def expected_improvement(space: Space, standing: Standing, rows: Mask | None = None) -> Floats:
    """[N] the area that measuring a configuration is expected to add to the frontier of the measured ones.

    It is as if the measurement would not fail. The unit is the area between the extreme predictions. Gains that are
    not predicted count as they are stated. Of others than `rows` it is 0.
    """
    usable, measured = ~space.excluded, space.measured
    cost = _normal(standing.cost, log=space.logarithmic)
    gain = _normal(standing.gain, log=False)
    gain = gain[0], np.where(np.isnan(space.gain.point), gain[1], 0.0)
    reference = float(np.max(cost[0][usable])), float(np.min(gain[0][usable]))
    stairs = _stairs(cost[0][measured], gain[0][measured], reference)
    asked = np.flatnonzero(usable if rows is None else usable & rows)
    total, (c, g) = np.zeros(len(usable)), ([part[asked] for part in normal] for normal in (cost, gain))
    for x, y in product(range(len(NODES)), repeat=2):
        total[asked] += WEIGHTS[x] * WEIGHTS[y] * stairs.added(c[0] + NODES[x] * c[1], g[0] + NODES[y] * g[1])
    return total / (np.ptp(cost[0][usable]) * np.ptp(gain[0][usable]) or 1.0)


@dataclass(frozen=True, kw_only=True)
class _Belief:
    """A value of N configurations as a normal distribution, of its logarithm if `log`."""

    mean: Floats
    deviation: Floats
    known: Mask
    log: bool
    open: Mask  # which are predicted
    predictor: Predictor | None  # None if nothing is left to predict, or too little is known for it
    prospects: Prospects | None  # of the predicted ones, as many as `open` are
    start: Floats  # [N] what the predictor's values are added to

    @classmethod
    def of(cls, space: Space, column: Columns, ground: Ground, *, log: bool) -> "_Belief":
        """Of `column` where it is known, else predicted."""
        mean, deviation = _normal(Columns(*(np.where(space.excluded, np.nan, bound) for bound in column)), log=log)
        open_ = np.isnan(mean) & ~space.excluded
        given, known, predictor, prospects = np.flatnonzero(~np.isnan(mean)), ~space.excluded, None, None
        start = np.zeros(len(mean))
        if open_.any() and len(given) >= MIN_ROWS:
            values, deviations = column.point[given], deviation[given]
            if log and (rates := law(space.features, given, values)):
                start = rates.logs(space.features)
            predictor = fit(
                space.features, given, values, log=log, deviations=deviations, start=np.exp(start) if log else None,
                ground=ground,
            )  # fmt: skip
            prospects = predictor.prospects_of(ground.basis.where(open_))
            mean[open_], deviation[open_] = predictor.moments(prospects)
            mean[open_] += start[open_]
            known[open_] = predictor.known(space.features.where(open_))
        return cls(
            mean=mean, deviation=deviation, known=known, log=log, open=open_, predictor=predictor, prospects=prospects,
            start=start,
        )  # fmt: skip

    @property
    def formed(self) -> bool:
        return self.predictor is not None or not self.open.any()

    def columns(self) -> Columns:
        """The point with its 95 % interval."""
        half = NORMAL_975 * self.deviation
        bounds = self.mean, self.mean - half, self.mean + half
        return Columns(*(np.exp(bound) if self.log else bound for bound in bounds))

    def draws(
        self, rows: NDArray[np.intp], random: np.random.Generator, shared: NDArray[np.int64] | None = None
    ) -> Floats:
        """[S, rows] what the values may be together; fewer draws of more rows.

        Those of equal codes in `shared` deviate alike.
        """
        count = int(np.clip(DRAWN // max(len(rows), 1), *DRAWS))
        codes = np.arange(len(rows)) if shared is None else np.unique(shared[rows], return_inverse=True)[1]
        drawn = self.mean[rows] + self.deviation[rows] * random.standard_normal((count, len(rows)))[:, codes]
        predicted = self.open[rows]
        if self.predictor and self.prospects and predicted.any():
            places = (np.cumsum(self.open) - 1)[rows[predicted]]
            drawn[:, predicted] = self.predictor.draws(self.prospects.where(places), count, random)
            drawn[:, predicted] += self.start[rows[predicted]]
        return drawn


def _membership(space: Space, cost: _Belief, gain: _Belief, random: np.random.Generator) -> Floats:
    """[N] the probability to work and to be on the frontier: the mean over draws, in which others work or fail."""
    usable, works = np.flatnonzero(~space.excluded), space.working
    low, high = ([belief.mean + sign * PRUNED * belief.deviation for belief in (cost, gain)] for sign in (-1, 1))
    worst = np.where(works.mean < 1, np.inf, high[0])  # what may fail dominates nothing for sure
    bounds = {"cost_low": low[0], "cost_high": worst, "gain_low": low[1], "gain_high": high[1]}
    undominated = pareto_mask(
        cost.mean[usable], gain.mean[usable], **{name: bound[usable] for name, bound in bounds.items()}
    )
    rows = usable[undominated]
    membership = np.zeros(len(space.excluded))
    drawn = cost.draws(rows, random), gain.draws(rows, random, space.shared)
    chance = works.draws(rows, len(drawn[0]), random)
    membership[rows] = (chance * _undominated(*drawn, chance > random.random(chance.shape))).mean(0)
    return membership


def _undominated(cost: Floats, gain: Floats, works: Mask) -> Mask:
    """[S, N] the `pareto_mask` of each of S draws, all at once; what does not work dominates nothing."""
    order = np.argsort(cost, axis=1)
    costs = np.take_along_axis(cost, order, axis=1)
    if (costs[:, 1:] == costs[:, :-1]).any():
        order = np.lexsort((-gain, cost), axis=1)
    gains, alive = (np.take_along_axis(column, order, axis=1) for column in (gain, works))
    best = np.maximum.accumulate(np.where(alive, gains, -np.inf), axis=1)
    rises, equal = np.ones(gains.shape, dtype=np.bool_), np.zeros(gains.shape, dtype=np.bool_)
    rises[:, 1:] = gains[:, 1:] > best[:, :-1]
    equal[:, 1:] = (costs[:, 1:] == costs[:, :-1]) & (gains[:, 1:] == gains[:, :-1])
    first = np.maximum.accumulate(np.where(equal, 0, np.arange(gains.shape[1])), axis=1)  # of equal points
    member = np.empty_like(rises)
    np.put_along_axis(member, order, np.take_along_axis(rises, first, axis=1), axis=1)
    return member


def _random(space: Space, standing: Standing, left: Mask) -> int:
    """A configuration to begin with, the same for the same measured ones.

    It has words that none has that was tried, if any is left that does. It is chosen the sooner the more these are,
    the quicker it is measured and the more probably it works.
    """
    new = np.where(left, _new_words(space), 0)
    weight = np.where(left, standing.works / space.seconds, 0) * (new if new.any() else 1)
    random = np.random.default_rng([0, *np.flatnonzero(space.measured)])
    return int(random.choice(len(weight), p=weight / weight.sum()))


def _new_words(space: Space) -> NDArray[np.intp]:
    """[N] how many words of a configuration none has that was tried, without the name of its network."""
    words, tried = space.features.categories, space.measured | space.excluded
    new = np.zeros(len(words), dtype=np.intp)
    for column, name in zip(words.T, space.features.category_names, strict=True):
        if name != NETWORK:
            new += ~np.isin(column, column[tried])
    return new


def _normal(column: Columns, *, log: bool) -> tuple[Floats, Floats]:
    """[N] means and standard deviations from points and 95 % intervals, of logarithms if `log`."""
    point, low, high = (np.log(bound) if log else bound for bound in column)
    return point.copy(), np.nan_to_num((high - low) / (2 * NORMAL_975))


class _Stairs(NamedTuple):
    """The best gain up to a cost. Between `knots[i]` and `knots[i + 1]` it is `gains[i]`, before the first `floor`;
    `areas` [K] are those between the floor and the best gain up to each knot."""

    knots: Floats
    gains: Floats
    areas: Floats
    floor: float

    def added(self, cost: Floats, gain: Floats) -> Floats:
        """[N] the area that a point adds."""
        step = np.searchsorted(self.gains, gain)
        width = self.knots[step] - cost
        below = self.areas[step] - np.interp(cost, self.knots, self.areas)
        return np.where((width > 0) & (gain > self.floor), (gain - self.floor) * width - below, 0.0)


def _stairs(cost: Floats, gain: Floats, reference: tuple[float, float]) -> _Stairs:
    front = (cost < reference[0]) & (gain > reference[1])
    front[front] = pareto_mask(cost[front], gain[front])
    order = np.argsort(cost[front], kind="stable")
    knots, gains = np.append(cost[front][order], reference[0]), gain[front][order]
    areas = np.append(0.0, np.cumsum(np.diff(knots) * (gains - reference[1])))
    return _Stairs(knots, gains, areas, reference[1])
