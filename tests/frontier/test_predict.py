"""The process against its textbook formulas, and what it predicts of a table that it can know."""

import numpy as np
import pytest

from paretodet.errors import InputError
from paretodet.frontier import predict
from paretodet.frontier.covariance import Covariance
from paretodet.frontier.features import Features, of_names
from paretodet.frontier.predict import _posterior, _variances, fit
from paretodet.frontier.values import Floats

RANDOM = np.random.default_rng(7)


def table() -> tuple[Features, Floats]:
    """180 names of three families, and latencies that follow a power law of each family."""
    parts = [
        (family, d, w, size)
        for family in range(3)
        for d in (0.33, 0.67, 1)
        for w in (0.25, 0.5, 0.75, 1)
        for size in (160, 224, 320, 416, 480)
    ]
    names = [f"{'abc'[family]}net-d{d}w{w}_{size}" for family, d, w, size in parts]
    latency = [
        (1 + 0.4 * family) * d ** (0.3 + 0.1 * family) * w**1.5 * (size / 100) ** 2 for family, d, w, size in parts
    ]
    return of_names(names), np.array(latency)


def test_the_posterior_is_that_of_the_textbook() -> None:
    features, latency = table()
    rows = RANDOM.permutation(180)[:25]
    process = fit(features, rows, latency[rows])
    logs = np.log(latency[rows])
    values = (logs - logs.mean()) / logs.std()
    covariance, basis = process.covariance, process.covariance.basis(features)
    prior = np.tensordot(process.variances[:-1], covariance.parts(basis), 1)
    np.testing.assert_allclose(covariance.between(basis, basis, process.variances[:-1]), prior, rtol=1e-9, atol=1e-12)
    within = prior[np.ix_(rows, rows)] + process.variances[-1] * np.eye(25)
    mean = prior[:, rows] @ np.linalg.solve(within, values)
    variance = np.diag(prior - prior[:, rows] @ np.linalg.solve(within, prior[rows])) + process.variances[-1]
    point, deviation = process.moments(process.prospects(features))
    np.testing.assert_allclose(point, logs.mean() + logs.std() * mean, atol=1e-6)
    np.testing.assert_allclose(deviation, logs.std() * process.widening * np.sqrt(variance), rtol=1e-4)


def test_the_scores_of_variances_are_those_of_the_plain_formulas() -> None:
    features, latency = table()
    rows = RANDOM.permutation(180)[:25]
    covariance, logs = Covariance.of(features), np.log(latency[rows])
    posterior = _posterior(covariance, covariance.basis(features.where(rows)), (logs - logs.mean()) / logs.std())
    at = posterior.usual + RANDOM.normal(0, 0.5, len(posterior.usual))
    kernels = np.exp(at)[:, None, None] * posterior.parts
    inverse = np.linalg.inv(kernels.sum(0))
    products = [inverse @ kernel for kernel in kernels]
    weights = inverse @ posterior.values
    plain = 0.5 * np.array([np.trace(product) for product in products]) - 0.5 * (kernels @ weights) @ weights
    information = [[0.5 * np.trace(one @ other) for other in products] for one in products]
    gradient, whiten = posterior.gradient(at)
    found = posterior.information(at, whiten)
    np.testing.assert_allclose(gradient, plain + posterior.precision @ (at - posterior.usual), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found, information, rtol=1e-4, atol=1e-7)  # of single precision
    step = 1e-6 * np.eye(len(at))
    slopes = [(posterior.loss(at + each) - posterior.loss(at - each)) / 2e-6 for each in step]
    np.testing.assert_allclose(gradient, slopes, atol=1e-5)


def test_the_variances_are_learned_from_rows_spread_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    features, latency = table()
    monkeypatch.setattr(predict, "MAX_ROWS", 60)
    logs, covariance, spread = np.log(latency), Covariance.of(features), np.linspace(0, 179, 60).astype(np.intp)
    standard = (logs - logs.mean()) / logs.std()
    expected, _ = _variances(_posterior(covariance, covariance.basis(features.where(spread)), standard[spread]))
    np.testing.assert_allclose(fit(features, np.arange(180), latency).variances, expected, rtol=1e-9)


