"""Estimates whose errors are not independent: of one system, and of systems that share most of what is unknown of them.

A row's estimate is uniform in its interval. Its standard variable, as that of a normal distribution, is

    sqrt(1 - own²) * (that of its group) + own * (that of its system)

so that the rows of one system (in several runtimes, say) always have the same AP, and those of one group move together.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretodet.frontier.values import Columns, Floats, Mask, is_estimated
from paretodet.records.estimate import FIELD as ESTIMATE
from paretodet.records.rows import Rows

Codes = NDArray[np.int64]


class SharedErrors(NamedTuple):
    """Which rows share the error of their estimate, [N] each; `own` is NaN in rows without an estimate."""

    group: Codes
    system: Codes
    own: Floats

    def where(self, mask: NDArray[np.bool_] | NDArray[np.intp]) -> "SharedErrors":
        """Those of a mask [N], or at these indices."""
        return SharedErrors(self.group[mask], self.system[mask], self.own[mask])

    @property
    def estimated(self) -> Mask:
        return np.isfinite(self.own)

    def draw(self, draws: int, random: np.random.Generator) -> Floats:
        """[draws, N] -> positions in the rows' intervals, from 0 to 1."""
        groups = random.standard_normal((draws, 1 + int(self.group.max(initial=0))))[:, self.group]
        systems = random.standard_normal((draws, 1 + int(self.system.max(initial=0))))[:, self.system]
        alone = random.random((draws, self.own.size))
        own = np.nan_to_num(self.own)
        together = _normal_cdf(np.sqrt(1 - own**2) * groups + own * systems)
        return np.where(self.estimated, together, alone)


def shared_errors(rows: Rows) -> SharedErrors | None:
    """Those of the rows whose AP is estimated; None if no AP is."""
    estimated = is_estimated(rows)
    if not estimated.any():
        return None
    own = np.where(estimated, np.clip(rows.numbers(f"{ESTIMATE}.own"), 0, 1), np.nan)
    return SharedErrors(rows.categories(f"{ESTIMATE}.group").codes, rows.categories("name").codes, own)


def is_slower_twin(costs: Columns, shared: SharedErrors | None) -> Mask:
    """[N] which rows certainly cost more than another row of the same system, whose estimated AP is the same."""
    if shared is None:
        return np.zeros(costs.point.size, dtype=np.bool_)
    cheapest = np.full(1 + int(shared.system.max(initial=0)), np.inf)
    np.minimum.at(cheapest, shared.system[shared.estimated], costs.high[shared.estimated])
    return np.asarray(shared.estimated & (cheapest[shared.system] < costs.low))


def _normal_cdf(numbers: Floats) -> Floats:
    """The normal distribution function, to within 0.0003."""
    return np.asarray(0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (numbers + 0.044715 * numbers**3))))
