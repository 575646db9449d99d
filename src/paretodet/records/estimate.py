"""An AP that was neither measured nor published, with its interval, and rows that have one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretodet.records.measurement import Measurement
from paretodet.records.rows import Categories, Floats, Integers, Rows, RowSource, encode

FIELD = "ap_estimate"  # of a row; "ap_estimate.low" is a column


@dataclass(frozen=True, kw_only=True)
class ApEstimate:
    """An estimated AP in percent, and the interval that holds the true one with probability `coverage`.

    `split` is the split whose AP it estimates; `source` is a sentence that says what it rests on. Estimates of one
    `group` share their error but for a part: `own` is the standard deviation of this part, as a share of the whole.
    """

    ap: float
    low: float
    high: float
    coverage: float
    split: str
    group: str
    own: float
    source: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def estimate_of(row: Measurement) -> ApEstimate | None:
    """The estimate of a row that has no other AP."""
    return ApEstimate(**row.ap_estimate) if row.ap_estimate and row.ap is None else None


def with_estimates(rows: Rows, mask: NDArray[np.bool_], estimates: Mapping[str, ApEstimate]) -> Rows:
    """The rows, of which those of the mask [N] have the estimate of their name."""
    chosen = np.zeros(rows.source.size, dtype=np.bool_)
    chosen[rows.indices[mask]] = True
    return Rows(_EstimatedRows(rows.source, chosen, estimates), rows.indices)


class _EstimatedRows:
    """A source of rows in which some of another source's rows have an estimate."""

    def __init__(self, source: RowSource, chosen: NDArray[np.bool_], estimates: Mapping[str, ApEstimate]) -> None:
        self._source, self._chosen, self._estimates = source, chosen, estimates
        self.size = source.size

    def numbers(self, field: str) -> Floats:
        name, _, key = field.partition(".")
        if name != FIELD:
            return self._source.numbers(field)
        codes, names = self._source.categories("name")
        known = [getattr(self._estimates[each], key) if each in self._estimates else np.nan for each in names]
        return np.where(self._chosen, np.array(known, dtype=np.float64)[codes], np.nan)

    def categories(self, field: str) -> Categories:
        name, _, key = field.partition(".")
        if name != FIELD:
            return self._source.categories(field)
        names = self._source.categories("name")
        texts = encode([None, *(getattr(self._estimates.get(each), key, None) for each in names.values)])
        return Categories(np.where(self._chosen, texts.codes[1:][names.codes], 0), texts.values)

    def subjects(self) -> Integers:
        return self._source.subjects()

    def times(self) -> Floats:
        return self._source.times()

    def read_ahead(self, fields: Sequence[str]) -> None:
        self._source.read_ahead(fields)

    def rows(self, indices: Sequence[int]) -> list[Measurement]:
        rows = self._source.rows(indices)
        return [
            replace(row, ap_estimate=self._estimates[row.name].to_json()) if self._chosen[index] else row
            for index, row in zip(indices, rows, strict=True)
        ]

    def values(self, fields: Sequence[str], indices: Sequence[int]) -> list[tuple[Any, ...]]:
        return self._source.values(fields, indices)
