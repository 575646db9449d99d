"""Terminal tables of the catalogue and of the differences between two rows, and a frontier as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from paretodet.frontier.values import value
from paretodet.records.estimate import ApEstimate, estimate_of
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows
from paretodet.report.formats import UNKNOWN, all_reasons, estimated, plain, reasons

if TYPE_CHECKING:  # importing the catalogues takes time, and questions about rows do not need them
    from paretodet.backbones.catalogue import BackboneEntry
    from paretodet.detectors.catalogue import DetectorEntry
    from paretodet.frontier.pareto import Frontier, Member
    from paretodet.records.compare import Difference
    from paretodet.weights.published import PublishedWeights

MAX_CELL = 48  # characters


def catalogue_table(entries: "Sequence[DetectorEntry]", estimates: "Mapping[str, ApEstimate]") -> Table:
    """One line for each detector; parameters in millions, multiply-adds in billions.

    `estimates` are those of detectors without a published AP, by name.
    """
    table = _table("Detector", right=("Input", "Parameters (M)", "MACs (G)", "AP", "AP50", "Split"))
    for entry in entries:
        counts = (f"{entry.parameters / 1e6:.1f}", f"{entry.macs / 1e9:.1f}")
        accuracy = (_percent(entry.ap), _percent(entry.ap50), entry.ap_split or "")
        if estimate := estimates.get(entry.name):
            accuracy = (estimated(estimate), "", f"estimated, {estimate.split}")
        table.add_row(entry.name, f"{entry.height}x{entry.width}", *counts, *accuracy)
        for split, known in entry.published.items():
            if split != entry.ap_split:
                table.add_row(*[""] * 4, _percent(known["ap"]), _percent(known["ap50"]), split)
    return table


def weights_table(entries: "Sequence[PublishedWeights]") -> Table:
    """One line for each accuracy of published weights; the first 8 digits of the SHA-256."""
    table = _table("Weights", "Origin", "License", "Detector", right=("MiB", "SHA-256", "AP", "AP50", "Split"))
    for each in entries:
        size = each.size_mib if each.size is None else each.size / 2**20
        own = (each.name, each.origin.title, each.origin.license or UNKNOWN)
        numbers = (UNKNOWN if size is None else f"{size:.1f}", (each.sha256 or UNKNOWN)[:8])
        for known in each.accuracy:
            accuracy = (_percent(known.ap), _percent(known.ap50), known.split)
            table.add_row(*own, known.detector or UNKNOWN, *numbers, *accuracy)
            own, numbers = ("",) * 3, ("",) * 2
        if not each.accuracy:
            table.add_row(*own, next(iter(each.detectors), UNKNOWN), *numbers)
    return table


def weights_notes(entries: "Sequence[PublishedWeights]") -> Iterator[str]:
    """Which of the weights have seen validation images, and which no address serves."""
    for leak, these in groupby(entries, key=lambda each: each.origin.leak):
        if leak:
            yield f"{', '.join(dict.fromkeys(each.origin.title for each in these))}: {leak}."
    if by_hand := [each.name for each in entries if each.url is None]:
        yield f"To be downloaded by hand, as `paretodet weights get NAME` says: {', '.join(by_hand)}."


def backbones_table(entries: "Sequence[BackboneEntry]") -> Table:
    """One line for each backbone; parameters in millions, multiply-adds in billions for the input shown."""
    table = _table("Backbone", right=("Parameters (M)", "MACs (G)", "Input", "Channels", "Strides", "Top-1"))
    for entry in entries:
        counts = (f"{entry.parameters / 1e6:.1f}", f"{entry.macs / 1e9:.1f}", f"{entry.side}x{entry.side}")
        maps = (" ".join(map(str, numbers)) for numbers in (entry.channels, entry.strides))
        table.add_row(entry.name, *counts, *maps, _percent(entry.top1_published))
    return table


def changes_table(difference: "Difference") -> Table:
    """One line for each condition that differs; a value that a row does not have is an empty cell."""
    table = _table("Condition", "First", "Second")
    for change in difference.changes:
        table.add_row(*(Text(plain(_short(cell))) for cell in (change.field, change.first, change.second)))
    return table


def frontier_json(frontier: "Frontier") -> dict[str, Any]:
    """A frontier as JSON; rows are given by id and name."""
    return {
        "cost": frontier.cost,
        "gain": frontier.gain,
        "split": frontier.split,
        "members": [_member(member, frontier) for member in frontier.members],
        "dominated": [{"id": key, "name": name, "by": by} for key, name, by in frontier.dominated.summaries()],
        "cost_only": [
            {"id": key, "name": name}
            for key, name in zip(frontier.cost_only.texts("id"), frontier.cost_only.texts("name"), strict=True)
        ],
        "left_out": frontier.left_out,
        "outside": list(_outside(frontier.outside)),
        "provisional": frontier.provisional,
        "why": frontier.why,
        "undecided": [member.row.id for member in frontier.undecided],
        "notes": list(frontier.notes),
    }


def _outside(rows: Sequence[Measurement]) -> Iterator[dict[str, Any]]:
    for key, name, validity, given, error in Rows.of(rows).values("id", "name", "validity", "reasons", "error"):
        yield {"id": key, "name": name, "validity": validity, "reasons": list(all_reasons(given, error))}


def _member(member: "Member", frontier: "Frontier") -> dict[str, Any]:
    fields = (frontier.cost, frontier.gain.removeprefix("-"))
    values = {field: value(member.row, field) for field in fields}
    numbers = {field: number and number.point for field, number in values.items()}
    place = {"probability": member.probability, "tied": member.tied}
    estimate = {"ap_estimate": member.row.ap_estimate} if "ap" in numbers and estimate_of(member.row) else {}
    return {"id": member.row.id, "name": member.row.name} | numbers | estimate | place | _trust(member.row)


def _trust(row: Measurement) -> dict[str, Any]:
    return {"validity": row.validity, "reasons": list(reasons(row))}


def _table(*left: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in left:
        table.add_column(title, overflow="fold")
    for title in right:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _short(cell: Any) -> str:
    text = "" if cell is None else str(cell)
    return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
