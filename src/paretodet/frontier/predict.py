"""Predicts the cost of a detector that was not measured: a power law of its work, fitted to measured rows.

    log cost = a + sum over features of b_f log feature

A prediction is not a measurement: it never becomes a row, and it states its leave-one-out error.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paretodet.errors import InputError
from paretodet.frontier.values import COSTS, amount, check_field, noun, trusted_rows, value
from paretodet.records.measurement import Measurement

FEATURES = ("macs", "activations_mib")
CONDITIONS = ("machine", "device", "runtime", "precision", "batch", "threads", "load")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A predicted cost; `low` and `high` are one leave-one-out root mean square error away (on the log scale)."""

    field: str
    point: float
    low: float
    high: float
    sentence: str


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """Coefficients of the power law; `factor` is the typical leave-one-out ratio of true to predicted cost."""

    field: str
    features: tuple[str, ...]
    coefficients: tuple[float, ...]  # the constant first
    factor: float
    rows: int

    def predict(self, row: Measurement) -> Prediction:
        """Raises ValueError if the row lacks a feature."""
        if missing := [name for name in self.features if not _positive(row, name)]:
            raise InputError(
                f"{row.name} has no {missing[0]}, which the prediction of {self.field} needs", "row-incomplete"
            )
        terms = (
            b * math.log(_positive(row, name)) for b, name in zip(self.coefficients[1:], self.features, strict=True)
        )
        point = math.exp(self.coefficients[0] + sum(terms))
        sentence = (
            f"Predicted, not measured: {row.name} has {noun(self.field)} {amount(self.field, point)}. The typical "
            f"error is a factor of {self.factor:.2f} (leave-one-out over {self.rows} measured rows)."
        )
        low, high = point / self.factor, point * self.factor
        return Prediction(field=self.field, point=point, low=low, high=high, sentence=sentence)


def fit(
    rows: Sequence[Measurement], *, cost: str = "latency_ms_p50", features: tuple[str, ...] = FEATURES
) -> CostModel:
    """Least squares over the valid rows that have the cost and all features.

    Raises ValueError if the rows were measured under different conditions, or if there are fewer than two more rows
    than coefficients.
    """
    for name in (cost, *features):
        check_field(name, COSTS)
    used = [row for row in trusted_rows(rows)[0] if all(_positive(row, name) for name in (cost, *features))]
    for name in CONDITIONS:
        if len(values := {getattr(row, name) for row in used}) > 1:
            raise InputError(
                f"the rows differ in {name} ({', '.join(sorted(map(str, values)))}); a prediction needs rows with the "
                f"same {name}",
                "rows-unfit",
            )
    if len(used) < len(features) + 3:
        raise InputError(
            f"{len(used)} rows have {cost}, {' and '.join(features)}; at least {len(features) + 3} are needed",
            "rows-unfit",
        )
    logs = np.log([[_positive(row, name) for name in (*features, cost)] for row in used])
    design = np.column_stack([np.ones(len(used)), logs[:, :-1]])
    coefficients = np.linalg.lstsq(design, logs[:, -1], rcond=None)[0]
    # The leave-one-out residual of a row is its residual in the fit divided by 1 - leverage.
    leverage = np.einsum("ij,ji->i", design, np.linalg.pinv(design))
    errors = (logs[:, -1] - design @ coefficients) / np.maximum(1 - leverage, 1e-9)
    factor = math.exp(min(700.0, math.sqrt(float(np.mean(errors**2)))))
    return CostModel(
        field=cost, features=features, coefficients=tuple(coefficients.tolist()), factor=factor, rows=len(used)
    )


def _positive(row: Measurement, field: str) -> float:
    """The number, or 0 if it is unknown or has no logarithm."""
    number = value(row, field)
    return max(number.point, 0.0) if number else 0.0
