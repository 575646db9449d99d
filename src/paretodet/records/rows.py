"""Many rows as columns: what a question needs of a million of them, without an object for each. Torch-free."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from paretodet.records.disturbance import disturbed_pct
from paretodet.records.measurement import SUBJECT, USABLE, Measurement
from paretodet.records.row_id import canonical

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Places = NDArray[np.intp]
NEAR = 1000  # ids among which the nearest to a wrong one are sought
CHUNK = 1000  # rows made at once while iterating


class Kinds(NamedTuple):
    """A column of few distinct values: `values[codes[i]]` is that of row i."""

    codes: Integers
    values: tuple[Any, ...]


class RowSource(Protocol):
    """Where rows come from; each column has an entry for every row there is."""

    size: int

    def numbers(self, field: str) -> Floats:
        """NaN where a row does not know."""

    def kinds(self, field: str) -> Kinds:
        """The same as distinct values; "job.score" is the entry `score` of the field `job`."""

    def subjects(self) -> Integers:
        """Equal for rows that are equal in `SUBJECT`."""

    def times(self) -> Floats:
        """`seconds` of every row."""

    def read_ahead(self, fields: Sequence[str]) -> None:
        """These will be asked for: together they are read faster than one by one."""

    def rows(self, places: Sequence[int]) -> list[Measurement]:
        """The rows at these places, in this order."""


class Rows(Sequence[Measurement]):
    """Some of a source's rows in order. A row becomes an object when it is asked for, columns never do."""

    def __init__(self, source: RowSource, places: Places | None = None) -> None:
        self._source = source
        self.places = np.arange(source.size) if places is None else places

    @classmethod
    def of(cls, rows: Sequence[Measurement]) -> "Rows":
        """`rows` with columns; what has them already stays as it is."""
        return rows if isinstance(rows, Rows) else cls(RowObjects(rows))

    def __len__(self) -> int:
        return int(self.places.size)

    @overload
    def __getitem__(self, index: int) -> Measurement: ...
    @overload
    def __getitem__(self, index: slice) -> "Rows": ...
    def __getitem__(self, index: int | slice) -> "Measurement | Rows":
        if isinstance(index, slice):
            return Rows(self._source, self.places[index])
        return self._source.rows([int(self.places[index])])[0]

    def __iter__(self) -> Iterator[Measurement]:
        for start in range(0, len(self), CHUNK):
            yield from self._source.rows(self.places[start : start + CHUNK].tolist())

    def where(self, chosen: NDArray[Any]) -> "Rows":
        """The rows of a mask [N], or at these indices."""
        return Rows(self._source, self.places[chosen])

    def numbers(self, field: str) -> Floats:
        """[N] float64, NaN where a row does not know."""
        return self._source.numbers(field)[self.places]

    def kinds(self, field: str) -> Kinds:
        """The distinct values of these rows in order of their first appearance, and [N] which of them each row has."""
        codes, values = self._source.kinds(field)
        codes = codes[self.places]
        first = np.full(len(values), codes.size)
        first[codes[::-1]] = np.arange(codes.size)[::-1]
        found = np.flatnonzero(first < codes.size)
        found = found[np.argsort(first[found])]
        rank = np.empty(len(values), dtype=np.int64)
        rank[found] = np.arange(found.size)
        return Kinds(rank[codes], tuple(values[code] for code in found.tolist()))

    def texts(self, field: str) -> list[Any]:
        """[N] values of a field as they are."""
        codes, values = self._source.kinds(field)
        return [values[code] for code in codes[self.places].tolist()]

    def of_run(self, prefix: str) -> "Rows":
        """The rows of the runs whose ids begin so."""
        codes, values = self._source.kinds("run")
        return self.where(np.array([value.startswith(prefix) for value in values], dtype=np.bool_)[codes[self.places]])

    def usable(self) -> NDArray[np.bool_]:
        """[N] which rows enter a frontier."""
        codes, values = self._source.kinds("validity")
        trusted = np.array([value in USABLE for value in values], dtype=np.bool_)
        return trusted[codes[self.places]] & ~np.isnan(self.numbers("latency_ms_p50"))

    def read_ahead(self, fields: Sequence[str]) -> "Rows":
        """The same rows, for which these fields are read at once."""
        self._source.read_ahead(fields)
        return self

    def times(self) -> Floats:
        """[N] when each row was measured, `seconds`."""
        return self._source.times()[self.places]

    def newest(self) -> "Rows":
        """The newest row of everything that was measured more than once, a usable one before any that is not; of two
        of one second the later in order.
        """
        _, subject, times = np.unique(self._source.subjects()[self.places], return_inverse=True, return_counts=True)
        kept = times[subject] == 1
        repeated = np.flatnonzero(~kept)
        several = self.where(repeated)
        order = np.lexsort((several.times(), several.usable(), subject[repeated]))
        of = subject[repeated][order]
        kept[repeated[order[np.append(of[1:] != of[:-1], True)[: of.size]]]] = True
        return self.where(kept)


