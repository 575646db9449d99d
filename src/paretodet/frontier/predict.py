"""Predicts what was not measured, and how wrong it may be: a Gaussian process over the features of configurations.

The covariance is that of `covariance.py`. Its variances are the most probable ones given the measured rows and what is
usual, found by Fisher scoring (as for restricted maximum likelihood, Harville 1977). Intervals are widened or
narrowed by how far the measured rows lie from their own leave-one-out predictions.

A prediction is not a measurement: it never becomes a row.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretodet.errors import InputError
from paretodet.frontier.covariance import NOISE, SLOPE, Basis, Covariance
from paretodet.frontier.features import Features
from paretodet.frontier.values import Floats, Mask

MIN_ROWS = 3
# Standard deviations of the logarithm of a variance around what is usual: of each, and of what all but the slopes
# have in common.
SPREAD, COMMON = 1.0, 1.0
MAX_ROWS = 100  # the variances are learned from at most this many rows, spread over all that are measured
MAX_STEPS = 30
MIN_NOISE = 1e-6  # of the variance of the values, so that the covariance can be inverted
ENOUGH = 1e-3  # of the logarithm of the density, gained by a step
FEW_ROWS = 60  # of more, every other one tells where to begin
SETTLED = 0.1  # likewise, up to which the curvature hardly changes
PRIOR_ROWS = 20  # as many residuals of deviation 1 are added to those of the measured rows
NORMAL_95 = 1.6448536269514722
LEEWAY = 0.25  # a number may lie this share of the measured range outside of it


class Forecast(NamedTuple):
    """[N] each: the prediction, its central 90 % interval, and whether it interpolates."""

    point: Floats
    low: Floats
    high: Floats
    known: Mask


class Prospects(NamedTuple):
    """N configurations to predict, and their covariance with the n measured ones [N, n]."""

    basis: Basis
    across: Floats

    def where(self, rows: Mask | NDArray[np.intp]) -> "Prospects":
        """Some of the configurations."""
        return Prospects(self.basis.where(rows), self.across[rows])


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A fitted process; `variances` are those of the covariance's components, then that of the noise."""

    covariance: Covariance
    variances: Floats
    measured: Features
    basis: Basis
    weights: Floats  # [n] the inverse covariance times the standardized values
    inverse: Floats  # [n, n] of the covariance of the measured values
    deviations: Floats  # [n] of the standardized values as they were measured, beside the noise
    center: float
    scale: float
    log: bool
    widening: float

    def predict(self, features: Features, *, start: Floats | None = None) -> Forecast:
        """The forecast of N configurations, whose features have the columns that were fitted.

        `start` [N] is required if and only if the fit had one.
        """
        mean, deviation = self.moments(self.prospects(features))
        if start is not None:
            mean = mean + (np.log(start) if self.log else start)
        bounds = (mean, mean - NORMAL_95 * deviation, mean + NORMAL_95 * deviation)
        point, low, high = (np.exp(bound) if self.log else bound for bound in bounds)
        return Forecast(point, low, high, self.known(features))

    def prospects(self, features: Features) -> Prospects:
        """N configurations to predict, whose features have the columns that were fitted."""
        return self.prospects_of(self.covariance.basis(features))

    def prospects_of(self, basis: Basis) -> Prospects:
        """Those whose basis this is, of the same covariance."""
        return Prospects(basis, self.covariance.between(basis, self.basis, self.variances[:-1]))

    def moments(self, prospects: Prospects) -> tuple[Floats, Floats]:
        """[N] means and standard deviations, of logarithms if the values were."""
        basis, across = prospects
        variance = self.covariance.of_each(basis, self.variances[:-1]) - ((across @ self.inverse) * across).sum(1)
        deviation = self.scale * self.widening * np.sqrt(np.maximum(variance, 0) + self.variances[-1])
        return self.center + self.scale * (across @ self.weights), deviation

    def draws(self, prospects: Prospects, count: int, random: np.random.Generator) -> Floats:
        """[count, N] what the values may be together, as logarithms if the values were.

        Draws before any row is measured, corrected by what the measured rows say (Wilson et al. 2020, "Efficiently
        sampling functions from Gaussian process posteriors", Matheron's rule).
        """
        basis, across = prospects
        joined = self.basis.joined(basis)
        all_of_them = self.covariance.draws(joined, self.variances[:-1], count=count, random=random)
        all_of_them += np.sqrt(self.variances[-1]) * random.standard_normal(all_of_them.shape)
        before, drawn = np.split(all_of_them, [len(self.weights)], axis=1)
        if self.deviations.any():
            before += self.deviations * random.standard_normal(before.shape)
        drawn -= before @ self.inverse @ across.T
        return self.center + self.scale * (across @ self.weights + self.widening * drawn)

    def known(self, features: Features) -> Mask:
        """[N] which configurations have measured categories and numbers within the measured range."""
        numbers = self.measured.numbers
        low, high = np.fmin.reduce(numbers, initial=np.inf), np.fmax.reduce(numbers, initial=-np.inf)
        leeway = LEEWAY * np.maximum(high - low, 0)
        outside = ((features.numbers < low - leeway) | (features.numbers > high + leeway)).any(1)
        for column in self.covariance.categories:
            outside |= ~np.isin(features.categories[:, column], self.measured.categories[:, column])
        return ~outside


