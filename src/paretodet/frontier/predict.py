"""Predicts what was not measured, and how wrong it may be: a Gaussian process over the features of configurations.

The covariance is that of `covariance.py`. Its variances are the most probable ones given the measured rows and what is
usual, found by Fisher scoring (as for restricted maximum likelihood, Harville 1977). Intervals are widened or
narrowed by how far the measured rows lie from their own leave-one-out predictions.

A prediction is not a measurement: it never becomes a row.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretodet.errors import InputError
from paretodet.frontier.covariance import NOISE, Basis, Covariance
from paretodet.frontier.features import Features
from paretodet.frontier.values import Floats, Mask

MIN_ROWS = 3
SPREAD = 1.5  # standard deviation of the logarithm of a variance around what is usual
MAX_ROWS = 150  # the variances are learned from at most this many rows
MAX_STEPS = 30
NORMAL_95 = 1.6448536269514722
LEEWAY = 0.25  # a number may lie this share of the measured range outside of it


class Forecast(NamedTuple):
    """[N] each: the prediction, its central 90 % interval, and whether it interpolates."""

    point: Floats
    low: Floats
    high: Floats
    known: Mask


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A fitted process; `variances` are those of the covariance's components, then that of the noise."""

    covariance: Covariance
    variances: Floats
    measured: Features
    basis: Basis
    weights: Floats  # [n] the inverse covariance times the standardized values
    inverse: Floats  # [n, n] of the covariance of the measured values
    center: float
    scale: float
    log: bool
    widening: float

    def predict(self, features: Features) -> Forecast:
        """The forecast of N configurations, whose features have the columns that were fitted."""
        mean, deviation = self.moments(features)
        bounds = (mean, mean - NORMAL_95 * deviation, mean + NORMAL_95 * deviation)
        point, low, high = (np.exp(bound) if self.log else bound for bound in bounds)
        return Forecast(point, low, high, self.known(features))

    def moments(self, features: Features) -> tuple[Floats, Floats]:
        """[N] means and standard deviations, of logarithms if the values were."""
        basis = self.covariance.basis(features)
        across = self.covariance.between(basis, self.basis, self.variances[:-1])
        variance = self.covariance.of_each(basis, self.variances[:-1]) - ((across @ self.inverse) * across).sum(1)
        deviation = self.scale * self.widening * np.sqrt(np.maximum(variance, 0) + self.variances[-1])
        return self.center + self.scale * (across @ self.weights), deviation

    def draws(self, features: Features, count: int, random: np.random.Generator) -> Floats:
        """[count, N] what the values may be together, as logarithms if the values were."""
        basis = self.covariance.basis(features)
        across = self.covariance.between(basis, self.basis, self.variances[:-1])
        within = self.covariance.between(basis, basis, self.variances[:-1]) - across @ self.inverse @ across.T
        within[np.diag_indices_from(within)] += self.variances[-1]
        root = np.linalg.cholesky(within)
        deviations = random.standard_normal((count, len(root))) @ root.T
        return self.center + self.scale * (across @ self.weights + self.widening * deviations)

    def known(self, features: Features) -> Mask:
        """[N] which configurations have measured categories and numbers within the measured range."""
        numbers = self.measured.numbers
        low, high = np.nanmin(numbers, 0, initial=np.inf), np.nanmax(numbers, 0, initial=-np.inf)
        leeway = LEEWAY * np.maximum(high - low, 0)
        outside = (features.numbers < low - leeway) | (features.numbers > high + leeway)
        pairs = zip(features.categories.T, self.measured.categories.T, strict=True)
        return np.logical_and.reduce([np.isin(*pair) for pair in pairs], initial=True) & ~outside.any(1)


