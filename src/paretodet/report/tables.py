"""Tables of rows and frontiers for the terminal, and a frontier as a PNG file."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path

from rich.table import Table
from rich.text import Text

from paretodet.errors import InputError
from paretodet.frontier.pareto import Frontier, pareto_frontier
from paretodet.frontier.row_labels import differing_execution, row_labels
from paretodet.frontier.values import value
from paretodet.records.measurement import GAINS, Measurement
from paretodet.report import frontier_wording, wording
from paretodet.report.drawing import DrawingStyle, titled
from paretodet.report.formats import (
    QUANTITIES,
    accuracy,
    executed,
    field_text,
    field_title,
    latency,
    plain,
    plural,
    probability,
    short_reason,
    significant,
)
from paretodet.report.scatter import frontier_plane
from paretodet.report.theme import LIGHT

_COSTS = ("memory_infer_mib", "parameters", "flops")
COLUMNS = {  # the columns that `--columns` adds, by its value
    "cold": ("load_ms", "first_ms"),
    "build": ("export_ms", "compile_ms", "precision_layers"),
    "floor": ("floor_ms", "floor_pct"),
}
_TEXTS: Mapping[str, tuple[str, Callable[[Measurement], str]]] = {  # columns that are no quantities: title and text
    "runtime": ("Runtime", attrgetter("runtime")),
    "precision": ("Precision", attrgetter("precision")),
    "precision_layers": ("Layers", executed),
}
CHART_WIDTH = 860  # px
MAX_MORE = 2  # further columns beside memory and work
MIN_VALIDITY = 16  # characters that reasons have room for
MIN_NAME = 20  # characters that names have room for beside many columns


def rows_table(rows: Sequence[Measurement], *, more: Sequence[str] = ()) -> Table:
    """All rows in the order given, with `more` fields; rows that are not usable are dim and show the cause.

    Runtime and precision are columns where rows differ in them. Many further fields replace memory and work.
    """
    shared, execution = wording.unwatched(rows), differing_execution(rows)
    costs = _COSTS if len(more) <= MAX_MORE else ()
    labels, fields = row_labels(rows, apart=execution), ("latency_ms_p95", *more, *costs)
    table = _table("Detector", *map(_title, execution), "AP", "Latency (95 %)", *map(_title, fields), "Validity")
    for row in rows:
        how, numbers = (_cells(row, columns) for columns in (execution, fields))
        trust = short_reason(row, wording.validity(row, shared))
        cells = (labels[row.id], *how, accuracy(row), latency(row), *numbers, trust)
        table.add_row(*_texts(cells), style=None if row.usable else "dim")
    return table


def footnote(rows: Sequence[Measurement], *, more: Sequence[str] = ()) -> str:
    """The notes below a table with `more` fields in one line: on rows, on the machine, and how to read full reasons.

    May be empty.
    """
    unusable = any(not row.usable for row in rows)
    reasons = ["Full reasons: `paretodet frontier --json`."] if unusable else []
    labels = row_labels(rows, stated=differing_execution(rows))
    reached = wording.ceilings(rows) if "floor_ms" in more else ""
    ceilings = [f"Measured ceilings: {reached}."] if reached else []
    return " ".join((*wording.row_notes(rows, labels), *ceilings, *wording.machine_notes(rows), *reasons))


def frontier_table(frontier: Frontier, *, more: Sequence[str] = ()) -> Table:
    """The members from the cheapest to the costliest, with the probability that they are on the frontier and `more`
    fields.

    Where AP is estimated, improbable members are left out. Intervals include what a disturbance may have changed. A
    provisional frontier shows the validity of every row.
    """
    listed = frontier_wording.listed_members(frontier)
    members = [member.row for member in listed]
    shared, execution = wording.unwatched(members), differing_execution(members)
    labels = row_labels(members, apart=execution)
    gain = frontier.gain.removeprefix("-")  # a minus sign marks a cost to minimize
    titles = (_title(field) for field in (gain, frontier.cost, *more))
    first, last = ("Provisional frontier", ("Validity",)) if frontier.provisional else ("Frontier", ())
    table = _table(first, *map(_title, execution), *titles, "Probability", *last)
    for member in listed:
        row, sure = member.row, f"{probability(member.probability)}{' tied' if member.tied else ''}"
        cells = (_cell(row, field) for field in (gain, frontier.cost, *more))
        trust = [short_reason(row, wording.validity(row, shared)) for _ in last]
        table.add_row(*_texts((labels[row.id], *_cells(row, execution), *cells, sure, *trust)))
    return table


def _title(field: str) -> str:
    """The title of a column."""
    return _TEXTS[field][0] if field in _TEXTS else field_title(field)


def _cells(row: Measurement, fields: Iterable[str]) -> list[str]:
    """Texts without intervals."""
    return [_TEXTS[field][1](row) if field in _TEXTS else QUANTITIES[field].text(row) for field in fields]


def _cell(row: Measurement, field: str) -> str:
    """The text with its interval."""
    if field in _TEXTS:
        return _TEXTS[field][1](row)
    text, number = field_text(row, field), value(row, field)
    if field in GAINS or not number:
        return text
    return text if number.low == number.high else f"{text} ({significant(number.low)}–{significant(number.high)})"


def frontier_png(rows: Sequence[Measurement], path: str | Path, *, split: str | None = None) -> None:
    """Write a PNG of accuracy against latency with intervals, the date and the machine.

    Raises ValueError if no row has both numbers, and ImportError with the extra to install.
    """
    from paretodet.report import charts

    style = DrawingStyle(width=CHART_WIDTH, paint=LIGHT.__getitem__)
    frontier = pareto_frontier(rows, split=split)
    if not frontier.members:
        raise InputError(
            "rows: no row has both a latency and an accuracy, so there is no frontier to draw", "rows-none"
        )
    labels = row_labels(rows, stated=differing_execution(rows))
    plane = frontier_plane(frontier, labels, width=style.width)
    subtitle = ["; ".join(wording.machines(rows)), f"{wording.period(rows)} · {wording.settings(rows)}"]
    title = f"Accuracy against latency of {plural(len(plane.points), 'detector')}"
    chart = titled(charts.plane_chart(plane, style), title=title, subtitle=subtitle, style=style)
    charts.save_png(chart, Path(path))


def _texts(cells: Iterable[str]) -> Iterator[Text]:
    """Cells without markup and control characters."""
    return (Text(plain(cell)) for cell in cells)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold", min_width=MIN_NAME)
    for title in others:
        is_text = title == "Validity"
        table.add_column(title, justify="right", no_wrap=not is_text, min_width=MIN_VALIDITY if is_text else None)
    return table
