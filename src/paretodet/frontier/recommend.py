"""A budget in, a detector out: the choice, what stands beside it, what stops the next one, and why."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from paretodet.bench.record import Measurement
from paretodet.frontier.called import row_labels
from paretodet.frontier.values import (
    GAINS,
    MEASURED,
    Group,
    amount,
    entering,
    group,
    groups,
    known_field,
    mixtures,
    noun,
    value,
)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a detector may cost at most and must give at least, in the units of the fields named; bounds are allowed.

    `goal` is an accuracy to make large or a cost to make small. `confident` holds the budget to the unfavourable end
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
        return any(name in GAINS for name in (self.goal, *self.maximum, *self.minimum))


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
class Step:
    """The row that a little more budget buys; `change` is its goal and its limited fields minus the choice's."""

    row: Measurement
    change: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Relaxation:
    """The row that comes nearest when nothing fits, and the limits to move for it."""

    row: Measurement
    breaches: tuple[Breach, ...]


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The answer to a budget; `reason` says it in sentences."""

    choice: Measurement | None
    runners_up: tuple[Measurement, ...]  # at most two: the next best that fit
    binding: Breach | None  # the limit that stops `next`, None where nothing better was measured
    next: Step | None  # of the better rows the one that needs the smallest relaxation
    relaxation: Relaxation | None  # None where there is a choice
    reason: str

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; rows without their raw samples."""
        return {
            "choice": self.choice and _row(self.choice),
            "runners_up": [_row(row) for row in self.runners_up],
            "binding": self.binding and _breach(self.binding),
            "next": self.next and {"row": _row(self.next.row), "change": self.next.change},
            "relaxation": self.relaxation
            and {"row": _row(self.relaxation.row), "breaches": [_breach(each) for each in self.relaxation.breaches]},
            "reason": self.reason,
        }


def _row(row: Measurement) -> dict[str, Any]:
    return {name: content for name, content in row.to_json().items() if name != "raw"}


def _breach(breach: Breach) -> dict[str, Any]:
    return {**asdict(breach), "by": breach.by}


class _Tried(NamedTuple):
    """A row against the budget."""

    row: Measurement
    breaches: tuple[Breach, ...]


def recommend(
    rows: Sequence[Measurement], budget: Budget, *, split: str | None = None, include_invalid: bool = False
) -> Recommendation:
    """The best row within the budget, and what stands around it.

    Better is more of the goal (less of a cost); ties go to the lower latency, then to name and id. A row that does not
    know the goal or a limited field cannot be shown to fit and is left aside. The smallest relaxation is the smallest
    sum of shares by which limits move. Accuracy is that of one group of rows (see `values.group`).
    """
    trusted, left_out = entering(rows, include_invalid=include_invalid)
    comparable = _comparable(trusted, budget, split, left_out)
    known = [row for row in comparable.rows if all(value(row, name) for name in _fields(budget))]
    tried = [_Tried(row, _breaches(row, budget, comparable.slack)) for row in sorted(known, key=_ranking(budget))]
    fitting = [each.row for each in tried if not each.breaches]
    found = _around(tried, fitting, budget)
    unknown, fields = len(comparable.rows) - len(known), ", ".join(noun(name) for name in _fields(budget))
    notes = (
        *comparable.notes,
        *mixtures(known),
        *((f"Left aside, not knowing all of {fields}: {unknown} rows.",) if unknown else ()),
        *((f"Left out as not valid: {left_out} of {len(rows)} rows.",) if left_out else ()),
    )
    return replace(found, reason=" ".join((*_sentences(found, budget, len(fitting), known), *notes)))


