"""What a question asks of a row, one plain value a column. Samples and all that is long stay in the row's text."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import UnionType
from typing import Any, get_args

import numpy as np

from paretodet.bench.disturbance import disturbed_pct
from paretodet.bench.record import SUBJECT, Measurement
from paretodet.bench.rows import Codes, Floats, Integers, Kinds, decoded, entry
from paretodet.bench.seal import DEFAULTS, TYPES, canonical

LONG = ("spec", "machine_facts", "versions", "settings", "raw")  # read for the rows that are shown, and no others
_KINDS = {
    name: set(get_args(hint) if isinstance(hint, UnionType) else (hint,))
    for name, hint in TYPES.items()
    if name not in LONG
}
TEXTS = tuple(name for name, kinds in _KINDS.items() if str in kinds)
NUMBERS = tuple(name for name, kinds in _KINDS.items() if kinds & {int, float, bool})
WHOLE = {name: int if int in _KINDS[name] else bool for name in NUMBERS if float not in _KINDS[name]}
SHORT = tuple(name for name in _KINDS if name not in (*TEXTS, *NUMBERS))  # together in the column `rest`, as JSON
ASKED = {"job_score": "job.score", "job_nms": "job.nms", "job_file": "job.file"}  # as JSON
# What nearly every question needs; read in one go.
CORE = (
    "id", "at", "name", "validity", "subject", "machine", "device", "threads", "batch", "load", "ap_split",
    "ap_measured", "ap_rounding", "disturbed_pct", "latency_ms_p50", "latency_ms_p50_low", "latency_ms_p50_high", "ap",
)  # fmt: skip
EVERY = (*CORE, *(name for name in (*TEXTS, *NUMBERS, *ASKED, "rest") if name not in CORE))
Column = Floats | Integers | Kinds
Fetch = Callable[[Sequence[str]], Iterable[Sequence[Sequence[Any]]]]
Find = Callable[[Sequence[int]], Mapping[int, Mapping[str, Any]]]


def columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row's JSON -> the value of every column. What is of another type than its field is unknown here."""
    known = {**DEFAULTS, **row}
    job = known["job"] if isinstance(known["job"], dict) else {}
    return {
        **{name: known[name] if isinstance(known[name], str) else None for name in TEXTS},
        **{name: number(known[name]) for name in NUMBERS},
        **{name: entry(job, field.partition(".")[2]) for name, field in ASKED.items()},
        "disturbed_pct": number(disturbed(known)),
        "subject": subject(known),
        "rest": canonical({name: known[name] for name in SHORT if known[name] != DEFAULTS[name]}),
    }


def disturbed(row: Mapping[str, Any]) -> Any:
    """What the column `disturbed_pct` holds, of rows of before that field too. The only place that fills it."""
    return disturbed_pct(Measurement.from_json(dict(row)))


def subject(row: Mapping[str, Any]) -> int:
    """60 bits over what tells measurements apart: equal for repetitions of one."""
    text = canonical([row[name] for name in SUBJECT])
    return int(hashlib.sha256(text.encode()).hexdigest()[:15], 16)


def number(value: Any) -> float | None:
    """A finite number as a float; None for anything else."""
    if not isinstance(value, int | float) or (isinstance(value, int) and value.bit_length() > 1000):
        return None
    return float(value) if math.isfinite(value) else None


def light(record: Mapping[str, Any]) -> Measurement:
    """The row of a record of columns, without what is long: those fields are at their defaults."""
    values = {name: record[name] for name in (*TEXTS, *NUMBERS) if record[name] is not None}
    values |= {name: kind(values[name]) for name, kind in WHOLE.items() if name in values}
    return Measurement.from_json(values | json.loads(record["rest"]))


def without_long(row: Measurement) -> Measurement:
    """The same as `light` of a whole row."""
    return light(columns(row.to_json()))


class Fetched:
    """A source of rows in a table, of which a column is read when a question asks for it; the oldest row first.

    `fetch` gives the named columns in chunks, behind each row's number there, by rising numbers; `find` the records
    of some numbers.
    """

    def __init__(self, fetch: Fetch, find: Find) -> None:
        self._fetch, self._find = fetch, find
        found = self._read(CORE)
        dates = found["at"]
        assert isinstance(dates, Kinds)
        rank = np.argsort(np.argsort(np.array(dates.values, dtype=object)))
        oldest_first = np.argsort(rank[dates.codes], kind="stable")
        self._columns = {name: _taken(column, oldest_first) for name, column in found.items()}
        self._sequence = self._whole_numbers("seq")
        self.size = self._sequence.size

    def numbers(self, field: str) -> Floats:
        found = self._column(field)
        assert not isinstance(found, Kinds)
        return np.asarray(found, dtype=np.float64)

    def kinds(self, field: str) -> Kinds:
        found = self._column(field)
        if isinstance(found, Kinds):
            return decoded(found) if field in ASKED.values() else found
        values, codes = np.unique(found, return_inverse=True)
        kind = WHOLE.get(field, float)
        return Kinds(codes, tuple(None if math.isnan(value) else kind(value) for value in values.tolist()))

    def subjects(self) -> Integers:
        return self._whole_numbers("subject")

    def rows(self, places: Sequence[int]) -> list[Measurement]:
        numbers = self._sequence[list(places)].tolist()
        found = self._find(numbers)
        return [light(found[number]) for number in numbers]

    def _column(self, field: str) -> Column:
        name = field.replace(".", "_")
        if name not in self._columns:
            found = self._read((name,))
            numbers = found["seq"]
            assert not isinstance(numbers, Kinds)
            # Rows that others wrote since the first columns were read are left out.
            self._columns[name] = _taken(found[name], np.searchsorted(numbers, self._sequence))
        return self._columns[name]

    def _whole_numbers(self, name: str) -> Integers:
        found = self._column(name)
        assert not isinstance(found, Kinds)
        return found.astype(np.int64)

    def _read(self, names: Sequence[str]) -> dict[str, Column]:
        readers = {name: _reader(name) for name in ("seq", *names)}
        for chunk in self._fetch(names):
            for reader, values in zip(readers.values(), chunk, strict=True):
                reader.add(values)
        return {name: reader.column() for name, reader in readers.items()}


class _Parts:
    """A column that comes in parts."""

    def __init__(self, kind: type[np.generic]) -> None:
        self._parts, self._kind = [np.empty(0, dtype=kind)], kind

    def add(self, values: Sequence[Any]) -> None:
        self._parts.append(np.array(values, dtype=self._kind))

    def column(self) -> Column:
        return np.concatenate(self._parts)


class _Texts(_Parts):
    def __init__(self) -> None:
        super().__init__(np.int64)
        self._codes = Codes()

    def add(self, values: Sequence[Any]) -> None:
        super().add([self._codes[value] for value in values])

    def column(self) -> Column:
        codes = super().column()
        assert not isinstance(codes, Kinds)
        return Kinds(codes.astype(np.int64), tuple(self._codes))


def _reader(name: str) -> _Parts:
    if name in (*TEXTS, *ASKED):
        return _Texts()
    return _Parts(np.int64 if name in ("seq", "subject") else np.float64)


def _taken(column: Column, places: Any) -> Column:
    return Kinds(column.codes[places], column.values) if isinstance(column, Kinds) else column[places]