class RowObjects:
    """A source of rows that are objects already."""

    def __init__(self, rows: Sequence[Measurement]) -> None:
        self._rows = tuple(rows)
        self._numbers: dict[str, Floats] = {}
        self._kinds: dict[str, Kinds] = {}
        self.size = len(self._rows)

    def numbers(self, field: str) -> Floats:
        if field not in self._numbers:
            of = disturbed_pct if field == "disturbed_pct" else attrgetter(field)
            self._numbers[field] = np.array([of(row) for row in self._rows], dtype=np.float64)
        return self._numbers[field]

    def kinds(self, field: str) -> Kinds:
        if field not in self._kinds:
            name, _, entry = field.partition(".")
            values = [getattr(row, name) for row in self._rows]
            self._kinds[field] = _entries(values, entry) if entry else encoded(values)
        return self._kinds[field]

    def subjects(self) -> Integers:
        return encoded([tuple(getattr(row, name) for name in SUBJECT) for row in self._rows]).codes

    def read_ahead(self, fields: Sequence[str]) -> None:
        """They are there."""

    def times(self) -> Floats:
        return np.array([seconds(row.at) for row in self._rows], dtype=np.float64)

    def rows(self, places: Sequence[int]) -> list[Measurement]:
        return [self._rows[place] for place in places]


def seconds(at: str) -> float:
    """Seconds since 1970 of a date in ISO 8601, UTC where it has no zone; before all others where it is no date."""
    try:
        date = datetime.fromisoformat(at)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return -math.inf


class Codes(dict[Any, int]):
    """A number for each distinct value, in order of appearance."""

    def __missing__(self, value: Any) -> int:
        self[value] = len(self)
        return len(self) - 1


def encoded(values: Iterable[Any]) -> Kinds:
    codes = Codes()
    return Kinds(np.array([codes[value] for value in values], dtype=np.int64), tuple(codes))


def decoded(texts: Kinds) -> Kinds:
    """What the values are as JSON; None stays."""
    return Kinds(texts.codes, tuple(None if text is None else json.loads(text) for text in texts.values))


def entry(of: Mapping[str, Any], key: str) -> str | None:
    """An entry as JSON text, whatever it is; None where it is not there."""
    value = of.get(key)
    return None if value is None else canonical(value)


def _entries(values: Iterable[Mapping[str, Any]], key: str) -> Kinds:
    return decoded(encoded(entry(value, key) for value in values))


def one_id(prefix: str, beginning: Callable[[str], list[str]]) -> str:
    """The only id that begins so; `beginning` lists those that do. Raises LookupError, naming near ids."""
    found = beginning(prefix)
    if len(found) == 1:
        return found[0]
    if found:
        raise LookupError(f"id {prefix!r} begins {len(found)} ids ({', '.join(found[:5])} ...); give more of it")
    near = next((ids for end in range(len(prefix) - 1, -1, -1) if (ids := beginning(prefix[:end]))), [])
    spoken = ", ".join(get_close_matches(prefix, near[:NEAR], n=3, cutoff=0)) or "none, the store is empty"
    raise LookupError(f"no row has an id that begins with {prefix!r}; the nearest: {spoken}")
