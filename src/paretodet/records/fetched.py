"""A source of rows in a table, of which a column is read when a question asks for it."""

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretodet.records.columns import ASKED, CORE, DIGESTS, EVERY, NUMBERS, REALS, SETTING, WHOLE, light
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Floats, Integers, Kinds, Rows, decoded, encoded

WAIT_S = 60  # for another writer's transaction
TABLE = "measurements"
LAYOUT = 2  # of a store's tables; 1 had no columns. Another number for other columns: they are made anew then
FETCHED = 20_000  # records read at once
FOUND = 500  # records asked for by their numbers at once
Query = Callable[[str], Iterable[Sequence[Sequence[Any]]]]  # SQL -> parts of its records
MOST = 20_000  # settings; where there are more, every row is read for them


class Fetched:
    """Every row of the table, in the order in which they were written. `quote` is for names that SQL has a use for."""

    def __init__(self, query: Query, *, quote: Callable[[str], str]) -> None:
        self._query, self._quote = query, quote
        core = self._read(("seq", *CORE))
        self._sequence: Integers = core["seq"]
        self._arrays: dict[str, NDArray[Any]] = core
        self._kinds: dict[str, Kinds] = {}
        self.size = self._sequence.size
        _, first, self._setting = np.unique(core["setting"], return_index=True, return_inverse=True)
        self._examples = self._records(first.tolist()) if first.size <= MOST else []

    def numbers(self, field: str) -> Floats:
        if field in SETTING and self._examples:
            return _array(field, [example[field] for example in self._examples])[self._setting]
        return self._array(field)

    def kinds(self, field: str) -> Kinds:
        if field not in self._kinds:
            self._kinds[field] = self._distinct(field)
        return self._kinds[field]

    def subjects(self) -> Integers:
        return self._array("subject")

    def times(self) -> Floats:
        return np.nan_to_num(self._array("second"), nan=-math.inf)

    def rows(self, places: Sequence[int]) -> list[Measurement]:
        return [light(record) for record in self._records(places)]

    def _records(self, places: Sequence[int]) -> list[Mapping[str, Any]]:
        numbers: list[int] = self._sequence[list(places)].tolist()
        found: dict[int, Mapping[str, Any]] = {}
        for start in range(0, len(numbers), FOUND):
            some = ", ".join(map(str, numbers[start : start + FOUND]))
            for part in self._query(f"{self._select(('seq', *EVERY))} WHERE seq IN ({some})"):
                found |= {record[0]: dict(zip(EVERY, record[1:], strict=True)) for record in part}
        return [found[number] for number in numbers]

    def _select(self, names: Sequence[str]) -> str:
        return f"SELECT {', '.join(map(self._quote, names))} FROM {TABLE}"

    def _distinct(self, field: str) -> Kinds:
        name = field.replace(".", "_")
        if name in SETTING and self._examples:
            few = encoded(example[name] for example in self._examples)
            found = Kinds(few.codes[self._setting], few.values)
        else:
            column = self._array(name).tolist()
            found = Kinds(np.arange(self.size), tuple(column)) if name == "id" else encoded(column)
        if field in ASKED.values():
            return decoded(found)
        kind = WHOLE.get(name, float)
        return _typed(found, kind) if name in NUMBERS else found

    def read_ahead(self, fields: Sequence[str]) -> None:
        names = dict.fromkeys(field.replace(".", "_") for field in fields)
        if lacking := [name for name in names if name not in self._arrays]:
            found = self._read(("seq", *lacking))
            # Rows that others wrote since the first columns were read are left out.
            places = np.searchsorted(found["seq"], self._sequence)
            self._arrays |= {name: found[name][places] for name in lacking}

    def _array(self, name: str) -> NDArray[Any]:
        self.read_ahead([name])
        return self._arrays[name]

    def _read(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        parts: dict[str, list[NDArray[Any]]] = {name: [_array(name, ())] for name in names}
        for records in self._query(f"{self._select(names)} ORDER BY seq"):
            for name, values in zip(names, zip(*records, strict=True), strict=True):
                parts[name].append(_array(name, values))
        return {name: np.concatenate(found) for name, found in parts.items()}


def _array(name: str, values: Sequence[Any]) -> NDArray[Any]:
    number = np.int64 if name in ("seq", *DIGESTS) else np.float64 if name in REALS else np.object_
    return np.array(values, dtype=number)


def _typed(numbers: Kinds, kind: Callable[[float], Any]) -> Kinds:
    """Whole numbers and marks as what they are; unknown is None."""
    known = (None if value is None or math.isnan(value) else kind(value) for value in numbers.values)
    distinct = encoded(known)
    return Kinds(distinct.codes[numbers.codes], distinct.values)


def rows_of_file(path: str) -> Rows | None:
    """What `Store.light` gives, without SQLAlchemy, whose import takes longer than a question about few rows. None of
    what is no SQLite file of this layout in which every row has its columns.
    """
    state = "SELECT max(version), (SELECT count(*) FROM rows) = (SELECT count(*) FROM measurements) FROM layout"
    try:
        if [tuple(record) for part in _file(path, state) for record in part] != [(LAYOUT, 1)]:
            return None
        # A name in double quotes that is not there would be a text to SQLite.
        return Rows(Fetched(partial(_file, path), quote="[{}]".format))
    except sqlite3.Error:
        return None


def whole_of_file(path: str, ids: Sequence[str]) -> dict[str, Measurement] | None:
    """What `Store.whole` gives, of an SQLite file; None where it cannot be read as one."""
    found: dict[str, Measurement] = {}
    try:
        for start in range(0, len(ids), FOUND):
            some = ids[start : start + FOUND]
            statement = f"SELECT row FROM rows WHERE id IN ({', '.join('?' * len(some))})"
            for part in _file(path, statement, some):
                found |= {row.id: row for row in (Measurement.from_json(json.loads(text)) for (text,) in part)}
    except sqlite3.Error:
        return None
    return found


def _file(path: str, statement: str, values: Sequence[str] = ()) -> Iterator[Sequence[Sequence[Any]]]:
    with closing(sqlite3.connect(path, timeout=WAIT_S)) as connection:
        cursor = connection.execute(statement, values)
        while records := cursor.fetchmany(FETCHED):
            yield records
