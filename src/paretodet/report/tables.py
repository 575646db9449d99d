"""Rows and frontiers for the terminal, and the README's picture."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from paretodet.frontier.pareto import Frontier, pareto_frontier
from paretodet.frontier.row_labels import row_labels
from paretodet.frontier.values import GAINS, amount, noun, value
from paretodet.records.measurement import Measurement
from paretodet.report import wording
from paretodet.report.drawing import DrawingStyle, titled
from paretodet.report.formats import (
    QUANTITIES,
    UNKNOWN,
    accuracy,
    latency,
    listed,
    plain,
    plural,
    probability,
    short_reason,
    significant,
)
from paretodet.report.scatter import frontier_plane
from paretodet.report.theme import LIGHT

_COSTS = ("memory_infer_mib", "parameters", "flops")
COLUMNS = {"cold": ("load_ms", "first_ms")}  # what `--columns` adds
PICTURE_WIDTH = 860  # px


def rows_table(rows: Sequence[Measurement], *, more: Sequence[str] = ()) -> Table:
    """Every row in the order given, with `more` fields; unusable ones are dim and say why."""
    labels, fields = row_labels(rows), ("latency_ms_p95", *more, *_COSTS)
    titles = (QUANTITIES[field].title for field in fields)
    table = _table("Detector", "AP", "Latency (95 %)", *titles, "Validity")
    for row in rows:
        costs = (QUANTITIES[field].text(row) for field in fields)
        cells = (labels[row.id], accuracy(row), latency(row), *costs, short_reason(row))
        table.add_row(*_texts(cells), style=None if row.usable else "dim")
    return table


def footnote(rows: Sequence[Measurement]) -> str:
    """One line under a table: what could not be watched, and where whole reasons stand. Empty where there are none."""
    unseen = dict.fromkeys(
        reason.removeprefix(wording.UNWATCHED)
        for row in rows
        for reason in row.reasons
        if reason.startswith(wording.UNWATCHED)
    )
    notes = (
        f"Not watched: {listed(list(unseen))}." if unseen else "",
        "Whole reasons: `paretodet frontier --json`." if any(not row.usable for row in rows) else "",
    )
    return " ".join(filter(None, notes))


def frontier_table(found: Frontier, *, more: Sequence[str] = ()) -> Table:
    """The frontier's members from the cheapest on, with the probability that they belong to it and `more` fields.

    Of a provisional one the intervals are as wide as what disturbed them makes them, and each row says what that was.
    """
    labels = row_labels([member.row for member in found.members])
    gain = found.gain.removeprefix("-")  # less of a cost
    titles = (_title(field) for field in (gain, found.cost, *more))
    first, last = ("Provisional frontier", ("Validity",)) if found.provisional else ("Frontier", ())
    table = _table(first, *titles, "Probability", *last)
    for member in found.members:
        row, sure = member.row, f"{probability(member.probability)}{' tied' if member.tied else ''}"
        cells = (_cell(row, field) for field in (gain, found.cost, *more))
        table.add_row(*_texts((labels[row.id], *cells, sure, *(short_reason(row) for _ in last))))
    return table


def _title(field: str) -> str:
    """A frontier's column."""
    name = noun(field)
    return QUANTITIES[field].title if field in QUANTITIES else name[0].upper() + name[1:]


def _cell(row: Measurement, field: str) -> str:
    if field in GAINS:
        return accuracy(row, field)
    found = value(row, field)
    if not found:
        return UNKNOWN
    text = QUANTITIES[field].text(row) if field in QUANTITIES else amount(field, found.point)
    return text if found.low == found.high else f"{text} ({significant(found.low)}–{significant(found.high)})"


def frontier_png(rows: Sequence[Measurement], path: str | Path, *, split: str | None = None) -> None:
    """Accuracy against latency with intervals as a picture that says when and on which machine.

    Raises ValueError where no row has both, ImportError, naming the extra to install.
    """
    from paretodet.report import charts

    style = DrawingStyle(width=PICTURE_WIDTH, paint=LIGHT.__getitem__)
    found = pareto_frontier(rows, split=split)
    if not found.members:
        raise ValueError("rows: no row has both a latency and an accuracy, so there is no frontier to draw")
    plane = frontier_plane(found, row_labels(rows), width=style.width)
    subtitle = ["; ".join(wording.machines(rows)), f"{wording.period(rows)} · {wording.settings(rows)}"]
    title = f"Accuracy against latency of {plural(len(plane.points), 'detector')}"
    chart = titled(charts.plane_chart(plane, style), title=title, subtitle=subtitle, style=style)
    charts.save_png(chart, Path(path))


def _texts(cells: Iterable[str]) -> Iterator[Text]:
    """Cells that mean what they say: neither markup nor control characters."""
    return (Text(plain(cell)) for cell in cells)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold")
    for title in others:
        table.add_column(title, justify="right", no_wrap=title != "Validity")
    return table