def first_question(rows: Sequence[Measurement]) -> dict[str, Any]:
    """What to ask of `rows` to begin with, as options of `paretodet recommend`, so that one of them is the answer: the
    middle latency as the limit where their AP is known, else the least latency. Empty where none has a latency.

    Measured AP is asked for by the name of its own group: a store may hold a larger one, of other labels.
    """
    timed = [row for row in rows if row.latency_ms_p50 is not None]
    trusted, _ = entering(timed)
    invalid = (
        {} if trusted or not timed else {"include_invalid": True, "run": timed[0].run}
    )  # else older valid ones come
    scored = groups(trusted or timed)
    measured = [label for label in scored if label.startswith(f"{MEASURED}:")]
    asked = scored[measured[0]] if measured else [row for each in scored.values() for row in each]
    if not asked:
        return {"goal": "latency_ms_p50"} | invalid if timed else {}
    middle = sorted(row.latency_ms_p50 for row in asked if row.latency_ms_p50 is not None)[len(asked) // 2]
    split = {"split": measured[0]} if measured else {}
    return split | {"max_ms": math.ceil(10 * middle) / 10} | invalid


def _around(tried: Sequence[_Tried], fitting: Sequence[Measurement], budget: Budget) -> Recommendation:
    choice = fitting[0] if fitting else None
    beyond = [
        each for each in tried if each.breaches and (not choice or _goal(each.row, budget) > _goal(choice, budget))
    ]
    nearest = min(beyond, key=lambda each: sum(breach.share for breach in each.breaches), default=None)
    stopped = nearest if choice else None
    return Recommendation(
        choice=choice,
        runners_up=tuple(fitting[1:3]),
        binding=max(stopped.breaches, key=lambda breach: breach.share) if stopped else None,
        next=Step(row=stopped.row, change=_change(stopped.row, choice, budget)) if stopped and choice else None,
        relaxation=Relaxation(row=nearest.row, breaches=nearest.breaches) if nearest and not choice else None,
        reason="",
    )


def _fields(budget: Budget) -> tuple[str, ...]:
    return tuple(dict.fromkeys((budget.goal, *budget.maximum, *budget.minimum)))


def _comparable(rows: tuple[Measurement, ...], budget: Budget, split: str | None, left_out: int) -> Group:
    gains = [name for name in _fields(budget) if name in GAINS]
    return group(rows, gains[0], split, left_out=left_out) if gains else Group(label="", rows=rows)


def _point(row: Measurement, name: str) -> float:
    found = value(row, name)
    return math.nan if found is None else found.point


def _goal(row: Measurement, budget: Budget) -> float:
    """The larger the better."""
    return _point(row, budget.goal) * (1 if budget.goal in GAINS else -1)


def _ranking(budget: Budget) -> Callable[[Measurement], tuple[float, float, str, str]]:
    def rank(row: Measurement) -> tuple[float, float, str, str]:
        latency = math.inf if row.latency_ms_p50 is None else row.latency_ms_p50
        return -_goal(row, budget), latency, row.name, row.id

    return rank


def _breaches(row: Measurement, budget: Budget, slack: float) -> tuple[Breach, ...]:
    """Every limit that the row does not keep, by its middle or, where the budget is confident, its bad end."""
    found = []
    for kind, limits in (("maximum", budget.maximum), ("minimum", budget.minimum)):
        for name, limit in limits.items():
            held = value(row, name, slack=slack)
            assert held is not None
            end = held.high if kind == "maximum" else held.low
            needed = end if budget.confident else held.point
            if needed > limit if kind == "maximum" else needed < limit:
                found.append(Breach(field=name, kind=kind, limit=limit, needed=needed))
    return tuple(found)


def _change(row: Measurement, choice: Measurement, budget: Budget) -> dict[str, float]:
    return {name: _point(row, name) - _point(choice, name) for name in _fields(budget)}


def _sentences(found: Recommendation, budget: Budget, fitting: int, known: Sequence[Measurement]) -> Iterator[str]:
    called = row_labels(known)

    def with_goal(row: Measurement) -> str:
        return f"{called[row.id]} ({noun(budget.goal)} {amount(budget.goal, _point(row, budget.goal))})"

    if found.choice:
        most = "most" if budget.goal in GAINS else "least"
        chosen = f"{with_goal(found.choice)} has the {most} {noun(budget.goal)}"
        yield f"{chosen} of the {fitting} rows (of {len(known)}) that fit: {_asked(budget)}."
        if found.runners_up:
            yield f"Next best: {', '.join(map(with_goal, found.runners_up))}."
        yield (
            _next_sentence(called[found.next.row.id], found.next, found.binding)
            if found.next and found.binding
            else "Nothing measured is better."
        )
    elif found.relaxation:
        moves = " and ".join(_move(breach) for breach in found.relaxation.breaches)
        yield f"None of {len(known)} rows fits: {_asked(budget)}."
        yield f"The nearest is {with_goal(found.relaxation.row)}, stopped by {moves}."
    else:
        yield "There is no row to choose from."


def _asked(budget: Budget) -> str:
    limits = [f"{noun(name)} at most {amount(name, limit)}" for name, limit in budget.maximum.items()]
    limits += [f"{noun(name)} at least {amount(name, limit)}" for name, limit in budget.minimum.items()]
    return (" and ".join(limits) or "no limit") + (", at 95 % confidence" if budget.confident else "")


def _next_sentence(called: str, step: Step, binding: Breach) -> str:
    change = ", ".join(f"{noun(name)} {'+' if by > 0 else ''}{amount(name, by)}" for name, by in step.change.items())
    return f"The next better is {called} ({change}); it is stopped by {_move(binding)}."


def _move(breach: Breach) -> str:
    way = "more" if breach.kind == "maximum" else "less"
    needed, by = amount(breach.field, breach.needed), amount(breach.field, breach.by)
    return f"{noun(breach.field)}, which it needs at {needed}, {by} {way} than the limit"