def fit(
    features: Features,
    measured: NDArray[np.intp],
    values: Floats,
    *,
    log: bool = True,
    deviations: Floats | None = None,
    start: Floats | None = None,
    ground: "Ground | None" = None,
) -> Predictor:
    """Learns from the values [n] of the configurations `measured` [n], positions in `features`.

    `log` fits logarithms. `deviations` [n] are the standard deviations of the values (or of their logarithms) as they
    were measured, beside what the rows show of it. `start` [N] are the values of all configurations elsewhere, on
    another machine for example: then what is learned is by what the values differ. `ground` is that of the features,
    if it is known. Raises InputError for fewer than 3 values, or for values that are not finite (or not above 0, if
    `log`).
    """
    if len(values) < MIN_ROWS:
        raise InputError(f"{len(values)} rows are measured; a prediction needs at least {MIN_ROWS}", "rows-unfit")
    if not (np.isfinite(values).all() and (not log or (values > 0).all())):
        raise InputError("a measured value is not a finite number above 0", "rows-unfit")
    ground = ground or Ground.of(features)
    covariance, basis = ground.covariance, ground.basis.where(measured)
    targets = np.log(values) if log else values
    scale = float(targets.std()) or 1.0  # also of differences: what is usual of them depends on what differs
    if start is not None:
        targets = targets - (np.log(start) if log else start)[measured]
    center = float(targets.mean())
    standard = (targets - center) / scale
    variances, effective = _variances(ground.posterior(measured, standard))
    within = covariance.between(basis, basis, variances[:-1])
    own = np.zeros(len(values)) if deviations is None else deviations / scale
    within[np.diag_indices_from(within)] += variances[-1] + own**2
    inverse = np.asarray(np.linalg.inv(within), dtype=np.float64)
    weights = inverse @ standard
    return Predictor(
        covariance=covariance, variances=variances, measured=features.where(measured), basis=basis, weights=weights,
        inverse=inverse, deviations=own, center=center, scale=scale, log=log,
        widening=_widening(weights / np.sqrt(np.diag(inverse)), effective),
    )  # fmt: skip


def _widening(residuals: Floats, fitted: float) -> float:
    """By what the deviations are multiplied: that of the leave-one-out residuals [n], standardized, drawn to 1.

    The residuals are too small as the variances were fitted to the same rows, and a deviation of few residuals is
    uncertain itself (Student's t).
    """
    count = len(residuals)
    deviation = np.sqrt((np.sum(residuals**2) + PRIOR_ROWS) / (count + PRIOR_ROWS))
    freedom = max(count - fitted, 2.0)
    return float(deviation * np.sqrt(count / freedom) * (1 + (NORMAL_95**2 + 1) / (4 * freedom)))


