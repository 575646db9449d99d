"""A source of rows in an SQL table. A column is read when it is first needed."""

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretodet.errors import ErrorId, FileError, InputError, words
from paretodet.records.columns import (
    ALL_COLUMNS,
    CORE_COLUMNS,
    DIGEST_COLUMNS,
    INTEGER_TYPES,
    JOB_COLUMNS,
    NUMBER_FIELDS,
    OTHER_FIELDS,
    REAL_COLUMNS,
    SETTING_COLUMNS,
    row_from_columns,
)
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import DEFAULTS, REQUIRED, field_error, stored_row
from paretodet.records.rows import Categories, Floats, Integers, Rows, decode_json, encode

LOCK_TIMEOUT_S = 60  # to wait for another writer's transaction
TABLE = "measurements"
LAYOUT = 3  # version of a store's tables; 1 had no columns. Change it with the columns: they are then computed anew
FETCH_SIZE = 20_000  # records that are read at once
COMPUTED = "ap_estimate."  # entries of a field that is computed when rows are read, so that no store has it
MAX_IDS = 500  # records that one statement asks for by id or number
MAX_SETTINGS = 20_000  # with more settings, setting columns are read from every row
KINDS: Mapping[str, frozenset[type]] = {  # the types of a column's values
    **dict.fromkeys(ALL_COLUMNS, frozenset((str, NoneType))),
    **dict.fromkeys(REQUIRED, frozenset((str,))),
    **dict.fromkeys(REAL_COLUMNS, frozenset((float, int, NoneType))),
    **dict.fromkeys(DIGEST_COLUMNS, frozenset((int,))),
}
Query = Callable[[str], Iterable[Sequence[Sequence[Any]]]]  # SQL -> parts of the result's records


DAMAGE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)  # what bad values cause


class StoreError(FileError):
    """The store cannot be read or written; the message is one sentence. No row was written in part."""

    def __init__(self, message: str, id: ErrorId = "store-failed") -> None:
        super().__init__(message, id)


