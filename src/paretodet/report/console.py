"""What a person reads in the terminal beside rows and frontiers: the catalogue, and what differs between two rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from paretodet.frontier.values import value
from paretodet.records.measurement import Measurement
from paretodet.report.formats import plain, reasons

if TYPE_CHECKING:  # the catalogues take time to read, which a question about rows has no use for
    from paretodet.backbones.catalogue import BackboneEntry as Backbone
    from paretodet.detectors.catalogue import DetectorEntry
    from paretodet.frontier.pareto import Frontier, Member
    from paretodet.records.compare import Difference

LONGEST = 48  # characters of a cell


def catalogue_table(entries: "Sequence[DetectorEntry]") -> Table:
    """One line a detector; parameters and multiply-adds in units of 1e6 and 1e9."""
    table = _table("Detector", right=("Input", "Parameters (M)", "MACs (G)", "AP", "AP50", "Split"))
    for entry in entries:
        counts = (f"{entry.parameters / 1e6:.1f}", f"{entry.macs / 1e9:.1f}")
        accuracy = (_percent(entry.ap), _percent(entry.ap50), entry.ap_split or "")
        table.add_row(entry.name, f"{entry.height}x{entry.width}", *counts, *accuracy)
    return table


def backbones_table(entries: "Sequence[Backbone]") -> Table:
    """One line a backbone; parameters and multiply-adds in units of 1e6 and 1e9, the latter at the side shown."""
    table = _table("Backbone", right=("Parameters (M)", "MACs (G)", "Input", "Channels", "Strides", "Top-1"))
    for entry in entries:
        counts = (f"{entry.parameters / 1e6:.1f}", f"{entry.macs / 1e9:.1f}", f"{entry.side}x{entry.side}")
        maps = (" ".join(map(str, numbers)) for numbers in (entry.channels, entry.strides))
        table.add_row(entry.name, *counts, *maps, _percent(entry.top1_published))
    return table


def changes_table(found: "Difference") -> Table:
    """One line a condition that is not the same; what one of the rows does not have stays empty."""
    table = _table("Condition", "First", "Second")
    for change in found.changes:
        table.add_row(*(Text(plain(_short(cell))) for cell in (change.field, change.first, change.second)))
    return table


def frontier_json(found: "Frontier") -> dict[str, Any]:
    """A frontier as data; rows are told by id and name."""
    return {
        "cost": found.cost,
        "gain": found.gain,
        "split": found.split,
        "members": [_member(member, found) for member in found.members],
        "dominated": [{"id": key, "name": name, "by": by} for key, name, by in found.dominated.summaries()],
        "cost_only": [
            {"id": key, "name": name}
            for key, name in zip(found.cost_only.texts("id"), found.cost_only.texts("name"), strict=True)
        ],
        "left_out": found.left_out,
        "outside": [{"id": row.id, "name": row.name} | _trust(row) for row in found.outside],
        "provisional": found.provisional,
        "why": found.why,
        "undecided": [member.row.id for member in found.undecided],
        "notes": list(found.notes),
    }


def _member(member: "Member", found: "Frontier") -> dict[str, Any]:
    fields = (found.cost, found.gain.removeprefix("-"))
    known = {field: value(member.row, field) for field in fields}
    numbers = {field: found and found.point for field, found in known.items()}
    place = {"probability": member.probability, "tied": member.tied}
    return {"id": member.row.id, "name": member.row.name} | numbers | place | _trust(member.row)


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
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