def fit(
    features: Features,
    measured: NDArray[np.intp],
    values: Floats,
    *,
    log: bool = True,
    variances: Floats | None = None,
) -> Predictor:
    """Learns from the values [n] of the configurations `measured` [n], positions in `features`.

    `log` fits logarithms; `variances` are those of an earlier fit of the same features, which are kept. Raises
    InputError for fewer than 3 values, or for values that are not finite (or not above 0, if `log`).
    """
    if len(values) < MIN_ROWS:
        raise InputError(f"{len(values)} rows are measured; a prediction needs at least {MIN_ROWS}", "rows-unfit")
    if not (np.isfinite(values).all() and (not log or (values > 0).all())):
        raise InputError("a measured value is not a finite number above 0", "rows-unfit")
    covariance = Covariance.of(features)
    known = features.where(measured)
    basis = covariance.basis(known)
    targets = np.log(values) if log else values
    center, scale = float(targets.mean()), float(targets.std()) or 1.0
    standard = (targets - center) / scale
    if variances is None:
        variances = _variances(covariance, basis, standard)
    within = covariance.between(basis, basis, variances[:-1]) + variances[-1] * np.eye(len(standard))
    inverse = np.linalg.inv(within)
    weights = inverse @ standard
    return Predictor(
        covariance=covariance, variances=variances, measured=known, basis=basis, weights=weights, inverse=inverse,
        center=center, scale=scale, log=log, widening=_widening(weights / np.sqrt(np.diag(inverse))),
    )  # fmt: skip


def _widening(residuals: Floats) -> float:
    """By what the deviations are multiplied: that of the leave-one-out residuals [n], standardized, drawn to 1."""
    usual = 20
    return float(np.sqrt((np.sum(residuals**2) + usual) / (len(residuals) + usual)))


def _variances(covariance: Covariance, basis: Basis, values: Floats) -> Floats:
    """[G + 1] the most probable variances of the components and the noise; Fisher scoring with Levenberg's damping."""
    rows = slice(MAX_ROWS)
    basis, values = Basis(basis.terms[rows], basis.codes[rows]), values[rows]
    parts = np.concatenate([covariance.parts(basis), np.eye(len(values))[None]])
    usual = 2 * np.log([*(part.usual for part in covariance.components), NOISE])
    logs, damping = usual.copy(), 1e-3
    loss = _loss(parts, values, logs, usual)
    for _ in range(MAX_STEPS):
        gradient, information = _scores(parts, values, logs, usual)
        information[np.diag_indices_from(information)] *= 1 + damping
        trial = logs - np.clip(np.linalg.solve(information, gradient), -2, 2)
        reached = _loss(parts, values, trial, usual)
        if not reached < loss:
            damping *= 10
            continue
        gained, logs, loss, damping = loss - reached, trial, reached, damping / 10
        if gained < 1e-3:
            break
    return np.exp(logs)


def _loss(parts: Floats, values: Floats, logs: Floats, usual: Floats) -> float:
    """The negative logarithm of the posterior density of the variances."""
    try:
        root = np.linalg.cholesky(np.tensordot(np.exp(logs), parts, 1))
    except np.linalg.LinAlgError:
        return np.inf
    whitened = np.linalg.solve(root, values)
    prior = ((logs - usual) ** 2).sum() / SPREAD**2
    return float(0.5 * (whitened @ whitened + prior) + np.log(np.diag(root)).sum())


def _scores(parts: Floats, values: Floats, logs: Floats, usual: Floats) -> tuple[Floats, Floats]:
    """The gradient [G] of the loss and its expected second derivatives [G, G]."""
    scaled = np.exp(logs)[:, None, None] * parts
    inverse = np.linalg.inv(scaled.sum(0))
    weights = inverse @ values
    products = inverse @ scaled
    gradient = 0.5 * (np.trace(products, axis1=1, axis2=2) - np.einsum("i,gij,j->g", weights, scaled, weights))
    flat = products.reshape(len(parts), -1)
    information = 0.5 * flat @ products.transpose(0, 2, 1).reshape(len(parts), -1).T
    return gradient + (logs - usual) / SPREAD**2, information + np.eye(len(parts)) / SPREAD**2