class SqlRows:
    """All rows of the table in the order of their insertion. `quote` quotes a column name that is an SQL keyword.

    `name` is that of the store. Raises StoreError if a value does not have the type of its column.
    """

    def __init__(self, query: Query, name: str, *, quote: Callable[[str], str]) -> None:
        self._query, self._name, self._quote = query, name, quote
        core = self._read(("seq", *CORE_COLUMNS))
        self._sequence: Integers = core["seq"]
        self._arrays: dict[str, NDArray[Any]] = core
        self._categories: dict[str, Categories] = {}
        self.size = self._sequence.size
        _, first, self._setting = np.unique(core["setting"], return_index=True, return_inverse=True)
        self._examples = self._records(first.tolist()) if first.size <= MAX_SETTINGS else []

    def numbers(self, field: str) -> Floats:
        if field.startswith(COMPUTED):
            return np.full(self.size, np.nan)
        if field in SETTING_COLUMNS and self._examples:
            return _array(field, [example[field] for example in self._examples])[self._setting]
        return self._array(field)

    def categories(self, field: str) -> Categories:
        if field not in self._categories:
            with self._explained():
                self._categories[field] = self._encoded(field)
        return self._categories[field]

    def subjects(self) -> Integers:
        return self._array("subject")

    def times(self) -> Floats:
        return np.nan_to_num(self._array("second"), nan=-math.inf)

    def rows(self, indices: Sequence[int]) -> list[Measurement]:
        records = self._records(indices)
        with self._explained():
            return [row_from_columns(_with_rest(record, OTHER_FIELDS)) for record in records]

    def values(self, fields: Sequence[str], indices: Sequence[int]) -> list[tuple[Any, ...]]:
        others = [name for name in fields if name in OTHER_FIELDS]
        records = self._records(indices, ("rest", *(name for name in fields if name not in others)))
        with self._explained():
            known = (_with_rest(record, others) for record in records)
            return [tuple(_value(record, name) for name in fields) for record in known]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, *DAMAGE) as error:
            raise StoreError(
                f"store {self._name!r}: its columns are damaged ({words(error)}); `paretodet store copy` copies its "
                "rows to a new store",
                "store-damaged",
            ) from error

    def _records(self, indices: Sequence[int], names: Sequence[str] = ALL_COLUMNS) -> list[dict[str, Any]]:
        numbers: list[int] = self._sequence[list(indices)].tolist()
        records: dict[int, dict[str, Any]] = {}
        for start in range(0, len(numbers), MAX_IDS):
            some = ", ".join(map(str, numbers[start : start + MAX_IDS]))
            with self._explained():
                for part in self._query(f"{self._select(('seq', *names))} WHERE seq IN ({some})"):
                    records |= {record[0]: _record(names, record[1:]) for record in part}
        return [records[number] for number in numbers]

    def _select(self, names: Sequence[str]) -> str:
        return f"SELECT {', '.join(map(self._quote, names))} FROM {TABLE}"

    def _encoded(self, field: str) -> Categories:
        name = field.replace(".", "_")
        if name in SETTING_COLUMNS and self._examples:
            by_setting = encode(example[name] for example in self._examples)
            column = Categories(by_setting.codes[self._setting], by_setting.values)
        else:
            values = self._array(name).tolist()
            column = Categories(np.arange(self.size), tuple(values)) if name == "id" else encode(values)
        if field in JOB_COLUMNS.values():
            return decode_json(column)
        return _with_type(column, INTEGER_TYPES.get(name, float)) if name in NUMBER_FIELDS else column

    def read_ahead(self, fields: Sequence[str]) -> None:
        names = dict.fromkeys(field.replace(".", "_") for field in fields)
        if missing := [name for name in names if name not in self._arrays]:
            arrays = self._read(("seq", *missing))
            # Rows that were written after the first columns were read are left out.
            indices = np.searchsorted(arrays["seq"], self._sequence)
            self._arrays |= {name: arrays[name][indices] for name in missing}

    def _array(self, name: str) -> NDArray[Any]:
        self.read_ahead([name])
        return self._arrays[name]

    def _read(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        parts: dict[str, list[NDArray[Any]]] = {name: [_array(name, ())] for name in names}
        with self._explained():
            for records in self._query(self._select(names)):  # unordered: an index may hold all these columns
                for name, values in zip(names, zip(*records, strict=True), strict=True):
                    parts[name].append(_array(name, values))
        columns = {name: np.concatenate(arrays) for name, arrays in parts.items()}
        if (np.diff(columns["seq"]) > 0).all():
            return columns
        order = np.argsort(columns["seq"])
        return {name: column[order] for name, column in columns.items()}


def _record(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """The values by column. Raises InputError if one does not have the type of its column, which SQLite allows."""
    if wrong := next((name for name, value in zip(names, values, strict=True) if type(value) not in KINDS[name]), None):
        raise InputError(f"{wrong} has a value of another type", "store-damaged")
    return dict(zip(names, values, strict=True))


def _with_rest(record: dict[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """A record with the values of `rest`. Raises InputError if one of these fields has another type."""
    rest = json.loads(record["rest"])
    if problem := next(filter(None, (field_error(name, rest[name]) for name in fields if name in rest)), None):
        raise InputError(problem, "store-damaged")
    return record | rest


def _value(record: Mapping[str, Any], field: str) -> Any:
    """A field of a record as `row_from_columns` makes it."""
    value = DEFAULTS[field] if record.get(field) is None else record[field]
    value = INTEGER_TYPES[field](value) if field in INTEGER_TYPES and value is not None else value
    return tuple(value) if isinstance(value, list) else value


def _array(name: str, values: Sequence[Any]) -> NDArray[Any]:
    dtype = np.int64 if name in ("seq", *DIGEST_COLUMNS) else np.float64 if name in REAL_COLUMNS else np.object_
    if dtype is np.object_ and not {*map(type, values)} <= KINDS[name]:
        raise InputError(f"{name} has a value of another type", "store-damaged")
    return np.array(values, dtype=dtype)


def _with_type(numbers: Categories, kind: Callable[[float], Any]) -> Categories:
    """Floats converted to the type of their field; NaN becomes None."""
    values = (None if value is None or math.isnan(value) else kind(value) for value in numbers.values)
    distinct = encode(values)
    return Categories(distinct.codes[numbers.codes], distinct.values)


def read_sqlite_rows(path: str) -> Rows | None:
    """What `Store.all_rows` returns, without the import of SQLAlchemy, which takes longer than reading few rows.

    None if the file is not an SQLite file of this layout in which every row has its columns.
    """
    state = "SELECT max(version), (SELECT count(*) FROM rows) = (SELECT count(*) FROM measurements) FROM layout"
    try:
        if [tuple(record) for part in _query_file(path, state) for record in part] != [(LAYOUT, 1)]:
            return None
        # SQLite takes a name in double quotes that does not exist for a string, hence brackets.
        return Rows(SqlRows(partial(_query_file, path), path, quote="[{}]".format))
    except (sqlite3.Error, StoreError):  # `Store` repairs the columns, or says what is wrong
        return None


def read_sqlite_measurements(path: str, ids: Sequence[str]) -> dict[str, Measurement] | None:
    """What `Store.complete_rows` returns, from an SQLite file; None if the file cannot be read as one."""
    measurements: dict[str, Measurement] = {}
    try:
        for start in range(0, len(ids), MAX_IDS):
            some = ids[start : start + MAX_IDS]
            statement = f"SELECT row FROM rows WHERE id IN ({', '.join('?' * len(some))})"
            for part in _query_file(path, statement, some):
                measurements |= {row.id: row for row in (stored_row(text) for (text,) in part)}
    except (sqlite3.Error, *DAMAGE):  # `Store` says what is wrong
        return None
    return measurements


def _query_file(path: str, statement: str, values: Sequence[str] = ()) -> Iterator[Sequence[Sequence[Any]]]:
    with closing(sqlite3.connect(path, timeout=LOCK_TIMEOUT_S)) as connection:
        cursor = connection.execute(statement, values)
        while records := cursor.fetchmany(FETCH_SIZE):
            yield records
