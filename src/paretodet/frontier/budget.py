"""A budget, and the recommendation that answers it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from paretodet.errors import InputError
from paretodet.frontier.probability import MAXIMUM, MINIMUM, Limit
from paretodet.frontier.values import check_field
from paretodet.records.measurement import GAINS, Measurement


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Upper and lower limits by field, in the field's unit; a value equal to its limit fits.

    `goal` is an accuracy to maximize or a cost to minimize. `confident` compares the unfavorable end of every 95 %
    interval with the limits, not the point. Raises ValueError with the field, its value and what is allowed.
    """

    maximum: Mapping[str, float] = field(default_factory=dict)
    minimum: Mapping[str, float] = field(default_factory=dict)
    goal: str = "ap"
    confident: bool = False

    def __post_init__(self) -> None:
        for name in (self.goal, *self.maximum, *self.minimum):
            check_field(name)
        for kind, limits in (("maximum", self.maximum), ("minimum", self.minimum)):
            for name, limit in limits.items():
                if not (math.isfinite(limit) and limit >= 0):
                    raise InputError(
                        f"{kind} of {name} is {limit}; it must be a number that is at least 0", "option-range"
                    )
        for name in self.maximum.keys() & self.minimum.keys():
            if self.minimum[name] > self.maximum[name]:
                raise InputError(
                    f"minimum of {name} is {self.minimum[name]}, which is above its maximum {self.maximum[name]}",
                    "option-conflict",
                )

    @property
    def asks_accuracy(self) -> bool:
        return any(name in GAINS for name in self.fields)

    @property
    def fields(self) -> tuple[str, ...]:
        """The goal and the fields with a limit, without duplicates."""
        return tuple(dict.fromkeys((self.goal, *self.maximum, *self.minimum)))

    @property
    def limits(self) -> tuple[Limit, ...]:
        maxima = (Limit(name, MAXIMUM, limit) for name, limit in self.maximum.items())
        return (*maxima, *(Limit(name, MINIMUM, limit) for name, limit in self.minimum.items()))


@dataclass(frozen=True, kw_only=True)
class Breach:
    """A limit that a row does not keep; `needed` is the limit that it would keep."""

    field: str
    kind: str  # "maximum" or "minimum"
    limit: float
    needed: float

    @property
    def by(self) -> float:
        """By how much the limit would have to move, in the field's unit."""
        return abs(self.needed - self.limit)

    @property
    def share(self) -> float:
        """`by` divided by the limit."""
        return self.by / self.limit if self.limit else math.inf


@dataclass(frozen=True, kw_only=True)
class NextStep:
    """The better row that needs the least more budget.

    `change` is its goal and limited fields minus the choice's, `breaches` are all the limits that it breaks.
    """

    row: Measurement
    change: dict[str, float]
    breaches: tuple[Breach, ...]


@dataclass(frozen=True, kw_only=True)
class Relaxation:
    """The nearest row if no row fits, the limits it breaks, and the probability that it fits all the same."""

    row: Measurement
    breaches: tuple[Breach, ...]
    probability: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The answer to a budget; `reason` explains it in sentences.

    The choice has the best goal of the rows whose points keep every limit. `probability_fits` is the probability that
    it truly keeps them, `probability_best` that it is also the best row that does. `safe` is the best row whose
    intervals keep every limit. The answer is provisional if fewer than two rows are trusted. `undecided` are the rows
    on which it depends because their intervals are wide or because they were left out, and `remeasure` are the words
    of the command that measures these again.
    """

    choice: Measurement | None
    runners_up: tuple[Measurement, ...]  # at most two: the next best that fit
    binding: Breach | None  # of the limits that `next` breaks, the one that is missed most; None without `next`
    next: NextStep | None  # of the better rows, the one that needs the smallest relaxation
    relaxation: Relaxation | None  # None if there is a choice
    reason: str
    probability_fits: float | None = None
    probability_best: float | None = None
    safe: Measurement | None = None
    provisional: bool = False
    why: str = ""
    undecided: tuple[Measurement, ...] = ()
    remeasure: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary; rows are without their raw samples."""
        return {
            "choice": self.choice and _row(self.choice),
            "runners_up": [_row(row) for row in self.runners_up],
            "binding": self.binding and _breach(self.binding),
            "next": self.next and _next_step(self.next),
            "relaxation": self.relaxation and _relaxation(self.relaxation),
            "probability_fits": self.probability_fits,
            "probability_best": self.probability_best,
            "safe": self.safe and _row(self.safe),
            "provisional": self.provisional,
            "why": self.why,
            "undecided": [{"id": row.id, "name": row.name} for row in self.undecided],
            "reason": self.reason,
        }


def _row(row: Measurement) -> dict[str, Any]:
    return {name: content for name, content in row.to_json().items() if name != "raw"}


def _next_step(step: NextStep) -> dict[str, Any]:
    breaches = [_breach(breach) for breach in step.breaches]
    return {"row": _row(step.row), "change": step.change, "breaches": breaches}


def _relaxation(relaxation: Relaxation) -> dict[str, Any]:
    breaches = [_breach(breach) for breach in relaxation.breaches]
    return {"row": _row(relaxation.row), "breaches": breaches, "probability": relaxation.probability}


def _breach(breach: Breach) -> dict[str, Any]:
    return {**asdict(breach), "by": breach.by}
