"""The cost of what was not measured, from its work: a power law fitted to what was, with its own error.

    log cost = a + sum over features of b_f log feature

A prediction is never a measurement: it stays out of rows, and says how far off it was on each row it had not seen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paretodet.frontier.values import COSTS, amount, entering, known_field, noun, value
from paretodet.records.measurement import Measurement

FEATURES = ("macs", "activations_mib")
CONDITIONS = ("machine", "device", "runtime", "precision", "batch", "threads", "load")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A predicted cost; `low` and `high` are a typical error (root mean square, left out one by one) away."""

    field: str
    point: float
    low: float
    high: float
    sentence: str


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """Coefficients of the power law, and `factor`: the typical ratio of truth to prediction on rows left out."""

    field: str
    features: tuple[str, ...]
    coefficients: tuple[float, ...]  # the constant first
    factor: float
    rows: int

    def predict(self, row: Measurement) -> Prediction:
        """Raises ValueError where the row lacks a feature."""
        if lacking := [name for name in self.features if not _positive(row, name)]:
            raise ValueError(f"{row.name} does not know its {lacking[0]}, from which {self.field} is predicted")
        terms = (
            b * math.log(_positive(row, name)) for b, name in zip(self.coefficients[1:], self.features, strict=True)
        )
        point = math.exp(self.coefficients[0] + sum(terms))
        sentence = (
            f"Predicted, not measured: {noun(self.field)} {amount(self.field, point)} of {row.name}; predictions of "
            f"the {self.rows} measured rows, each left out in turn, are typically off by a factor of {self.factor:.2f}."
        )
        low, high = point / self.factor, point * self.factor
        return Prediction(field=self.field, point=point, low=low, high=high, sentence=sentence)


def fit(
    rows: Sequence[Measurement], *, cost: str = "latency_ms_p50", features: tuple[str, ...] = FEATURES
) -> CostModel:
    """Least squares over the valid rows that know all of it, one machine and setting at a time.

    Raises ValueError where conditions mix or rows are too few: two more than there are coefficients are needed.
    """
    for name in (cost, *features):
        known_field(name, COSTS)
    used = [row for row in entering(rows)[0] if all(_positive(row, name) for name in (cost, *features))]
    for name in CONDITIONS:
        if len(kinds := {getattr(row, name) for row in used}) > 1:
            raise ValueError(
                f"rows differ in {name} ({', '.join(sorted(map(str, kinds)))}); a prediction needs one of it"
            )
    if len(used) < len(features) + 3:
        raise ValueError(
            f"{len(used)} rows know {cost} and {', '.join(features)}; at least {len(features) + 3} are needed"
        )
    logs = np.log([[_positive(row, name) for name in (*features, cost)] for row in used])
    design = np.column_stack([np.ones(len(used)), logs[:, :-1]])
    coefficients = np.linalg.lstsq(design, logs[:, -1], rcond=None)[0]
    # The residual of a row left out of the fit is its residual inside it over 1 - leverage.
    leverage = np.einsum("ij,ji->i", design, np.linalg.pinv(design))
    off = (logs[:, -1] - design @ coefficients) / np.maximum(1 - leverage, 1e-9)
    factor = math.exp(min(700.0, math.sqrt(float(np.mean(off**2)))))
    return CostModel(
        field=cost, features=features, coefficients=tuple(coefficients.tolist()), factor=factor, rows=len(used)
    )


def _positive(row: Measurement, field: str) -> float:
    """The number, or 0 where it is unknown or has no logarithm."""
    found = value(row, field)
    return max(found.point, 0.0) if found else 0.0
