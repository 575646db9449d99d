"""Reads rows from a store or a JSON Lines file, with or without their long fields. Torch-free."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from paretodet.errors import FileError, InputError
from paretodet.frontier.values import has_accuracy
from paretodet.records.columns import row_columns, row_from_columns
from paretodet.records.lines import read_lines
from paretodet.records.location import is_lines, is_url, without_password
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows, resolve_id
from paretodet.records.sql_rows import read_sqlite_measurements, read_sqlite_rows

if TYPE_CHECKING:
    from paretodet.records.store import Store

Answer = TypeVar("Answer")
Notify = Callable[[str], None]


def ignore(message: str) -> None:
    """Does nothing with a message."""


def read_rows(
    target: str | Path,
    *,
    run: str | None = None,
    split: str | None = None,
    estimates: bool = False,
    notify: Notify = ignore,
) -> Rows:
    """The newest row of every subject in a store or JSON Lines file, or in the runs whose ids begin with `run`.

    With `split`, as questions take it, a row that has the AP that is compared comes before newer ones without it: the
    same artifact may have been scored on several labels, or timed again without any.

    With `estimates`, untrained systems of Huang et al. without a published AP have an estimated one. Long fields
    (`records.columns.LONG_FIELDS`) have their defaults; `complete_rows` and `with_complete_rows` read them. Raises
    ValueError if there are no rows.
    """
    rows = _rows_of(target, run, notify)
    rows = rows.newest(None if split is None else has_accuracy(rows, split))
    return _with_estimates(rows) if estimates else rows


def _rows_of(target: str | Path, run: str | None, notify: Notify) -> Rows:
    """All rows, or those of the runs whose ids begin with `run`, repetitions of one measurement included."""
    rows = _all_rows(target, notify)
    rows = rows if run is None else rows.of_run(run)
    if not rows:
        place, which = without_password(target), f" of run {run!r}" if run else ""
        raise InputError(f"{place}: no rows{which}; `paretodet measure` adds rows", "rows-none")
    return rows


def _with_estimates(rows: Rows) -> Rows:
    from paretodet.sweep.estimates import with_estimated_ap  # reads the catalogue, which other questions do not need

    return with_estimated_ap(rows)


def complete_rows(target: str | Path, rows: Iterable[Measurement]) -> tuple[Measurement, ...]:
    """The same rows with all fields, samples included, and with the estimates that these rows have."""
    estimates = {row.id: row.ap_estimate for row in rows}
    ids = list(estimates)
    if is_lines(target):
        by_id = _complete_lines(target, set(ids))
    else:
        _check_exists(target)
        from_sqlite = None if is_url(target) else read_sqlite_measurements(str(target), ids)
        by_id = open_store(target).complete_rows(ids) if from_sqlite is None else from_sqlite
    if missing := next((row_id for row_id in ids if row_id not in by_id), None):
        place = without_password(target)
        raise FileError(f"{place}: the content of row {missing} is missing; restore it from a copy", "store-damaged")
    return tuple(replace(by_id[row_id], ap_estimate=known) for row_id, known in estimates.items())


def with_complete_rows(target: str | Path, answer: Answer) -> Answer:
    """The same dataclass, in which every row has all fields."""
    rows = {row.id: row for row in complete_rows(target, _rows_in(answer))}
    return _replace_rows(answer, rows)


def last_run(target: str | Path) -> tuple[Measurement, ...]:
    """The rows of the newest run with all fields. Raises ValueError if there are no rows."""
    rows = _rows_of(target, None, ignore)
    return complete_rows(target, rows.of_run(rows[int(rows.times().argmax())].run))


def find_row(target: str | Path, prefix: str) -> Measurement:
    """The row whose id begins with `prefix`, with all fields. Raises LookupError with the nearest ids."""
    if not is_lines(target):
        return open_store(target).get(prefix)
    ids = {row["id"]: None for row in _lines(target)}
    row_id = resolve_id(prefix, lambda start: [candidate for candidate in ids if candidate.startswith(start)])
    return _complete_lines(target, {row_id})[row_id]


def open_store(target: str | Path, *, notify: Notify = ignore) -> "Store":
    """An existing store. Raises ValueError if there is none."""
    from paretodet.records.store import Store  # imports SQLAlchemy

    _check_exists(target)
    return Store(target, notify=notify)


def _all_rows(target: str | Path, notify: Notify) -> Rows:
    if is_lines(target):
        rows = (row_from_columns(row_columns(row)) for row in _lines(target))
        return Rows.of(list({row.id: row for row in rows}.values()))
    _check_exists(target)
    from_sqlite = None if is_url(target) else read_sqlite_rows(str(target))
    return open_store(target, notify=notify).all_rows() if from_sqlite is None else from_sqlite


def _check_exists(target: str | Path) -> None:
    if not is_url(target) and not Path(target).exists():
        raise InputError(f"{target}: no such store; `paretodet measure` creates one", "rows-missing")


def contents(target: str | Path) -> Iterator[dict[str, Any]]:
    """The JSON of every row of a store or JSON Lines file, with all fields."""
    return _lines(target) if is_lines(target) else open_store(target).contents()


def _lines(path: str | Path) -> Iterator[dict[str, Any]]:
    _check_exists(path)
    try:
        yield from read_lines(Path(path))
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}", "file-unreadable") from error


def _complete_lines(path: str | Path, ids: Container[str]) -> dict[str, Measurement]:
    return {row["id"]: Measurement.from_json(row) for row in _lines(path) if row["id"] in ids}


def _rows_in(value: Any) -> Iterator[Measurement]:
    if isinstance(value, Measurement):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _rows_in(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _rows_in(getattr(value, field.name))


def _replace_rows(value: Any, rows: Mapping[str, Measurement]) -> Any:
    if isinstance(value, Measurement):
        return rows[value.id]
    if isinstance(value, tuple):
        items = (_replace_rows(item, rows) for item in value)
        return type(value)._make(items) if hasattr(value, "_make") else tuple(items)
    if is_dataclass(value) and not isinstance(value, type):
        changes = {field.name: _replace_rows(getattr(value, field.name), rows) for field in fields(value)}
        return replace(value, **changes)
    return value
