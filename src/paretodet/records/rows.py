"""Many rows as columns: answers questions about a million rows without making an object per row. Torch-free."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from paretodet.errors import ErrorId, WithId
from paretodet.records.disturbance import disturbed_pct
from paretodet.records.measurement import SUBJECT, USABLE, Measurement
from paretodet.records.row_id import canonical, job_key

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Indices = NDArray[np.intp]
MAX_COMPARED_IDS = 1000  # ids that are compared with an id that does not exist
CHUNK = 1000  # rows that are made at once during iteration


class Categories(NamedTuple):
    """A column as its distinct values: row i has `values[codes[i]]`."""

    codes: Integers
    values: tuple[Any, ...]


class RowSource(Protocol):
    """Rows as columns; every column has one entry per row."""

    size: int

    def numbers(self, field: str) -> Floats:
        """A numeric field; NaN if unknown. "ap_estimate.low" is the entry `low` of the field `ap_estimate`."""

    def categories(self, field: str) -> Categories:
        """A field as distinct values; "job.score" is the entry `score` of the field `job`."""

    def subjects(self) -> Integers:
        """Equal numbers for rows that are equal in `SUBJECT`."""

    def times(self) -> Floats:
        """The `timestamp` of every row."""

    def read_ahead(self, fields: Sequence[str]) -> None:
        """Reads these fields together, which is faster than one by one."""

    def rows(self, indices: Sequence[int]) -> list[Measurement]:
        """The rows at these indices, in this order."""

    def values(self, fields: Sequence[str], indices: Sequence[int]) -> list[tuple[Any, ...]]:
        """These fields of the rows at these indices, in this order."""


class Rows(Sequence[Measurement]):
    """A selection of a source's rows, in order. An object is made when a row is accessed, not for its columns."""

    def __init__(self, source: RowSource, indices: Indices | None = None) -> None:
        self.source = source
        self.indices = np.arange(source.size) if indices is None else indices

    @classmethod
    def of(cls, rows: Sequence[Measurement]) -> "Rows":
        """`rows` itself if it is a `Rows`, otherwise a `Rows` of these objects."""
        return rows if isinstance(rows, Rows) else cls(RowObjects(rows))

    def __len__(self) -> int:
        return int(self.indices.size)

    @overload
    def __getitem__(self, index: int) -> Measurement: ...
    @overload
    def __getitem__(self, index: slice) -> "Rows": ...
    def __getitem__(self, index: int | slice) -> "Measurement | Rows":
        if isinstance(index, slice):
            return Rows(self.source, self.indices[index])
        return self.source.rows([int(self.indices[index])])[0]

    def __iter__(self) -> Iterator[Measurement]:
        for start in range(0, len(self), CHUNK):
            yield from self.source.rows(self.indices[start : start + CHUNK].tolist())

    def values(self, *fields: str) -> Iterator[tuple[Any, ...]]:
        """These fields of each row, without making an object per row."""
        for start in range(0, len(self), CHUNK):
            yield from self.source.values(fields, self.indices[start : start + CHUNK].tolist())

    def where(self, mask: NDArray[Any]) -> "Rows":
        """The rows of a mask [N], or at these indices."""
        return Rows(self.source, self.indices[mask])

    def numbers(self, field: str) -> Floats:
        """[N] float64, NaN if unknown."""
        return self.source.numbers(field)[self.indices]

    def categories(self, field: str) -> Categories:
        """The distinct values of these rows in order of first appearance, and [N] codes."""
        codes, values = self.source.categories(field)
        codes = codes[self.indices]
        first = np.full(len(values), codes.size)
        first[codes[::-1]] = np.arange(codes.size)[::-1]
        present = np.flatnonzero(first < codes.size)
        present = present[np.argsort(first[present])]
        rank = np.empty(len(values), dtype=np.int64)
        rank[present] = np.arange(present.size)
        return Categories(rank[codes], tuple(values[code] for code in present.tolist()))

    def texts(self, field: str) -> list[Any]:
        """[N] values of a field, unconverted."""
        codes, values = self.source.categories(field)
        return [values[code] for code in codes[self.indices].tolist()]

    def of_run(self, prefix: str) -> "Rows":
        """The rows of the runs whose ids begin with `prefix`."""
        codes, values = self.source.categories("run")
        selected = np.array([value.startswith(prefix) for value in values], dtype=np.bool_)
        return self.where(selected[codes[self.indices]])

    def usable(self) -> NDArray[np.bool_]:
        """[N] which rows are trusted and have a latency."""
        codes, values = self.source.categories("validity")
        trusted = np.array([value in USABLE for value in values], dtype=np.bool_)
        return trusted[codes[self.indices]] & ~np.isnan(self.numbers("latency_ms_p50"))

    def read_ahead(self, fields: Sequence[str]) -> "Rows":
        """These rows, after reading the fields together."""
        self.source.read_ahead(fields)
        return self

    def times(self) -> Floats:
        """[N] `timestamp` of each row."""
        return self.source.times()[self.indices]

    def newest(self, preferred: NDArray[np.bool_] | None = None) -> "Rows":
        """One row per subject: the newest usable row or, without one, the newest row. Equal times: the later row.

        Of rows that are equally usable, those that are `preferred` [N] come before the others. An error gives way to a
        later row of the same job on the same machine: it lacks what was never loaded, and so is another subject.
        """
        _, subject, counts = np.unique(self.source.subjects()[self.indices], return_inverse=True, return_counts=True)
        kept = counts[subject] == 1
        repeated = np.flatnonzero(~kept)
        candidates = self.where(repeated)
        first = np.zeros(repeated.size) if preferred is None else preferred[repeated]
        order = np.lexsort((candidates.times(), first, candidates.usable(), subject[repeated]))
        ordered = subject[repeated][order]
        is_last = np.append(ordered[1:] != ordered[:-1], True)[: ordered.size]
        kept[repeated[order[is_last]]] = True
        return self.where(kept)._without_mended_errors()

    def _without_mended_errors(self) -> "Rows":
        """The rows but for errors that are older than another row of their job, batch, threads and machine."""
        codes, values = self.categories("validity")
        failed = codes == (values.index("error") if "error" in values else -1)
        names, machines = self.categories("name"), self.categories("machine")
        place = names.codes * len(machines.values) + machines.codes
        near = np.flatnonzero(np.isin(place, place[failed]))
        near = near[np.argsort(self.where(near).times(), kind="stable")]  # oldest first
        keys = [
            (*about, job_key(name, job) if job else index)  # without a job, nothing says that it is the same one
            for index, (name, job, *about) in enumerate(
                self.where(near).values("name", "job", "batch", "threads", "machine")
            )
        ]
        newest = dict(zip(keys, near.tolist(), strict=True))
        mended = [index for key, index in zip(keys, near.tolist(), strict=True) if newest[key] != index]
        kept = np.ones(len(self), dtype=np.bool_)
        kept[mended] = ~failed[mended]
        return self.where(kept)


