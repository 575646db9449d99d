"""The answers for the page's budget sliders: `recommend`, computed in advance for every position of the sliders."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import product

import numpy as np

from paretodet.frontier.recommend import Breach, Budget, Chooser, Recommendation
from paretodet.frontier.values import columns
from paretodet.records.measurement import Measurement
from paretodet.report.document import Pool
from paretodet.report.figures import timed
from paretodet.report.formats import (
    QUANTITIES,
    UNKNOWN,
    accuracy,
    listed,
    probability,
    round_down,
    round_up,
    significant,
)
from paretodet.report.frontier_wording import widened_latency

MAX_STOPS = {"latency_ms_p50": 19}  # limits of a slider besides "none": three sliders have at most 20 * 8 * 8 positions
OTHER_STOPS = 7  # of the other sliders
CERTAIN = 0.99  # a probability from here on is not shown
MAXIMUM, MINIMUM = "maximum", "minimum"
Labels = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A slider: every stop is a limit in the field's unit, or None for no limit."""

    field: str
    kind: str
    stops: tuple[float | None, ...]

    @property
    def free(self) -> int:
        """The stop without a limit."""
        return self.stops.index(None)

    @property
    def label(self) -> str:
        return f"{QUANTITIES[self.field].title} at {'most' if self.kind == MAXIMUM else 'least'}"

    def text(self, limit: float | None) -> str:
        return ("no limit" if self.kind == MAXIMUM else "any") if limit is None else _amount(self.field, limit)


@dataclass(frozen=True, kw_only=True)
class BudgetAnswer:
    """The answer at one position of the sliders: the choice's row id, and texts."""

    choice: str | None
    kicker: str
    title: str
    numbers: tuple[tuple[str, str], ...]
    notes: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class BudgetTable:
    """`table` has an index into `distinct` for every position of the axes; the last axis varies fastest."""

    axes: tuple[Axis, ...]
    table: tuple[int, ...]
    distinct: tuple[BudgetAnswer, ...]
    provisional: bool

    @property
    def unlimited(self) -> BudgetAnswer:
        """The answer without any limit."""
        return self.at(*(axis.free for axis in self.axes))

    def at(self, *stops: int) -> BudgetAnswer:
        """The answer at a stop of every axis."""
        index = 0
        for axis, stop in zip(self.axes, stops, strict=True):
            index = index * len(axis.stops) + stop
        return self.distinct[self.table[index]]

    def to_json(self) -> dict[str, object]:
        """The table for the page's script: many answers share texts and notes, so each of their parts is kept once."""
        axes = [
            {
                "field": axis.field,
                "label": axis.label,
                "free": axis.free,
                "stops": axis.stops,
                "texts": [axis.text(stop) for stop in axis.stops],
            }
            for axis in self.axes
        ]
        parts = Pool()
        answers = [parts.add(astuple(answer)) for answer in self.distinct]
        return {
            "axes": axes,
            "table": self.table,
            "answers": answers,
            "parts": parts.parts,
            "provisional": self.provisional,
        }


def budget(axes: Sequence[Axis], limits: Sequence[float | None]) -> Budget:
    """The budget of these limits, one for every axis; None is no limit."""
    pairs = [(axis, limit) for axis, limit in zip(axes, limits, strict=True) if limit is not None]
    chosen = {kind: {axis.field: limit for axis, limit in pairs if axis.kind == kind} for kind in (MAXIMUM, MINIMUM)}
    return Budget(maximum=chosen[MAXIMUM], minimum=chosen[MINIMUM])


def budget_table(rows: Sequence[Measurement], labels: Labels, *, split: str | None = None) -> BudgetTable | None:
    """All answers of three sliders: maximum latency, maximum memory, minimum AP. None if no row has an accuracy."""
    chooser = Chooser(rows, split=split)
    whole = chooser.answer(Budget())
    if whole.choice is None:
        return None
    usable = timed(rows, provisional=whole.provisional)
    kinds = (("latency_ms_p50", MAXIMUM), (_memory_field(usable), MAXIMUM), ("ap", MINIMUM))
    axes = tuple(axis for field, kind in kinds if (axis := _axis(usable, field, kind)))
    latencies = {row.id: widened_latency(row) for row in usable}
    answers = [
        _answer(chooser.answer(budget(axes, limits)), labels, latencies)
        for limits in product(*(axis.stops for axis in axes))
    ]
    index = {answer: place for place, answer in enumerate(dict.fromkeys(answers))}
    table = tuple(index[answer] for answer in answers)
    return BudgetTable(axes=axes, table=table, distinct=tuple(index), provisional=whole.provisional)


def _memory_field(rows: Sequence[Measurement]) -> str:
    """The device's memory if every row ran on a device with its own memory, else the process's."""
    on_device = all(QUANTITIES["memory_device_mib"].of(row) is not None for row in rows)
    return "memory_device_mib" if on_device else "memory_infer_mib"


