"""What rows are called beside each other: by their names, and where names repeat by what differs."""

from collections import Counter
from collections.abc import Sequence

from paretodet.frontier.values import among as having
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows

TELLS_APART = ("runtime", "precision", "device", "batch", "threads", "load", "proposals")
ASKED = ("score", "nms", "file")  # told by the job alone


def row_labels(rows: Sequence[Measurement], *, among: Sequence[Measurement] | None = None) -> dict[str, str]:
    """Row id -> a short label unique among `rows` or all of `among`: the name, and where names repeat, what differs."""
    every = Rows.of(rows if among is None else among)
    by_name: dict[str, list[Measurement]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    if among is not None:
        every = every.where(having(every, "name", tuple(by_name)))
    names = every.kinds("name")
    labels: dict[str, str] = {}
    for name, shown in by_name.items():
        mates = every.where(names.codes == names.values.index(name))
        labels |= _labels(shown, mates) if len(mates) > 1 else {row.id: name for row in shown}
    return labels


def _labels(shown: Sequence[Measurement], mates: Rows) -> dict[str, str]:
    """Of rows with one name, told apart from all of that name."""
    columns = {field: mates.kinds(f"job.{field}" if field in ASKED else field) for field in (*TELLS_APART, *ASKED)}
    columns = {field: kinds for field, kinds in columns.items() if len(kinds.values) > 1}
    seen = Counter(zip(*(kinds.codes.tolist() for kinds in columns.values()), strict=True))
    notes = [[_noted(field, value) for value in kinds.values] for field, kinds in columns.items()]
    texts: Counter[str] = Counter()
    for codes, count in (seen or {(): len(mates)}).items():
        texts[_label(mates[0].name, [note[code] for note, code in zip(notes, codes, strict=True)])] += count
    labels = {row.id: _label(row.name, [_noted(field, _told(row, field)) for field in columns]) for row in shown}
    return {key: label if texts[label] == 1 else f"{label} #{key[:6]}" for key, label in labels.items()}


def _told(row: Measurement, field: str) -> object:
    return row.job.get(field) if field in ASKED else getattr(row, field)


def _label(name: str, notes: Sequence[str]) -> str:
    return " · ".join((name, *(note for note in notes if note)))


def _noted(field: str, value: object) -> str:
    if value is None:
        return ""
    return f"{field} {value}" if isinstance(value, int | float) else str(value)
