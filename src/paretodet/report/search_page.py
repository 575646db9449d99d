"""One self-contained HTML page about a search: what was known after each minute, what was measured, what was not."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from markupsafe import Markup

from paretodet.errors import InputError
from paretodet.frontier.dominance import SURE
from paretodet.frontier.search import standing
from paretodet.frontier.searched import SearchResult
from paretodet.frontier.values import Columns, Value
from paretodet.report import searched, wording
from paretodet.report.charts import AXIS
from paretodet.report.document import render
from paretodet.report.drawing import DrawingStyle, points
from paretodet.report.families import family_of
from paretodet.report.formats import QUANTITIES, few, listed, plural, probability
from paretodet.report.scatter import LABEL_FONT, Point, ScatterPlot, lay_out, place_labels
from paretodet.report.search_chart import BEATEN, HIDDEN, MEMBER, OFF, OPEN, search_chart, stairs_of
from paretodet.report.theme import by_property
from paretodet.writing import write_text

STYLE = DrawingStyle(width=1016, paint=by_property, largest_font=16.0)
SHOWN = 300  # configurations that are drawn
LISTED = 400  # configurations of the table of those that need not be measured
STEPS = (5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)  # s between two stops of the slider
MAX_STOPS = 41
READING = (
    "A configuration is a detector at one size and number of proposals, in one runtime and precision. Filled points "
    "were measured; hollow points are predictions of the cost, learned from those measured so far. The bar through "
    "a point is its 95 % interval. The staircase is the frontier of what was measured.",
    "Move the slider to see what was known after a part of the time. The search measures what promises to add most to "
    "the frontier for each second that its measurement takes, with the time to export and to compile. It ends when the "
    f"place of every configuration is known with a probability of at least {100 * SURE:.0f} %, or when time is over.",
    "The probability says how likely a configuration is on the frontier of all configurations, including those that "
    "were never measured. A configuration that needs no measurement is one that, by its prediction, is surely beaten: "
    "another one costs no more and is at least as good.",
)


@dataclass(frozen=True, kw_only=True)
class _Moment:
    """What was known at one stop of the slider."""

    label: str
    text: str
    kinds: list[int]
    cost: Columns
    gain: Columns
    members: list[tuple[int, str, str, str]]  # index, and gain, cost and probability as texts


def search_page(result: SearchResult) -> str:
    """The page as HTML. Raises InputError if nothing was measured."""
    if not result.measured.any():
        raise InputError("rows: a page needs a measured configuration, the search has none", "rows-none")
    labels = searched.labels_of(result)
    moments = [_moment(result, stop) for stop in stops(result.spent)]
    shown = _shown(result)
    plane = _plane(result, shown, labels)
    rows = [each.row for each in result.configurations if each.row]
    return render(
        "search",
        title=f"{plural(len(result), 'configuration')}, searched on {wording.title(rows).rpartition(' on ')[2]}",
        lead=f"{searched.summary(result)} Measured on {wording.period(rows)}.",
        moments=[{"label": moment.label, "text": moment.text} for moment in moments],
        titles=_titles(result),
        drawing=Markup(search_chart(plane, [str(index) for index in shown], STYLE).inline()),
        alt=f"{_titles(result)[1]} against {_titles(result)[2].lower()}; the frontier is listed beside the chart.",
        caption=_caption(result, shown),
        members=_members(moments[-1], labels),
        spared=[*_open(result, labels), *searched.spared(result, labels), *searched.avoided(result)],
        table=_table(result, labels),
        more=max(0, len(result.spared) - LISTED),
        failed=[f"{label}: {reason}." for label, reason in searched.failures(result, labels)],
        left_out=[f"{few(left.labels)}: {left.reason}." for left in result.left_out],
        notes=list(result.notes),
        facts=wording.facts(rows, result.split),
        reading=READING,
        footer=wording.FOOTER,
        data={
            "moments": [_frame(moment, plane, shown, labels) for moment in moments],
            "notes": {str(index): _note(result, labels, index) for index in shown},
        },
    )


def write_search_page(result: SearchResult, path: str | Path) -> Path:
    """Writes the page atomically and returns its path. Raises OSError, and what `search_page` raises."""
    path = Path(path)
    write_text(path, search_page(result))
    return path


def stops(spent: float) -> list[float]:
    """The moments of the slider, in seconds: from 0 in even steps, at most 41, and the end."""
    step = next((step for step in STEPS if spent / step < MAX_STOPS - 1), spent / (MAX_STOPS - 2) or 1.0)
    return [*(step * float(count) for count in range(math.ceil(spent / step))), spent]


def _moment(result: SearchResult, stop: float) -> _Moment:
    space = result.space(stop)
    known = standing(space)
    probable = known.membership > 1 - SURE
    kinds = np.where(probable, np.where(space.measured, MEMBER, OPEN), np.where(space.measured, OFF, BEATEN))
    kinds[space.excluded | ~np.isfinite(known.cost.point) | ~np.isfinite(known.gain.point)] = HIDDEN
    members = sorted(np.flatnonzero(kinds == MEMBER).tolist(), key=lambda index: known.cost.point[index])
    count, is_open = int(space.measured.sum()), int((~known.decided).sum())
    undecided = f"{is_open:,} undecided" if is_open else "all decided"
    return _Moment(
        label=searched.duration(stop),
        text=f"{count:,} measured, {undecided}, {plural(len(members), 'member')}",
        kinds=kinds.tolist(),
        cost=known.cost,
        gain=known.gain,
        members=[
            (
                index,
                searched.gain_text(result, index, _value(known.gain, index)),
                searched.cost_text(result.cost, _value(known.cost, index)),
                probability(float(known.membership[index])),
            )
            for index in members
        ],
    )


def _value(column: Columns, index: int) -> Value:
    return Value(*(float(part[index]) for part in column))


def _shown(result: SearchResult) -> list[int]:
    """The configurations that are drawn: those measured, then those that are most probably on the frontier."""
    drawn = ~result.now.excluded & np.isfinite(result.standing.cost.point) & np.isfinite(result.standing.gain.point)
    rank = np.lexsort((-result.standing.membership, ~result.measured, ~drawn))
    return sorted(rank[: min(SHOWN, int(drawn.sum()))].tolist())


def _plane(result: SearchResult, shown: Sequence[int], labels: Sequence[str]) -> ScatterPlot:
    """The plot at the end of the search."""
    members = {*result.members}
    scale = _scale(result.cost)
    plotted = []
    for index in shown:
        cost, gain, measured = result.cost_of(index), result.gain_of(index), bool(result.measured[index])
        plotted.append(
            Point(
                key=str(index),
                label=labels[index],
                family=family_of(result.configurations[index].expected.name),
                x=cost.point / scale,
                y=gain.point,
                x_low=cost.low / scale if measured else None,
                x_high=cost.high / scale if measured else None,
                estimated=bool(result.estimated[index]),
                on_frontier=index in members,
            )
        )
    _, gain_title, cost_title = _titles(result)
    plane = lay_out(plotted, cost_title, gain_title, STYLE.width - AXIS, STYLE.largest_font)
    marked = [point for point in plotted if point.x_low is not None]
    return replace(plane, labels=place_labels(marked, plane.scale, LABEL_FONT, plane.staircase, 0.0))


def _titles(result: SearchResult) -> tuple[str, str, str]:
    """The titles of configurations, of the gain and of the cost."""
    cost, gain = result.cost, result.gain.removeprefix("-")
    axis = QUANTITIES[cost].axis if cost in QUANTITIES else searched.title_of(cost)
    better = searched.title_of(gain) if gain == result.gain else f"Less {searched.title_of(gain).lower()}"
    return "Configuration", better, axis


def _scale(field: str) -> float:
    return QUANTITIES[field].scale if field in QUANTITIES else 1.0


def _frame(moment: _Moment, plane: ScatterPlot, shown: Sequence[int], labels: Sequence[str]) -> dict[str, object]:
    """What the script draws at a stop: the places of all marks in px, the staircase, and the list of members."""
    return {
        "label": moment.label,
        "text": moment.text,
        "marks": [_mark(moment, plane, index) for index in shown],
        "stairs": points(stairs_of(plane, [_place(moment, plane, index) for index, *_ in moment.members])),
        "members": _members(moment, labels),
    }


def _mark(moment: _Moment, plane: ScatterPlot, index: int) -> list[float]:
    """Kind, x, y, and both ends of the interval of the cost."""
    kind = moment.kinds[index]
    if kind == HIDDEN:
        return [HIDDEN]
    x, y = _place(moment, plane, index)
    cost = _value(moment.cost, index)
    ends = (plane.scale.to_px(max(end, 1e-9), plane.y_domain[0])[0] for end in (cost.low, cost.high))
    return [kind, *(round(place, 1) for place in (x, y, *ends))]


def _place(moment: _Moment, plane: ScatterPlot, index: int) -> tuple[float, float]:
    return plane.scale.to_px(max(float(moment.cost.point[index]), 1e-9), float(moment.gain.point[index]))


def _members(moment: _Moment, labels: Sequence[str]) -> list[list[str]]:
    return [[labels[index], *texts] for index, *texts in moment.members]


def _note(result: SearchResult, labels: Sequence[str], index: int) -> list[tuple[str, str]]:
    """The tooltip of a configuration: what was known at the end."""
    gain, cost = searched.numbers_of(result, index)
    _, gain_title, _ = _titles(result)
    known, by = result.configurations[index], None if index in result.members else result.beaten_by(index)
    when = f" after {searched.duration(known.finished)}" if known.row and known.finished else ""
    lines = [
        ("Name", labels[index]),
        (gain_title, gain),
        (searched.title_of(result.cost), cost),
        ("Basis", searched.basis(result, index) + when),
        ("Frontier", f"probability {probability(float(result.standing.membership[index]))}"),
    ]
    return lines if by is None else [*lines, ("Beaten by", labels[by])]


def _caption(result: SearchResult, shown: Sequence[int]) -> str:
    guess = " Hollow with a solid bar: measured, with an estimated AP." if result.estimated[list(shown)].any() else ""
    rest = _hidden(result, shown)
    return f"Filled: measured. Hollow: predicted.{guess} Pale: surely beaten. Bars: 95 % intervals.{rest}"


def _hidden(result: SearchResult, shown: Sequence[int]) -> str:
    """How many configurations that can be measured are not drawn, and why."""
    hidden = ~result.now.excluded
    hidden[list(shown)] = False
    beaten, predicted = result.standing.membership <= 1 - SURE, np.isfinite(result.standing.cost.point)
    reasons = {
        "surely beaten": hidden & predicted & beaten,
        "less likely to be on the frontier than these": hidden & predicted & ~beaten,
        "not predicted yet": hidden & ~predicted,
    }
    parts = [f"{count:,} {why}" for why, mask in reasons.items() if (count := int(mask.sum()))]
    are = "is" if hidden.sum() == 1 else "are"
    return f" {plural(int(hidden.sum()), 'configuration')} {are} not drawn: {listed(parts)}." if parts else ""


def _open(result: SearchResult, labels: Sequence[str]) -> Iterator[str]:
    """Which configurations may be on the frontier and were not measured, the most probable first."""
    if ranked := sorted(result.candidates, key=lambda index: -result.standing.membership[index]):
        count = f"{plural(len(ranked), 'configuration')} {'was' if len(ranked) == 1 else 'were'} not measured"
        yield f"{count} and may be on the frontier: {few([labels[index] for index in ranked])}."


def _table(result: SearchResult, labels: Sequence[str]) -> list[list[str]]:
    """Those that need not be measured: label, gain, predicted cost, probability and what beats them."""
    return [list(line) for line in _lines(result, labels)]


def _lines(result: SearchResult, labels: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for index in sorted(result.spared, key=lambda index: -result.standing.membership[index])[:LISTED]:
        by = result.beaten_by(index)
        share = probability(float(result.standing.membership[index]))
        yield labels[index], *searched.numbers_of(result, index), share, "" if by is None else labels[by]
