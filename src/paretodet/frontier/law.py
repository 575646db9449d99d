"""Costs of networks as sums: of the parts of a network and a fixed part, each at a rate of its own.

The time of a network is about its multiply-adds at the rate of the machine, the values that its layers move at the rate
of the memory, and a fixed time for each layer; its memory is about its weights. With two to five rates that few rows
determine, this holds for networks unlike all that were measured too, which a process that learns from resemblance
cannot predict.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretodet.frontier.features import Features
from paretodet.frontier.values import Floats

PARTS = ("macs", "layers", "parameters", "moved")  # columns of features, as logarithms
MIN_ROWS = 3


class Law(NamedTuple):
    """Cost = the sum of `rates` times the parts of a network and 1; none of the rates is below 0."""

    rates: Floats  # [P + 1]
    usual: float  # the logarithm of the cost of a network whose parts are not known

    def logs(self, features: Features) -> Floats:
        """[N] logarithms of the costs."""
        with np.errstate(divide="ignore"):
            logs = np.log(_parts(features) @ self.rates)
        return np.where(np.isfinite(logs), logs, self.usual)


def law(features: Features, measured: NDArray[np.intp], costs: Floats) -> Law | None:
    """The rates whose relative errors at the measured configurations [n], positions in `features`, are least.

    None if the features do not state the parts, or of fewer than 3 measured configurations.
    """
    if not set(PARTS) <= set(features.number_names):
        return None
    relative = _parts(features.where(measured)) / costs[:, None]
    relative = relative[np.isfinite(relative).all(1)]
    if len(relative) < MIN_ROWS:
        return None
    rates = min(_solutions(relative), key=lambda found: float(((relative @ found - 1) ** 2).sum()))
    made = Law(rates, 0.0)
    return made._replace(usual=float(np.mean(made.logs(features.where(measured)))))


def _solutions(relative: Floats) -> Iterator[Floats]:
    """Least squares with each choice of parts whose rates are not below 0: the best of these is the least of all."""
    count = relative.shape[1]
    yield np.append(np.zeros(count - 1), 1 / relative[:, -1].mean())
    for size in range(1, count + 1):
        for chosen in map(list, combinations(range(count), size)):
            scale = np.linalg.norm(relative[:, chosen], axis=0)
            found = np.linalg.lstsq(relative[:, chosen] / scale, np.ones(len(relative)), rcond=None)[0]
            if (found >= 0).all():
                rates = np.zeros(count)
                rates[chosen] = found / scale
                yield rates


def _parts(features: Features) -> Floats:
    """[N, P + 1] the parts of each network and 1; NaN where they are not known."""
    columns = [features.numbers[:, features.number_names.index(name)] for name in PARTS]
    return np.column_stack([*map(np.exp, columns), np.ones(len(features.numbers))])
