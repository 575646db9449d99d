"""Rows and frontiers for the terminal, and the README's picture."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from paretodet.bench.record import Measurement
from paretodet.frontier.called import row_labels
from paretodet.frontier.pareto import Frontier, pareto_frontier
from paretodet.frontier.values import GAINS, amount, noun, value
from paretodet.report import words
from paretodet.report.drawing import Style, titled
from paretodet.report.formats import (
    QUANTITIES,
    UNKNOWN,
    accuracy,
    latency,
    plain,
    plural,
    probability,
    reasons,
)
from paretodet.report.plane import frontier_plane
from paretodet.report.theme import LIGHT

_COSTS = ("memory_infer_mib", "parameters", "flops")
PICTURE_WIDTH = 860  # px


def rows_table(rows: Sequence[Measurement]) -> Table:
    """Every row in the order given; unusable ones are dim and say why."""
    labels = row_labels(rows)
    table = _table("Detector", "AP", "Latency (95 %)", "p95", *(QUANTITIES[cost].title for cost in _COSTS), "Validity")
    for row in rows:
        costs = (QUANTITIES[field].text(row) for field in ("latency_ms_p95", *_COSTS))
        cells = (labels[row.id], accuracy(row), latency(row), *costs, _validity(row))
        table.add_row(*_texts(cells), style=None if row.usable else "dim")
    return table


def frontier_table(found: Frontier) -> Table:
    """The frontier's members from the cheapest on, with the probability that they belong to it."""
    labels = row_labels([member.row for member in found.members])
    gain = found.gain.removeprefix("-")  # less of a cost
    table = _table("Frontier", _title(gain), _title(found.cost), "Probability")
    for member in found.members:
        sure = f"{probability(member.probability)}{' tied' if member.tied else ''}"
        table.add_row(*_texts((labels[member.row.id], _cell(member.row, gain), _cell(member.row, found.cost), sure)))
    return table


def _title(field: str) -> str:
    words = noun(field)
    return QUANTITIES[field].title if field in QUANTITIES else words[0].upper() + words[1:]


def _cell(row: Measurement, field: str) -> str:
    if field == "latency_ms_p50":
        return latency(row)
    if field in GAINS:
        return accuracy(row, field)
    found = value(row, field)
    return QUANTITIES[field].text(row) if field in QUANTITIES else amount(field, found.point) if found else UNKNOWN


def frontier_png(rows: Sequence[Measurement], path: str | Path, *, split: str | None = None) -> None:
    """Accuracy against latency with intervals as a picture that says when and on which machine.

    Raises ValueError where no row has both, ImportError, naming the extra to install.
    """
    from paretodet.report import charts

    style = Style(width=PICTURE_WIDTH, paint=LIGHT.__getitem__)
    found = pareto_frontier(rows, split=split)
    if not found.members:
        raise ValueError("rows: no row has both a latency and an accuracy, so there is no frontier to draw")
    plane = frontier_plane(found, row_labels(rows), width=style.width)
    subtitle = ["; ".join(words.machines(rows)), f"{words.period(rows)} · {words.settings(rows)}"]
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


def _validity(row: Measurement) -> str:
    """What is wrong with a row; that something could not be watched is not."""
    wrong = "; ".join(reason for reason in reasons(row) if not reason.startswith("not watched"))
    return row.validity if row.usable or not wrong else f"{row.validity}: {wrong}"
