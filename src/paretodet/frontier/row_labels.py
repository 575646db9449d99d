"""Labels of rows: their names and, if names repeat, the conditions that differ."""

from collections import Counter
from collections.abc import Mapping, Sequence

from paretodet.frontier.values import matches
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows

EXECUTION = ("runtime", "precision")  # one note: "openvino int8"
CONDITIONS = (*EXECUTION, "device", "batch", "threads", "load", "proposals")
JOB_CONDITIONS = ("score", "nms", "file")  # entries of the row's job
OF_LOADED = ("load", "proposals")  # conditions that a candidate states once it is loaded, so error rows may lack them
SEPARATOR = " · "  # between a name and its notes


def row_labels(
    rows: Sequence[Measurement],
    *,
    among: Sequence[Measurement] | None = None,
    stated: Sequence[str] = (),
    apart: Sequence[str] = (),
) -> dict[str, str]:
    """Row id -> a short label that is unique among `rows`, or among `among`.

    `stated` are conditions that every label has. `apart` are conditions that are shown beside the labels, which
    therefore leave them out and need not differ in anything else.
    """
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
        if len(namesakes) > 1 or stated:
            labels |= _labels(shown, namesakes, stated, apart)
        else:
            labels |= {row.id: name for row in shown}
    return labels


def differing_execution(rows: Sequence[Measurement]) -> tuple[str, ...]:
    """Which of runtime and precision differ among these rows."""
    return tuple(field for field in EXECUTION if len({getattr(row, field) for row in rows}) > 1)


def _labels(
    shown: Sequence[Measurement], namesakes: Rows, stated: Sequence[str], apart: Sequence[str]
) -> dict[str, str]:
    """Labels of rows that share one name with all of `namesakes`."""
    columns = {
        **{field: namesakes.categories(field) for field in CONDITIONS},
        **{field: namesakes.categories(f"job.{field}") for field in JOB_CONDITIONS},
    }
    loaded = namesakes.where(~matches(namesakes, "validity", ("error",)))
    differs = {field: len(column.values) > 1 for field, column in columns.items()}
    differs |= {field: len(loaded.categories(field).values) > 1 for field in OF_LOADED}
    columns = {field: column for field, column in columns.items() if differs[field] or field in stated}
    counts = Counter(zip(*(column.codes.tolist() for column in columns.values()), strict=True))
    notes = [[_note(field, value) for value in column.values] for field, column in columns.items()]
    texts: Counter[str] = Counter()
    for codes, count in (counts or {(): len(namesakes)}).items():
        own = {field: note[code] for field, note, code in zip(columns, notes, codes, strict=True)}
        texts[_label(namesakes[0].name, own)] += count
    labels = {}
    for row in shown:
        own = {field: _note(field, _condition(row, field)) for field in columns}
        label = _label(row.name, {field: note for field, note in own.items() if field not in apart})
        labels[row.id] = label if texts[_label(row.name, own)] == 1 else f"{label} #{row.id[:6]}"
    return labels


def _condition(row: Measurement, field: str) -> object:
    return row.job.get(field) if field in JOB_CONDITIONS else getattr(row, field)


def _label(name: str, notes: Mapping[str, str]) -> str:
    execution = " ".join(filter(None, (notes.get(field) for field in EXECUTION)))
    others = (note for field, note in notes.items() if field not in EXECUTION)
    return SEPARATOR.join(filter(None, (name, execution, *others)))


def _note(field: str, value: object) -> str:
    if value is None:
        return ""
    return f"{field} {value}" if isinstance(value, int | float) else str(value)
