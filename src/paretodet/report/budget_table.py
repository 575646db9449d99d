"""The budget sliders' answers: `recommend` asked beforehand, once at every position that the sliders can take."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np

from paretodet.frontier.recommend import Breach, Budget, Chooser, Recommendation
from paretodet.frontier.values import columns
from paretodet.records.measurement import Measurement
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
from paretodet.report.wording import spread

MOST_STOPS = {"latency_ms_p50": 19}  # limits a slider offers beside none: three have at most 20 * 8 * 8 positions
MOST = 7  # of the other sliders
SURE = 0.99  # a probability that is not told
MAXIMUM, MINIMUM = "maximum", "minimum"
Labels = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A slider: a limit in the field's own unit at each stop, None for no limit."""

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
    """What the page says at a position: the choice's row id, and texts."""

    choice: str | None
    kicker: str
    title: str
    numbers: tuple[tuple[str, str], ...]
    notes: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class BudgetTable:
    """`table` holds, for each position of the axes (the last one fastest), an index into `distinct`."""

    axes: tuple[Axis, ...]
    table: tuple[int, ...]
    distinct: tuple[BudgetAnswer, ...]
    provisional: bool

    def at(self, *places: int) -> BudgetAnswer:
        """The answer where each slider stands at its place."""
        index = 0
        for axis, place in zip(self.axes, places, strict=True):
            index = index * len(axis.stops) + place
        return self.distinct[self.table[index]]

    def to_json(self) -> dict[str, object]:
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
        answers = [asdict(answer) for answer in self.distinct]
        return {"axes": axes, "table": self.table, "answers": answers, "provisional": self.provisional}


def budget(axes: Sequence[Axis], limits: Sequence[float | None]) -> Budget:
    """The budget that the sliders mean; an axis without a limit is not in it."""
    pairs = [(axis, limit) for axis, limit in zip(axes, limits, strict=True) if limit is not None]
    chosen = {kind: {axis.field: limit for axis, limit in pairs if axis.kind == kind} for kind in (MAXIMUM, MINIMUM)}
    return Budget(maximum=chosen[MAXIMUM], minimum=chosen[MINIMUM])


def answer_table(rows: Sequence[Measurement], labels: Labels, *, split: str | None = None) -> BudgetTable | None:
    """Every answer of three sliders: latency and memory at most, AP at least. None where no row has an accuracy."""
    chooser = Chooser(rows, split=split)
    whole = chooser.answer(Budget())
    if whole.choice is None:
        return None
    usable = timed(rows, provisional=whole.provisional)
    kinds = (("latency_ms_p50", MAXIMUM), (_memory_field(usable), MAXIMUM), ("ap", MINIMUM))
    axes = tuple(axis for field, kind in kinds if (axis := _axis(usable, field, kind)))
    latencies = {row.id: spread(row) for row in usable}
    found = [
        _answer(chooser.answer(budget(axes, limits)), labels, latencies)
        for limits in product(*(axis.stops for axis in axes))
    ]
    places = {answer: place for place, answer in enumerate(dict.fromkeys(found))}
    table = tuple(places[answer] for answer in found)
    return BudgetTable(axes=axes, table=table, distinct=tuple(places), provisional=whole.provisional)


def _memory_field(rows: Sequence[Measurement]) -> str:
    """The device's memory where every row ran on one that has its own."""
    on_device = all(QUANTITIES["memory_device_mib"].of(row) is not None for row in rows)
    return "memory_device_mib" if on_device else "memory_infer_mib"


def _axis(rows: Sequence[Measurement], field: str, kind: str) -> Axis | None:
    """Stops are the rows' own values, rounded so that the row still fits: between two of them the choice is the same.

    A cost with an interval has a stop at its upper end too, where the row keeps the limit almost certainly.
    """
    found = columns(rows, field)
    ends = np.concatenate([found.point, found.high if kind == MAXIMUM else []]) / QUANTITIES[field].scale
    values = ends[np.isfinite(ends) & (ends > 0)].tolist()
    if not values:
        return None
    stops = sorted({(round_up if kind == MAXIMUM else round_down)(value) for value in values})
    stops = _thinned(stops, most=MOST_STOPS.get(field, MOST))
    return Axis(field=field, kind=kind, stops=(*stops, None) if kind == MAXIMUM else (None, *stops))


def _thinned(stops: Sequence[float], *, most: int) -> list[float]:
    """At most `most`, evenly by rank, the first and the last among them."""
    if len(stops) <= most:
        return list(stops)
    return [stops[round(place * (len(stops) - 1) / (most - 1))] for place in range(most)]


def _answer(found: Recommendation, labels: Labels, latencies: Labels) -> BudgetAnswer:
    """The recommendation in words that do not quote the budget, so that many positions share one answer."""
    if found.choice is None:
        return BudgetAnswer(
            choice=None,
            kicker="Within this budget",
            title="Nothing fits",
            numbers=(),
            notes=(("The smallest step that helps", (_relaxed(found, labels),)),),
        )
    others = tuple(_short(row, labels) for row in found.runners_up)
    return BudgetAnswer(
        choice=found.choice.id,
        kicker="The most accurate within this budget",
        title=labels[found.choice.id],
        numbers=(*_numbers(found.choice, latencies), *_chances(found)),
        notes=(
            *_safe(found, labels),
            ("What a little more would buy", (_next(found, labels),)),
            ("Runners-up", others or ("Nothing else fits.",)),
        ),
    )


def _chances(found: Recommendation) -> Iterator[tuple[str, str]]:
    """The probabilities that are no near certainties."""
    chances = {"Fits the budget": found.probability_fits, "Is the best that fits": found.probability_best}
    for title, chance in chances.items():
        if chance is not None and chance < SURE:
            yield title, f"with probability {probability(chance)}"


def _safe(found: Recommendation, labels: Labels) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The choice of who must not miss the limit, where it is another."""
    if found.safe and found.choice and found.safe.id != found.choice.id:
        yield "The safe choice", (_short(found.safe, labels),)


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


def _next(found: Recommendation, labels: Labels) -> str:
    if found.next is None or found.binding is None:
        return "Nothing more accurate was measured."
    change = ", ".join(_signed(field, value) for field, value in found.next.change.items() if value)
    held = f"{_breach(found.binding)} holds it back"
    return f"{labels[found.next.row.id]} ({change}). {held}."


def _relaxed(found: Recommendation, labels: Labels) -> str:
    if found.relaxation is None:
        return "No row knows every number that this budget asks for."
    needs = listed([_breach(breach) for breach in found.relaxation.breaches])
    return f"{labels[found.relaxation.row.id]} would fit with {needs}."


def _breach(breach: Breach) -> str:
    title = QUANTITIES[breach.field].title
    title = title if title.isupper() else title.lower()
    return f"{title} {'up to' if breach.kind == MAXIMUM else 'down to'} {_amount(breach.field, breach.needed)}"


def _amount(field: str, value: float) -> str:
    quantity = QUANTITIES[field]
    return quantity.with_unit(value / quantity.scale)


def _signed(field: str, value: float) -> str:
    quantity = QUANTITIES[field]
    number = significant(abs(value) / quantity.scale, 2 if quantity.decimals else 3)
    return f"{'+' if value > 0 else '−'}{number} {quantity.unit or quantity.title}"