def _axis(rows: Sequence[Measurement], field: str, kind: str) -> Axis | None:
    """A slider whose stops are the rows' values, rounded so that the row still fits; None if there are no values.

    A cost with an interval also has a stop at the upper end, where the row almost certainly keeps the limit.
    """
    values = columns(rows, field)
    ends = np.concatenate([values.point, values.high if kind == MAXIMUM else []]) / QUANTITIES[field].scale
    limits = ends[np.isfinite(ends) & (ends > 0)].tolist()
    if not limits:
        return None
    stops = sorted({(round_up if kind == MAXIMUM else round_down)(limit) for limit in limits})
    stops = _thinned(stops, MAX_STOPS.get(field, OTHER_STOPS))
    return Axis(field=field, kind=kind, stops=(*stops, None) if kind == MAXIMUM else (None, *stops))


def _thinned(stops: Sequence[float], count: int) -> list[float]:
    """At most `count` stops, evenly by rank, with the first and the last."""
    if len(stops) <= count:
        return list(stops)
    return [stops[round(place * (len(stops) - 1) / (count - 1))] for place in range(count)]


def _answer(answer: Recommendation, labels: Labels, latencies: Labels) -> BudgetAnswer:
    """The recommendation in texts without the budget's numbers, so that many positions share one answer."""
    if answer.choice is None:
        return BudgetAnswer(
            choice=None,
            kicker="Within this budget",
            title="Nothing fits",
            numbers=(),
            notes=(("Smallest change that helps", (_relaxed(answer, labels),)),),
        )
    others = tuple(_short(row, labels) for row in answer.runners_up)
    return BudgetAnswer(
        choice=answer.choice.id,
        kicker="The most accurate within this budget",
        title=labels[answer.choice.id],
        numbers=(*_numbers(answer.choice, latencies), *_chances(answer)),
        notes=(
            *_safe(answer, labels),
            ("With a slightly larger budget", (_next(answer, labels),)),
            ("Runners-up", others or ("Nothing else fits.",)),
        ),
    )


def _chances(answer: Recommendation) -> Iterator[tuple[str, str]]:
    """The probabilities that are not close to 1."""
    chances = {"Fits the budget": answer.probability_fits, "Is the best that fits": answer.probability_best}
    for title, chance in chances.items():
        if chance is not None and chance < CERTAIN:
            yield title, f"with probability {probability(chance)}"


def _safe(answer: Recommendation, labels: Labels) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The best row that almost certainly keeps the limits, if it is not the choice."""
    if answer.safe and answer.choice and answer.safe.id != answer.choice.id:
        yield "The safe choice", (_short(answer.safe, labels),)


def _numbers(row: Measurement, latencies: Labels) -> tuple[tuple[str, str], ...]:
    memory = _memory_field([row])
    return (
        ("AP", accuracy(row)),
        ("Latency", latencies.get(row.id, UNKNOWN)),
        (QUANTITIES[memory].title, QUANTITIES[memory].text(row)),
        ("Parameters", QUANTITIES["parameters"].text(row)),
    )


def _short(row: Measurement, labels: Labels) -> str:
    return f"{labels[row.id]}: AP {accuracy(row)}, {QUANTITIES['latency_ms_p50'].text(row)}"


def _next(answer: Recommendation, labels: Labels) -> str:
    if answer.next is None:
        return "Nothing more accurate was measured."
    change = ", ".join(_signed(field, value) for field, value in answer.next.change.items() if value)
    return f"{labels[answer.next.row.id]} ({change}) fits with {_needs(answer.next.breaches)}."


def _relaxed(answer: Recommendation, labels: Labels) -> str:
    if answer.relaxation is None:
        return "No row has all the numbers that this budget limits."
    return f"{labels[answer.relaxation.row.id]} would fit with {_needs(answer.relaxation.breaches)}."


def _needs(breaches: Sequence[Breach]) -> str:
    return listed([_breach(breach) for breach in breaches])


def _breach(breach: Breach) -> str:
    """The limit that is enough: rounded in the direction that admits the row."""
    quantity, upwards = QUANTITIES[breach.field], breach.kind == MAXIMUM
    title = quantity.title if quantity.title.isupper() else quantity.title.lower()
    needed = quantity.bound(breach.needed / quantity.scale, upwards=upwards)
    return f"{title} {'up to' if upwards else 'down to'} {quantity.with_unit(needed)}"


def _amount(field: str, value: float) -> str:
    quantity = QUANTITIES[field]
    return quantity.with_unit(value / quantity.scale)


def _signed(field: str, value: float) -> str:
    quantity = QUANTITIES[field]
    number = significant(abs(value) / quantity.scale, 2 if quantity.decimals else 3)
    return f"{'+' if value > 0 else '−'}{number} {quantity.unit or quantity.title}"
