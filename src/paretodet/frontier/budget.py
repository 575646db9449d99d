"""What is asked and what is answered: a budget, and a recommendation with all that stands around it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from paretodet.frontier.chances import MAXIMUM, MINIMUM, Limit
from paretodet.frontier.values import GAINS, known_field
from paretodet.records.measurement import Measurement


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a detector may cost at most and must give at least, in the units of the fields named; bounds are allowed.

    `goal` is an accuracy to make large or a cost to make small. `confident` holds the budget to the unfavorable end
    of every 95 % interval, not to the middle. Raises ValueError naming the field, its value and what is allowed.
    """

    maximum: Mapping[str, float] = field(default_factory=dict)
    minimum: Mapping[str, float] = field(default_factory=dict)
    goal: str = "ap"
    confident: bool = False

    def __post_init__(self) -> None:
        for name in (self.goal, *self.maximum, *self.minimum):
            known_field(name)
        for kind, limits in (("maximum", self.maximum), ("minimum", self.minimum)):
            for name, limit in limits.items():
                if not (math.isfinite(limit) and limit >= 0):
                    raise ValueError(f"{kind} of {name} is {limit}; it must be a number of at least 0")
        for name in self.maximum.keys() & self.minimum.keys():
            if self.minimum[name] > self.maximum[name]:
                raise ValueError(f"minimum of {name} is {self.minimum[name]}, above its maximum {self.maximum[name]}")

    @property
    def asks_accuracy(self) -> bool:
        return any(name in GAINS for name in self.fields)

    @property
    def fields(self) -> tuple[str, ...]:
        """The goal and what is limited, each once."""
        return tuple(dict.fromkeys((self.goal, *self.maximum, *self.minimum)))

    @property
    def limits(self) -> tuple[Limit, ...]:
        most = (Limit(name, MAXIMUM, limit) for name, limit in self.maximum.items())
        return (*most, *(Limit(name, MINIMUM, limit) for name, limit in self.minimum.items()))


@dataclass(frozen=True, kw_only=True)
class Breach:
    """A limit that a row does not keep: `needed` is the limit under which it would."""

    field: str
    kind: str  # "maximum" or "minimum"
    limit: float
    needed: float

    @property
    def by(self) -> float:
        """How far the limit would have to move, in the field's unit."""
        return abs(self.needed - self.limit)

    @property
    def share(self) -> float:
        """The same as a share of the limit."""
        return self.by / self.limit if self.limit else math.inf


@dataclass(frozen=True, kw_only=True)
class NextStep:
    """The row that a little more budget buys; `change` is its goal and its limited fields minus the choice's."""

    row: Measurement
    change: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Relaxation:
    """The row that comes nearest when nothing fits, the limits to move for it, and how likely it fits as they are."""

    row: Measurement
    breaches: tuple[Breach, ...]
    probability: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The answer to a budget; `reason` says it in sentences.

    The choice has the most of the goal of the rows whose middle keeps every limit; `probability_fits` is that it
    does keep them, `probability_best` that it is also the best of all that do. `safe` is the best row that keeps them
    at the unfavorable end of its intervals. The answer is provisional where fewer than two rows could be trusted.
    Where it hangs on the width of an interval, or on a row that was left out, `undecided` holds these rows and `again`
    the words of the command that measures them.
    """

    choice: Measurement | None
    runners_up: tuple[Measurement, ...]  # at most two: the next best that fit
    binding: Breach | None  # the limit that stops `next`, None where nothing better was measured
    next: NextStep | None  # of the better rows the one that needs the smallest relaxation
    relaxation: Relaxation | None  # None where there is a choice
    reason: str
    probability_fits: float | None = None
    probability_best: float | None = None
    safe: Measurement | None = None
    provisional: bool = False
    why: str = ""
    undecided: tuple[Measurement, ...] = ()
    again: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; rows without their raw samples."""
        return {
            "choice": self.choice and _row(self.choice),
            "runners_up": [_row(row) for row in self.runners_up],
            "binding": self.binding and _breach(self.binding),
            "next": self.next and {"row": _row(self.next.row), "change": self.next.change},
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


def _relaxation(found: Relaxation) -> dict[str, Any]:
    breaches = [_breach(each) for each in found.breaches]
    return {"row": _row(found.row), "breaches": breaches, "probability": found.probability}


def _breach(breach: Breach) -> dict[str, Any]:
    return {**asdict(breach), "by": breach.by}
