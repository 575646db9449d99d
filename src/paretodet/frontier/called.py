"""What rows are called beside each other: by their names, and where names repeat by what differs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from paretodet.bench.record import Measurement

TELLS_APART = ("runtime", "precision", "device", "batch", "threads", "load", "proposals")
ASKED = ("score", "nms", "file")  # told by the job alone


def row_labels(rows: Iterable[Measurement]) -> dict[str, str]:
    """Row id -> a short label unique among `rows`: the name, and where names repeat, what differs."""
    rows = tuple(rows)
    by_name: dict[str, list[Measurement]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    labels = {row.id: _label(row, by_name[row.name]) for row in rows}
    seen = Counter(labels.values())
    return {row_id: label if seen[label] == 1 else f"{label} #{row_id[:6]}" for row_id, label in labels.items()}


def _label(row: Measurement, namesakes: Sequence[Measurement]) -> str:
    told = {other.id: _told(other) for other in namesakes}
    differing = (field for field in (*TELLS_APART, *ASKED) if len({found[field] for found in told.values()}) > 1)
    notes = (_noted(field, told[row.id][field]) for field in differing)
    return " · ".join((row.name, *(note for note in notes if note)))


def _told(row: Measurement) -> dict[str, Any]:
    """What may tell a row from its namesakes."""
    return {field: getattr(row, field) for field in TELLS_APART} | {field: row.job.get(field) for field in ASKED}


def _noted(field: str, value: object) -> str:
    if value is None:
        return ""
    return f"{field} {value}" if isinstance(value, int | float) else str(value)