class RowObjects:
    """A source of rows that are objects already."""

    def __init__(self, rows: Sequence[Measurement]) -> None:
        self._rows = tuple(rows)
        self._numbers: dict[str, Floats] = {}
        self._categories: dict[str, Categories] = {}
        self.size = len(self._rows)

    def numbers(self, field: str) -> Floats:
        if field not in self._numbers:
            self._numbers[field] = np.array(list(map(_getter(field), self._rows)), dtype=np.float64)
        return self._numbers[field]

    def categories(self, field: str) -> Categories:
        if field not in self._categories:
            name, _, key = field.partition(".")
            values = [getattr(row, name) for row in self._rows]
            texts = (json_text(value or {}, key) for value in values)
            self._categories[field] = decode_json(encode(texts)) if key else encode(values)
        return self._categories[field]

    def subjects(self) -> Integers:
        return encode([tuple(getattr(row, name) for name in SUBJECT) for row in self._rows]).codes

    def read_ahead(self, fields: Sequence[str]) -> None:
        """Does nothing: the fields are in memory."""

    def times(self) -> Floats:
        return np.array([timestamp(row.at) for row in self._rows], dtype=np.float64)

    def rows(self, indices: Sequence[int]) -> list[Measurement]:
        return [self._rows[index] for index in indices]

    def values(self, fields: Sequence[str], indices: Sequence[int]) -> list[tuple[Any, ...]]:
        return [tuple(getattr(self._rows[index], name) for name in fields) for index in indices]


def _getter(field: str) -> Callable[[Measurement], float | None]:
    """How a number of a row is read; "ap_estimate.low" is the entry `low` of the field `ap_estimate`."""
    name, _, key = field.partition(".")
    if key:
        return lambda row: (getattr(row, name) or {}).get(key)
    return disturbed_pct if field == "disturbed_pct" else attrgetter(field)


def timestamp(at: str) -> float:
    """Seconds since 1970 of a date in ISO 8601, UTC if it has no zone; minus infinity if it is not a date."""
    try:
        date = datetime.fromisoformat(at)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return -math.inf


class _CodeByValue(dict[Any, int]):
    """A number for each distinct value, in order of appearance."""

    def __missing__(self, value: Any) -> int:
        self[value] = len(self)
        return len(self) - 1


def encode(values: Iterable[Any]) -> Categories:
    codes = _CodeByValue()
    return Categories(np.array([codes[value] for value in values], dtype=np.int64), tuple(codes))


def decode_json(texts: Categories) -> Categories:
    """Parses values that are JSON texts; None stays None."""
    return Categories(texts.codes, tuple(None if text is None else json.loads(text) for text in texts.values))


def json_text(mapping: Mapping[str, Any], key: str) -> str | None:
    """An entry as JSON text; None if it is missing."""
    value = mapping.get(key)
    return None if value is None else canonical(value)


class UnknownRow(WithId, LookupError):
    """Not exactly one row has an id that begins with the given characters."""

    def __init__(self, message: str, id: ErrorId = "row-unknown") -> None:
        super().__init__(message, id)


def resolve_id(prefix: str, ids_with_prefix: Callable[[str], list[str]]) -> str:
    """The only id that begins with `prefix`. Raises UnknownRow with the nearest ids if there is not exactly one."""
    ids = ids_with_prefix(prefix)
    if len(ids) == 1:
        return ids[0]
    if ids:
        raise UnknownRow(f"{len(ids)} ids begin with {prefix!r} ({', '.join(ids[:5])} ...); give more characters")
    near = next((ids for end in range(len(prefix) - 1, -1, -1) if (ids := ids_with_prefix(prefix[:end]))), [])
    if not near:
        raise UnknownRow(f"no row has an id that begins with {prefix!r}: the store is empty")
    nearest = ", ".join(get_close_matches(prefix, near[:MAX_COMPARED_IDS], n=3, cutoff=0))
    raise UnknownRow(f"no row has an id that begins with {prefix!r}; the nearest ids are {nearest}")
