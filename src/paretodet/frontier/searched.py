"""A search for the frontier as data: its configurations, what of them is measured, and where each stands."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from paretodet.frontier.dominance import SURE
from paretodet.frontier.features import Features
from paretodet.frontier.predict import NORMAL_95
from paretodet.frontier.search import Space, Standing, standing
from paretodet.frontier.values import Columns, Floats, Mask, Value, columns
from paretodet.records.estimate import estimate_of
from paretodet.records.measurement import GAINS, Measurement
from paretodet.records.statistics import NORMAL_975


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One configuration of a space.

    `expected` is a row with what is known before a measurement: how it is executed, its counts and its accuracy.
    `reason` says why it cannot be measured, as a sentence.
    """

    expected: Measurement
    row: Measurement | None = None
    reason: str | None = None
    finished: float = 0.0  # s of the search after which its row or reason was there; 0: before it began
    before: "Configuration | None" = None  # what was known of it until then, if it was measured again

    def at(self, until: float) -> "Configuration | None":
        """What was known `until` seconds after the search began; None if there was neither row nor reason."""
        known: Configuration | None = self
        while known is not None and known.finished > until:
            known = known.before
        return known


@dataclass(frozen=True, kw_only=True)
class Uncompared:
    """Configurations that cannot be compared because nothing states their gain, and what to do about it."""

    labels: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search knows: the configurations, and by `standing` the probability that each is on their frontier."""

    cost: str
    gain: str
    split: str | None  # of the accuracy, as in `Frontier`
    slack: float  # uncertainty of every accuracy, in AP
    configurations: tuple[Configuration, ...]
    features: Features
    seconds: Floats  # [N] expected time of a measurement
    kinds: tuple[tuple[str, ...], ...] = ()  # [N] what may make configurations fail alike, from wide to narrow; or none
    spent: float = 0.0  # s, with all sessions of this search
    run: str = ""
    left_out: tuple[Uncompared, ...] = ()
    notes: tuple[str, ...] = field(default=())  # sentences

    def __len__(self) -> int:
        return len(self.configurations)

    @property
    def read(self) -> tuple[str, ...]:
        """The fields that are read from measured rows: the cost, and a gain that is not stated before."""
        return (self.cost,) if self.gain in GAINS else (self.cost, self.gain)

    def after(self, found: Mapping[int, Configuration], *, seconds: Floats, spent: float, run: str) -> "SearchResult":
        """The same search with what was found since, by index."""
        configurations = list(self.configurations)
        for index, each in found.items():
            configurations[index] = each
        result = replace(self, configurations=tuple(configurations), seconds=seconds, spent=spent, run=run)
        stated = ("_stated_gain", "_shared") if self.gain in GAINS else ()
        for name in ("estimated", "_kinds", *stated):  # no measurement changes these
            result.__dict__[name] = getattr(self, name)
        return result

    def space(self, until: float = math.inf) -> Space:
        """What was known `until` seconds after the search began."""
        kept = [each.at(until) for each in self.configurations]
        rows = {place: each.row for place, each in enumerate(kept) if each and each.row}
        return Space(
            features=self.features,
            cost=_scattered(rows, self.cost, len(self)),
            gain=self._stated_gain if self.gain in GAINS else _scattered(rows, self.gain, len(self)),
            seconds=self.seconds,
            excluded=np.array([bool(each and each.reason) for each in kept], dtype=np.bool_),
            shared=self._shared if self.gain in GAINS else None,
            kinds=self._kinds,
        )

    @cached_property
    def _stated_gain(self) -> Columns:
        rows = [each.expected for each in self.configurations]
        point, low, high = columns(rows, self.gain, slack=self.slack)
        widening = np.where(self.estimated, NORMAL_975 / NORMAL_95, 1.0)
        return Columns(point, point - widening * (point - low), point + widening * (high - point))

    @cached_property
    def estimated(self) -> Mask:
        """[N] which gains are estimated AP, whose intervals hold 90 %, where those of a `Space` hold 95 %."""
        estimates = [self.gain == "ap" and estimate_of(each.expected) is not None for each in self.configurations]
        return np.array(estimates, dtype=np.bool_)

    @cached_property
    def _shared(self) -> NDArray[np.int64]:
        """[N] equal codes where the accuracy is the same number of the same network."""
        rows = [each.expected for each in self.configurations]
        keys = [(row.name, getattr(row, self.gain), row.ap_split, row.job.get("weights")) for row in rows]
        return _codes(keys)

    @cached_property
    def _kinds(self) -> NDArray[np.int64] | None:
        """[N, L] equal codes for equal kinds."""
        return np.stack([_codes(level) for level in zip(*self.kinds, strict=True)], axis=1) if self.kinds else None

    def at(self, until: float) -> Standing:
        """Where every configuration stood `until` seconds after the search began."""
        return standing(self.space(until))

    @cached_property
    def now(self) -> Space:
        """What is known at the end."""
        return self.space()

    @cached_property
    def standing(self) -> Standing:
        return standing(self.now)

    @property
    def measured(self) -> Mask:
        """[N] which configurations have a row that can be compared."""
        return self.now.measured

    @property
    def failed(self) -> tuple[Configuration, ...]:
        """Those that cannot be measured."""
        return tuple(each for each in self.configurations if each.reason)

    @property
    def members(self) -> list[int]:
        """The measured configurations that are or may be on the frontier, by rising cost."""
        return self._ordered(self.measured & (self.standing.membership > 1 - SURE))

    @property
    def candidates(self) -> list[int]:
        """Those without a measurement that may be on the frontier, by rising cost."""
        return self._ordered(~self.measured & ~self.now.excluded & (self.standing.membership > 1 - SURE))

    @property
    def undecided(self) -> list[int]:
        """Those whose membership is neither surely true nor surely false."""
        return self._ordered(~self.standing.decided & ~self.now.excluded)

    @property
    def spared(self) -> list[int]:
        """Those that were never measured and need not be: they are surely not on the frontier."""
        unlikely = self.standing.membership <= 1 - SURE
        return self._ordered(~self.measured & ~self.now.excluded & unlikely & ~self._avoided)

    @property
    def avoided(self) -> list[int]:
        """Those that were not measured and may be on the frontier if they work, but more probably fail."""
        return self._ordered(self._avoided)

    @property
    def dependent(self) -> list[int]:
        """Measured ones that are undecided only because what is avoided may work after all."""
        now = self.now
        without = standing(replace(now, excluded=now.excluded | self._avoided, kinds=None))
        return self._ordered(self.measured & ~self.standing.decided & without.decided) if self._avoided.any() else []

    @property
    def _avoided(self) -> Mask:
        works, possible = self.standing.works, self.standing.membership > (1 - SURE) * self.standing.works
        return np.asarray(~self.measured & ~self.now.excluded & (works < 0.5) & possible)

    def _ordered(self, mask: Mask) -> list[int]:
        cost = self.standing.cost.point
        return sorted(np.flatnonzero(mask).tolist(), key=lambda index: (cost[index], index))

    def cost_of(self, index: int) -> Value:
        """Measured or predicted, with its interval."""
        return Value(*(float(part[index]) for part in self.standing.cost))

    def gain_of(self, index: int) -> Value:
        """Stated, measured or predicted, with its interval."""
        return Value(*(float(part[index]) for part in self.standing.gain))

    def beaten_by(self, index: int) -> int | None:
        """The measured member with the most gain, of equal ones the cheapest, of those that probably cost no more and
        gain no less.
        """
        cost, gain = self.standing.cost.point, self.standing.gain.point
        better = [i for i in self.members if cost[i] <= cost[index] and gain[i] >= gain[index]]
        return max(better, key=lambda i: gain[i], default=None)


def _scattered(rows: Mapping[int, Measurement], field: str, count: int) -> Columns:
    """[count] the values of rows by index; NaN for the others."""
    found = np.full((3, count), np.nan)
    if rows:
        found[:, list(rows)] = columns(list(rows.values()), field)
    return Columns(*found)


def _codes(keys: Sequence[Hashable]) -> NDArray[np.int64]:
    """Equal codes for equal keys."""
    code = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    return np.array([code[key] for key in keys], dtype=np.int64)


def by_label(pairs: Sequence[tuple[str, str]]) -> tuple[Uncompared, ...]:
    """(label, reason) pairs -> the labels of every reason, in order."""
    labels: dict[str, list[str]] = {}
    for label, reason in pairs:
        labels.setdefault(reason, []).append(label)
    return tuple(Uncompared(labels=tuple(names), reason=reason) for reason, names in labels.items())
