"""The power law on data that follow one, and its error compared with explicit leave-one-out fits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from paretodet.frontier.predict import CostModel, fit
from paretodet.records.measurement import Measurement


def rows(noise: float, count: int = 12) -> list[Measurement]:
    random = np.random.default_rng(5)
    macs, mib = 10 ** random.uniform(8, 11, count), 10 ** random.uniform(1, 3, count)
    latency = 2e-8 * macs**0.9 * mib**0.2 * np.exp(random.normal(0, noise, count))
    return [row(f"d{n}", int(macs[n]), mib[n], latency[n]) for n in range(count)]


def row(name: str, macs: int | None, mib: float | None, latency: float | None, **fields: Any) -> Measurement:
    numbers = {"macs": macs, "activations_mib": mib, "latency_ms_p50": latency}
    return Measurement(id=name, run="r", at="2026", name=name, **numbers, **fields)


def test_a_power_law_is_recovered() -> None:
    result = fit(rows(noise=0.0))
    np.testing.assert_allclose(result.coefficients, [np.log(2e-8), 0.9, 0.2], rtol=1e-6)
    assert result.factor == pytest.approx(1, abs=1e-6) and result.rows == 12
    assert result.predict(row("new", 10**9, 100.0, None)).point == pytest.approx(2e-8 * 1e9**0.9 * 100**0.2)


def test_the_error_is_leave_one_out() -> None:
    measured = rows(noise=0.2)
    errors = []
    for left in measured:
        rest: CostModel = fit([each for each in measured if each is not left])
        assert left.latency_ms_p50 is not None
        errors.append(np.log(left.latency_ms_p50 / rest.predict(left).point))
    result = fit(measured)
    assert result.factor == pytest.approx(np.exp(np.sqrt(np.mean(np.square(errors)))))
    prediction = result.predict(measured[0])
    assert prediction.high / prediction.point == pytest.approx(result.factor) == prediction.point / prediction.low
    assert prediction.sentence.startswith("Predicted, not measured: d0 has latency p50 ")
    assert f"a factor of {result.factor:.2f} " in prediction.sentence


def test_invalid_rows_are_not_fitted() -> None:
    measured = rows(noise=0.1)
    odd = [row("a", None, 1.0, 1.0), row("b", 0, 1.0, 1.0), row("c", 9, 9.0, 9.0, validity="contended")]
    assert fit(measured + odd) == fit(measured)


def test_errors_of_fit_and_predict() -> None:
    with pytest.raises(ValueError, match=r"4 rows have latency_ms_p50, macs and activations_mib; at least 5"):
        fit(rows(noise=0.0, count=4))
    mixed = rows(noise=0.0)
    with pytest.raises(ValueError, match=r"rows differ in machine \(, other\)"):
        fit([*mixed[1:], replace(mixed[0], machine="other")])
    with pytest.raises(ValueError, match="'ap' is not a field"):
        fit(mixed, cost="ap")
    with pytest.raises(ValueError, match="new has no macs"):
        fit(mixed).predict(row("new", None, 1.0, None))
