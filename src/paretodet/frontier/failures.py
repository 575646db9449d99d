"""The probability that a configuration can be measured, from how many of its kind failed.

A kind is what configurations have in common that may make them fail: a runtime, in it a precision, in this one a
source of networks. The probability of a kind has a Beta distribution. Its mean before any try of the kind is that of
the wider kind around it, from the tries of the latter that are of other narrow kinds, so that every try counts once.
A narrow kind mostly works or mostly fails: a few tries outweigh the others, and no number of failures excludes what
was not tried.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretodet.frontier.values import Floats, Mask

USUAL, BEFORE = 0.95, 10.0  # the mean of all kinds before anything was tried, and as how many tries it counts
NARROW, WIDER = 0.5, 4.0  # as how many tries the mean of the wider kind counts for a narrow kind; times more for wider


class Working(NamedTuple):
    """The probability that each of N configurations works [N]: 1 of what was measured, 0 of what failed.

    `of_kind` [N] is the mean of that of its narrowest kind, known of `tries` [N]; `codes` [N] are these kinds.
    """

    mean: Floats
    of_kind: Floats
    tries: Floats
    codes: NDArray[np.int64]

    @classmethod
    def surely(cls, count: int) -> "Working":
        """Of configurations that never fail."""
        return cls(np.ones(count), np.ones(count), np.ones(count), np.zeros(count, dtype=np.int64))

    def draws(self, rows: NDArray[np.intp], count: int, random: np.random.Generator) -> Floats:
        """[count, rows] what the probability may be; one unknown number for all of a kind."""
        certain = np.isin(self.mean[rows], (0.0, 1.0))
        if certain.all():
            return np.broadcast_to(self.mean[rows], (count, len(rows)))
        _, first, places = np.unique(self.codes[rows], return_index=True, return_inverse=True)
        mean, tries = self.of_kind[rows][first], self.tries[rows][first]
        drawn = random.beta(mean * tries, (1 - mean) * tries, (count, len(first)))
        return np.where(certain, self.mean[rows], drawn[:, places])


def working(kinds: NDArray[np.int64], worked: Mask, failed: Mask) -> Working:
    """What the tries say of all configurations.

    `kinds` [N, L] are codes of nested kinds, from wide to narrow: those of a narrow kind are all of one wider kind.
    """
    none = np.zeros(len(kinds), dtype=np.int64)
    counts = np.array([_counts(codes, worked, failed) for codes in (none, *kinds.T)])
    counts[:-1] -= counts[1:]  # of the wider kind, those of other narrow kinds
    mean, tries = np.full(len(kinds), USUAL), np.zeros(len(kinds))
    levels = reversed(range(kinds.shape[1]))
    for (right, wrong), imagined in zip(counts, [BEFORE, *(NARROW * WIDER**level for level in levels)], strict=True):
        tries = imagined + right + wrong
        mean = (imagined * mean + right) / tries
    return Working(np.where(worked, 1.0, np.where(failed, 0.0, mean)), mean, tries, kinds[:, -1])


def _counts(codes: NDArray[np.int64], worked: Mask, failed: Mask) -> list[Floats]:
    """[N] of how many with the same code as each it is known that they work, and that they fail."""
    places = np.unique(codes, return_inverse=True)[1]
    sums = (np.bincount(places, weights=tried) for tried in (worked, failed))
    return [np.asarray(each, dtype=np.float64)[places] for each in sums]