class _Posterior(NamedTuple):
    """The logarithms of variances: kernels [G, n, n] at variance 1, values [n], and the normal prior of logarithms.

    `roots` [n, R] are those of the kernels side by side; the columns of each begin at `starts` [G].
    """

    parts: Floats
    roots: Floats
    starts: NDArray[np.intp]
    values: Floats
    usual: Floats
    precision: Floats

    def loss(self, logs: Floats) -> float:
        """The negative logarithm of the posterior density."""
        try:
            root = np.linalg.cholesky(np.tensordot(np.exp(logs), self.parts, 1))
        except np.linalg.LinAlgError:
            return np.inf
        whitened, unusual = np.linalg.solve(root, self.values), logs - self.usual
        return float(0.5 * (whitened @ whitened + unusual @ self.precision @ unusual) + np.log(np.diag(root)).sum())

    def thinned(self) -> "_Posterior":
        """That of every other row."""
        return self._replace(parts=self.parts[:, ::2, ::2].copy(), roots=self.roots[::2], values=self.values[::2])

    def gradient(self, logs: Floats) -> tuple[Floats, Floats]:
        """The gradient [G] of the loss, and the inverse root [n, n] of the covariance."""
        variances = np.exp(logs)
        whiten = np.linalg.inv(np.linalg.cholesky(np.tensordot(variances, self.parts, 1)))
        weights = whiten.T @ (whiten @ self.values)
        slopes = whiten.T @ whiten - np.outer(weights, weights)
        gradient = 0.5 * variances * (self.parts.reshape(len(variances), -1) @ slopes.ravel())
        return gradient + self.precision @ (logs - self.usual), np.asarray(whiten)

    def information(self, logs: Floats, whiten: Floats) -> Floats:
        """The expected second derivatives [G, G] of the likelihood, as float32 has them.

        Kernels are whitened, so that the trace of the product of two is the sum of the products of their elements.
        """
        roots = (whiten @ self.roots).astype(np.float32)
        white = np.empty(self.parts.shape, dtype=np.float32)
        scales = np.exp(logs).astype(np.float32)
        for root, scale, kernel in zip(np.split(roots, self.starts[1:], axis=1), scales, white, strict=True):
            np.matmul(scale * root, root.T, out=kernel)
        flat = white.reshape(len(white), -1)
        return 0.5 * (flat @ flat.T).astype(np.float64)


@dataclass(frozen=True)
class Ground:
    """N configurations as their covariance has them, for several predictors of the same ones."""

    covariance: Covariance
    basis: Basis
    _kernels: dict[bytes, _Posterior] = field(default_factory=dict)  # of the rows that were learned from last

    @classmethod
    def of(cls, features: Features) -> "Ground":
        covariance = Covariance.of(features)
        return cls(covariance, covariance.basis(features))

    def posterior(self, measured: NDArray[np.intp], values: Floats) -> _Posterior:
        """That of the variances, given the values [n] of rows; at most `MAX_ROWS` are used, spread over all."""
        used = np.linspace(0, len(values) - 1, min(len(values), MAX_ROWS)).astype(np.intp)
        key = measured[used].tobytes()
        if key not in self._kernels:
            self._kernels.clear()
            self._kernels[key] = _posterior(self.covariance, self.basis.where(measured[used]), values[used])
        return self._kernels[key]._replace(values=values[used])


def _variances(posterior: _Posterior) -> tuple[Floats, float]:
    """[G + 1] the most probable variances of the components and the noise, and how many the rows determine."""
    logs = posterior.usual
    if len(posterior.values) > FEW_ROWS:
        logs, _ = _scored(posterior.thinned(), logs, enough=SETTLED)
    logs, information = _scored(posterior, logs, enough=ENOUGH)
    variances = np.exp(logs)
    variances[-1] = max(variances[-1], MIN_NOISE)
    return variances, float(np.trace(np.linalg.solve(information + posterior.precision, information)))


def _scored(posterior: _Posterior, logs: Floats, *, enough: float) -> tuple[Floats, Floats]:
    """The logarithms of the variances at the least loss, and the information there, beginning at `logs`.

    Fisher scoring with Levenberg's damping, until a step gains less than `enough`.
    """
    damping, loss, (gradient, whiten) = 1e-3, posterior.loss(logs), posterior.gradient(logs)
    information = posterior.information(logs, whiten)
    for _ in range(MAX_STEPS):
        curvature = information + posterior.precision
        curvature[np.diag_indices_from(curvature)] *= 1 + damping
        trial = logs - np.clip(np.linalg.solve(curvature, gradient), -2, 2)
        reached = posterior.loss(trial)
        if not reached < loss:
            damping *= 10
            continue
        gained, logs, loss, damping = loss - reached, trial, reached, damping / 10
        gradient, whiten = posterior.gradient(logs)
        if gained < enough:
            break
        if gained > SETTLED:
            information = posterior.information(logs, whiten)
    return logs, posterior.information(logs, whiten)


def _posterior(covariance: Covariance, basis: Basis, values: Floats) -> _Posterior:
    parts = np.concatenate([covariance.parts(basis), np.eye(len(values))[None]])
    roots = [*covariance.roots(basis), np.eye(len(values))]
    starts = np.cumsum([0, *(root.shape[1] for root in roots[:-1])])
    secondary = np.array([*(part.usual < SLOPE for part in covariance.components), True], dtype=np.float64)
    prior = SPREAD**2 * np.eye(len(parts)) + COMMON**2 * np.outer(secondary, secondary)
    precision = np.asarray(np.linalg.inv(prior), dtype=np.float64)
    return _Posterior(parts, np.hstack(roots), starts, values, np.log(np.append(covariance.usual, NOISE**2)), precision)
