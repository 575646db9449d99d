"""Gains whose errors are not independent: one number in several rows, and estimates that are wrong together.

The accuracy of a network is one number, whatever it is exactly: rows of it in several runtimes differ in cost alone. So
do the rows of a system whose AP is estimated, and the estimates of one group share most of what is unknown of them. An
estimate is uniform in its interval; its standard variable, as that of a normal distribution, is

    sqrt(1 - own²) * (that of its group) + own * (that of its system)

so that the rows of one system always have the same AP, and those of one group move together.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretodet.frontier.values import Columns, Floats, Mask, is_estimated
from paretodet.records.estimate import FIELD as ESTIMATE
from paretodet.records.measurement import GAINS
from paretodet.records.rows import Rows, encode

Codes = NDArray[np.int64]
Indices = NDArray[np.intp]


class SharedErrors(NamedTuple):
    """Which rows share the error of their gain, [N] each; `own` is NaN in rows without an estimate.

    `first` is the position of the first row whose gain is the same number, often that of the row itself.
    """

    group: Codes
    first: Indices
    own: Floats

    def where(self, mask: Mask | Indices) -> "SharedErrors":
        """Those of a mask [N], or at these indices."""
        return SharedErrors(self.group[mask], _first(self.first[mask]), self.own[mask])

    def spread(self, indices: Indices, size: int) -> "SharedErrors":
        """Those of `size` rows, of which these are the ones at `indices` and the others share nothing."""
        group, first, own = np.zeros(size, dtype=np.int64), np.arange(size), np.full(size, np.nan)
        group[indices], first[indices], own[indices] = self.group, indices[self.first], self.own
        return SharedErrors(group, first, own)

    def draw(self, draws: int, random: np.random.Generator) -> Floats:
        """[draws, N] -> positions in the rows' intervals, from 0 to 1."""
        estimated, size = np.isfinite(self.own), self.own.size
        if not estimated.any():
            return np.asarray(random.random((draws, size))[:, self.first])
        groups = random.standard_normal((draws, 1 + int(self.group.max(initial=0))))[:, self.group]
        systems = random.standard_normal((draws, size))[:, self.first]
        alone = random.random((draws, size))[:, self.first]
        own = np.nan_to_num(self.own)
        together = _normal_cdf(np.sqrt(1 - own**2) * groups + own * systems)
        return np.where(estimated, together, alone)


def shared_errors(rows: Rows, gain: str = "ap") -> SharedErrors | None:
    """Those of the rows' gains; None if none is estimated, and no two are the same number."""
    if gain not in GAINS:
        return None
    estimated = is_estimated(rows) if gain == "ap" else np.zeros(len(rows), dtype=np.bool_)
    first = _first(_numbers(rows, gain))
    if not estimated.any():
        group, own = np.zeros(len(rows), dtype=np.int64), np.full(len(rows), np.nan)
        return None if (first == np.arange(len(rows))).all() else SharedErrors(group, first, own)
    own = np.where(estimated, np.clip(rows.numbers(f"{ESTIMATE}.own"), 0, 1), np.nan)
    return SharedErrors(rows.categories(f"{ESTIMATE}.group").codes, first, own)


def is_slower_twin(costs: Columns, shared: SharedErrors | None) -> Mask:
    """[N] which rows certainly cost more than another row whose gain is the same number."""
    if shared is None:
        return np.zeros(costs.point.size, dtype=np.bool_)
    cheapest = np.full(costs.point.size, np.inf)
    np.minimum.at(cheapest, shared.first, costs.high)
    return np.asarray(cheapest[shared.first] < costs.low)


def _numbers(rows: Rows, gain: str) -> Codes:
    """[N] equal codes where the gain is the same number: stated alike of the same network, or of one system estimated.

    What states that a network is the same is read only of the rows that have all else in common.
    """
    stated = (_ranks(rows.numbers(name)) for name in (gain, "ap_rounding"))
    codes = _together(*stated, *(rows.categories(name).codes for name in ("name", "ap_split")))
    repeated = np.bincount(codes)[codes] > 1
    weights = np.zeros(len(rows), dtype=np.int64)
    weights[repeated] = encode(text for (text,) in rows.where(repeated).values("weights")).codes
    return _together(codes, weights)


def _together(*columns: Codes) -> Codes:
    """[N] equal codes where all columns are equal."""
    codes = columns[0]
    for column in columns[1:]:
        codes = _ranks(codes * (1 + column.max(initial=0)) + column)
    return codes


def _ranks(column: NDArray[np.float64] | Codes) -> Codes:
    """[N] equal small codes for equal values."""
    return np.asarray(np.unique(column, return_inverse=True)[1], dtype=np.int64)


def _first(codes: Codes | Indices) -> Indices:
    """[N] the position of the first row that has the same code."""
    _, first, ranks = np.unique(codes, return_index=True, return_inverse=True)
    return np.asarray(first[ranks])


def _normal_cdf(numbers: Floats) -> Floats:
    """The normal distribution function, to within 0.0003."""
    return np.asarray(0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (numbers + 0.044715 * numbers**3))))
