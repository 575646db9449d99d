"""Labels of rows: their names and, if names repeat, the conditions that differ."""

from collections import Counter
from collections.abc import Sequence

from paretodet.frontier.values import matches
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows

CONDITIONS = ("runtime", "precision", "device", "batch", "threads", "load", "proposals")
JOB_CONDITIONS = ("score", "nms", "file")  # entries of the row's job


def row_labels(rows: Sequence[Measurement], *, among: Sequence[Measurement] | None = None) -> dict[str, str]:
    """Row id -> a short label that is unique among `rows`, or among `among`."""
    others = Rows.of(rows if among is None else among)
    by_name: dict[str, list[Measurement]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    if among is not None:
        others = others.where(matches(others, "name", tuple(by_name)))
    names = others.categories("name")
    labels: dict[str, str] = {}
    for name, shown in by_name.items():
        namesakes = others.where(names.codes == names.values.index(name))
        labels |= _labels(shown, namesakes) if len(namesakes) > 1 else {row.id: name for row in shown}
    return labels


def _labels(shown: Sequence[Measurement], namesakes: Rows) -> dict[str, str]:
    """Labels of rows that share one name with all of `namesakes`."""
    columns = {
        **{field: namesakes.categories(field) for field in CONDITIONS},
        **{field: namesakes.categories(f"job.{field}") for field in JOB_CONDITIONS},
    }
    columns = {field: column for field, column in columns.items() if len(column.values) > 1}
    counts = Counter(zip(*(column.codes.tolist() for column in columns.values()), strict=True))
    notes = [[_note(field, value) for value in column.values] for field, column in columns.items()]
    texts: Counter[str] = Counter()
    for codes, count in (counts or {(): len(namesakes)}).items():
        texts[_label(namesakes[0].name, [note[code] for note, code in zip(notes, codes, strict=True)])] += count
    labels = {row.id: _label(row.name, [_note(field, _condition(row, field)) for field in columns]) for row in shown}
    return {key: label if texts[label] == 1 else f"{label} #{key[:6]}" for key, label in labels.items()}


def _condition(row: Measurement, field: str) -> object:
    return row.job.get(field) if field in JOB_CONDITIONS else getattr(row, field)


def _label(name: str, notes: Sequence[str]) -> str:
    return " · ".join((name, *(note for note in notes if note)))


def _note(field: str, value: object) -> str:
    if value is None:
        return ""
    return f"{field} {value}" if isinstance(value, int | float) else str(value)