def test_draws_have_the_moments_of_the_forecast() -> None:
    features, latency = table()
    rows = RANDOM.permutation(180)[:20]
    process = fit(features, rows, latency[rows])
    some = process.prospects(features.where(np.arange(0, 180, 7)))
    drawn, (mean, deviation) = process.draws(some, 4000, np.random.default_rng(0)), process.moments(some)
    np.testing.assert_allclose(drawn.mean(0), mean, atol=4 * deviation.max() / np.sqrt(4000))
    np.testing.assert_allclose(drawn.std(0), deviation, rtol=0.1)
    every_other = process.moments(some.where(np.arange(0, 26, 2)))
    np.testing.assert_allclose(every_other, (mean[::2], deviation[::2]))


def test_draws_have_the_moments_of_a_forecast_from_values_of_unequal_precision() -> None:
    features, latency = table()
    rows = RANDOM.permutation(180)[:40]
    deviations = np.where(np.arange(40) < 20, 0.3, 0.01)
    process = fit(features, rows, latency[rows], deviations=deviations)
    some = process.prospects(features.where(np.arange(0, 180, 7)))
    drawn, (mean, deviation) = process.draws(some, 4000, np.random.default_rng(0)), process.moments(some)
    np.testing.assert_allclose(drawn.mean(0), mean, atol=4 * deviation.max() / np.sqrt(4000))
    np.testing.assert_allclose(drawn.std(0), deviation, rtol=0.06)


def test_a_value_of_no_precision_is_learned_from_less() -> None:
    features, latency = table()
    rows = RANDOM.permutation(180)[:30]
    wrong, deviations = latency[rows].copy(), np.zeros(30)
    wrong[4], deviations[4] = 2 * wrong[4], 100.0
    place = features.where(rows[4:5])
    doubtful, trusted = (fit(features, rows, wrong, deviations=given).predict(place) for given in (deviations, None))
    assert abs(doubtful.point[0] / latency[rows[4]] - 1) < abs(trusted.point[0] / latency[rows[4]] - 1)


def test_a_power_law_by_family_is_learned() -> None:
    features, latency = table()
    rows = RANDOM.permutation(180)[:30]
    forecast = fit(features, rows, latency[rows]).predict(features)
    assert np.median(abs(forecast.point / latency - 1)) < 0.03
    assert ((forecast.low <= forecast.point) & (forecast.point <= forecast.high)).all()


def test_what_would_extrapolate_is_unknown() -> None:
    features, latency = table()
    small = np.flatnonzero(np.exp(features.numbers[:, 0]) < 330)
    known = fit(features, small, latency[small]).predict(features).known
    assert known[small].all() and not known.all()
    one_family = np.flatnonzero(features.categories[:, 0] == features.categories[0, 0])
    known = fit(features, one_family, latency[one_family]).predict(features).known
    assert known.nonzero()[0].tolist() == one_family.tolist()


def test_values_that_cannot_be_learned_from() -> None:
    features, latency = table()
    with pytest.raises(InputError, match="rows-unfit"):
        fit(features, np.arange(2), latency[:2])
    for value in (np.nan, -1.0, 0.0):
        with pytest.raises(InputError, match="rows-unfit"):
            fit(features, np.arange(3), np.array([1.0, 2.0, value]))
    assert fit(features, np.arange(3), np.array([1.0, 2.0, -1.0]), log=False)


def test_what_is_usual_of_differences_is_a_share_of_the_values() -> None:
    features, latency = table()
    rows = RANDOM.permutation(180)[:15]
    start = latency * np.exp(0.01 * RANDOM.standard_normal(180))
    assert fit(features, rows, latency[rows], start=start).scale == pytest.approx(np.log(latency[rows]).std())
