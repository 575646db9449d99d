"""Rows of a store or of a file of JSON lines, for questions and for being shown. Torch-free."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from paretodet.records.columns import columns, light
from paretodet.records.fetched import rows_of_file, whole_of_file
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import row_lines
from paretodet.records.rows import Rows, one_id

if TYPE_CHECKING:
    from paretodet.records.store import Store

Answer = TypeVar("Answer")
Tell = Callable[[str], None]


def silent(sentence: str) -> None:
    """Tells nobody."""


def read_rows(target: str | Path, *, run: str | None = None, tell: Tell = silent) -> Rows:
    """The newest row of everything in a store, or in a file of JSON lines; all of one run where it is given.

    The rows come without what is long (`bench.columns.LONG`); `whole` and `completed` read it. Raises ValueError where
    there is none.
    """
    every = _light(target, tell)
    found = every.newest() if run is None else every.of_run(run)
    if not found:
        raise ValueError(f"{target}: no rows{f' of a run {run!r}' if run else ''}; `paretodet measure` makes some")
    return found


def whole(target: str | Path, rows: Iterable[Measurement]) -> tuple[Measurement, ...]:
    """The same rows with everything that they hold, samples too."""
    ids = [row.id for row in rows]
    if _is_lines(target):
        found = _whole_lines(target, set(ids))
    else:
        _there(target)
        at_once = None if "://" in str(target) else whole_of_file(str(target), ids)
        found = opened(target).whole(ids) if at_once is None else at_once
    return tuple(found[each] for each in ids)


def completed(target: str | Path, found: Answer) -> Answer:
    """The same dataclass with every row in it whole."""
    rows = {row.id: row for row in whole(target, _rows_in(found))}
    return _replaced(found, rows)


def last_run(target: str | Path) -> tuple[Measurement, ...]:
    """The rows of the run that was measured last, whole. Raises ValueError where there is none."""
    rows = read_rows(target, run="")
    return whole(target, rows.of_run(rows[int(rows.times().argmax())].run))


def row_of(target: str | Path, prefix: str) -> Measurement:
    """The row whose id begins so, whole. Raises LookupError with the nearest ids."""
    if not _is_lines(target):
        return opened(target).get(prefix)
    ids = {row["id"]: None for row in _lines(target)}
    found = one_id(prefix, lambda start: [each for each in ids if each.startswith(start)])
    return _whole_lines(target, {found})[found]


def opened(target: str | Path, *, tell: Tell = silent) -> "Store":
    """A store that is there."""
    from paretodet.records.store import Store  # imports SQLAlchemy

    _there(target)
    return Store(target, tell=tell)


def _light(target: str | Path, tell: Tell) -> Rows:
    if _is_lines(target):
        rows = (light(columns(row)) for row in _lines(target))
        return Rows.of(list({row.id: row for row in rows}.values()))
    _there(target)
    found = None if "://" in str(target) else rows_of_file(str(target))
    return opened(target, tell=tell).light() if found is None else found


def _there(target: str | Path) -> None:
    if "://" not in str(target) and not Path(target).exists():
        raise ValueError(f"{target}: no such store; `paretodet measure` makes one")


def _is_lines(target: str | Path) -> bool:
    return str(target).endswith(".jsonl")


def _lines(path: str | Path) -> Iterator[dict[str, Any]]:
    _there(path)
    try:
        yield from row_lines(Path(path))
    except OSError as error:
        raise OSError(f"cannot read {path}: {error.strerror or error}") from error


def _whole_lines(path: str | Path, ids: Container[str]) -> dict[str, Measurement]:
    return {row["id"]: Measurement.from_json(row) for row in _lines(path) if row["id"] in ids}


def _rows_in(value: Any) -> Iterator[Measurement]:
    if isinstance(value, Measurement):
        yield value
    elif isinstance(value, tuple):
        for inner in value:
            yield from _rows_in(inner)
    elif is_dataclass(value):
        for each in fields(value):
            yield from _rows_in(getattr(value, each.name))


def _replaced(value: Any, rows: Mapping[str, Measurement]) -> Any:
    if isinstance(value, Measurement):
        return rows[value.id]
    if isinstance(value, tuple):
        inner = (_replaced(each, rows) for each in value)
        return type(value)._make(inner) if hasattr(value, "_make") else tuple(inner)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _replaced(getattr(value, each.name), rows) for each in fields(value)})
    return value
