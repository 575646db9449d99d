"""The AP of Huang et al.'s systems, estimated from what is published of them. Torch-free.

    log AP = constant + meta-architecture + backbone + resolution + stride + proposals

Every term has a normal prior, and the terms are fitted to the published values: Bayesian linear regression. Values,
effects and their sources are in `published_effects.toml` beside this file. How wrong an estimate is comes from values
that were left out: the interval is as wide as the errors of a fit that has seen no value of the same combination of
meta-architecture and backbone.
"""

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import NormalDist, median
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretodet import schema
from paretodet.backbones.catalogue import PUBLISHED
from paretodet.detectors.catalogue import REGION_STRIDES
from paretodet.detectors.names import DetectorName, parse
from paretodet.errors import InputError
from paretodet.records.estimate import ApEstimate
from paretodet.schema import Closed, Count, Limits, Positive

FACTS = "published_effects.toml"
COVERAGE = 0.9
METAS = ("ssd", "faster_rcnn", "rfcn")
SIDES = (300, 600)  # px; between them the effect of a resolution is in proportion to the logarithm of the side
PROPOSALS = (10, 300)
RELEASES = ("zoo",)  # sources whose values are of a later training
MIDDLE, STEP = 75.0, 5.0  # percent of top-1: where the backbones' term is 0, and what it counts

Floats = NDArray[np.float64]
Terms = dict[str, float]  # a term and its coefficient; "backbone_ssd:vgg16" is the term `backbone_ssd` of one backbone


class PublishedValue(Closed, kw_only=True, frozen=True):
    """An AP in percent as printed at a place of a source."""

    name: str
    ap: Positive
    rounding: Positive
    source: str
    place: str

    @property
    def released(self) -> bool:
        return self.source in RELEASES

    @property
    def combination(self) -> tuple[str, str | None]:
        """Its meta-architecture and backbone."""
        part = parse(self.name)
        return part.architecture, part.backbone


class ProposalShare(Closed, kw_only=True, frozen=True):
    """The share of the accuracy that is left with fewer proposals."""

    count: Count
    share: Annotated[float, Limits(gt=0, lt=1)]
    source: str
    place: str


class Effect(Closed, kw_only=True, frozen=True):
    """What is known of a term before any value: a factor on AP, and the standard deviation of its logarithm."""

    factor: Positive
    spread: Positive
    source: str | None = None
    place: str | None = None


class PublishedFacts(Closed, kw_only=True, frozen=True):
    """What is published of the systems, and what each term was before that."""

    split: str
    sources: dict[str, str]
    values: tuple[PublishedValue, ...]
    proposals: tuple[ProposalShare, ProposalShare]
    terms: dict[str, Effect]
    noise: dict[str, Positive]


@dataclass(frozen=True, kw_only=True)
class HeldOutValue:
    """A published AP, and what a fit that has not seen it expects: `spread` is of the logarithm."""

    name: str
    ap: float
    expected: float
    spread: float

    @property
    def error(self) -> float:
        """The logarithm of the published AP divided by the expected one."""
        return math.log(self.ap / self.expected)


class _Prior(NamedTuple):
    """The place of every term, and mean and variance of what it adds to log AP before any value, [T] each."""

    places: dict[str, int]
    means: Floats
    variances: Floats


@cache
def facts() -> PublishedFacts:
    """The content of `published_effects.toml`."""
    text = files(__package__).joinpath(FACTS).read_text("utf-8")
    return schema.convert(tomllib.loads(text), PublishedFacts, what=FACTS)


@cache
def estimate(name: str) -> ApEstimate | None:
    """The estimated AP of a system of Huang et al. with its interval; None for any other name.

    Sides from 300 to 600 and 10 to 300 proposals are estimated, also where the catalogue has no such name; nothing is
    extrapolated. A published AP of the same system is no reason for None: it is one of the values of the fit.
    """
    if (part := _system(name)) is None:
        return None
    expected, spread = _fit(facts().values)(part)
    half = NormalDist().inv_cdf(0.5 + COVERAGE / 2) * spread * interval_scale()
    return ApEstimate(
        ap=math.exp(expected),
        low=math.exp(expected - half),
        high=min(100.0, math.exp(expected + half)),
        coverage=COVERAGE,
        split=facts().split,
        group=f"{part.architecture}-{part.backbone}-{part.height}",
        own=min(1.0, facts().noise["repeat"] / spread),
        source=sentence(),
    )


def estimates(names: Iterable[str]) -> dict[str, ApEstimate]:
    """The estimates of those of the names that have one."""
    return {name: known for name in names if (known := estimate(name))}


@cache
def sentence() -> str:
    """What the estimates rest on, and how wrong they are."""
    known = facts().values
    missed = round(100 * median(abs(math.expm1(-each.error)) for each in left_out_combinations()))
    return (
        f"a linear model of log AP, fitted to {len(known)} published values of {len({each.name for each in known})} "
        f"systems of the same code ({'; '.join(facts().sources.values())}) and to the effects that Huang et al. state; "
        f"its median error on a combination of architecture and backbone that it has not seen is {missed} %"
    )


def left_out_systems() -> tuple[HeldOutValue, ...]:
    """Every published system, as a fit without any value of this system expects it."""
    return _left_out({each.name: each.name for each in facts().values})


@cache
def left_out_combinations() -> tuple[HeldOutValue, ...]:
    """Every published system, as a fit without any value of its meta-architecture on its backbone expects it."""
    return _left_out({each.name: each.combination for each in facts().values})


@cache
def interval_scale() -> float:
    """By how much the errors of left-out combinations exceed the fit's own spread; at least 1."""
    ratios = [each.error / each.spread for each in left_out_combinations()]
    return max(1.0, math.sqrt(sum(ratio**2 for ratio in ratios) / len(ratios)))


def covered(left_out: Sequence[HeldOutValue], coverage: float = COVERAGE) -> int:
    """How many of the published values lie in their interval of this coverage."""
    quantile = NormalDist().inv_cdf(0.5 + coverage / 2) * interval_scale()
    return sum(abs(each.error) <= quantile * each.spread for each in left_out)


def _left_out(groups: Mapping[str, object]) -> tuple[HeldOutValue, ...]:
    """The value of every system (the paper's rather than that of a later training), its group left out of the fit."""
    known = facts().values
    first = {each.name: each for each in sorted(known, key=lambda each: not each.released)}
    result = []
    for name, value in first.items():
        fitted = _fit(tuple(each for each in known if groups[each.name] != groups[name]))
        expected, spread = fitted(parse(name))
        result.append(HeldOutValue(name=name, ap=value.ap, expected=math.exp(expected), spread=spread))
    return tuple(sorted(result, key=lambda each: each.name))


class _Fit:
    """The terms fitted to some values: called with a system, the mean and the spread of its log AP."""

    def __init__(self, values: Sequence[PublishedValue]) -> None:
        self._rows = np.array([_row(parse(each.name), released=each.released) for each in values])
        noise = np.diag([_noise(each) for each in values])
        self._inverse = np.linalg.inv(self._rows * _prior().variances @ self._rows.T + noise)
        known = [math.log(each.ap) - _mean(parse(each.name), released=each.released) for each in values]
        self._weights = self._inverse @ np.array(known)

    def __call__(self, part: DetectorName) -> tuple[float, float]:
        spread = _row(part) * _prior().variances
        toward = self._rows @ spread
        variance = _row(part) @ spread - toward @ self._inverse @ toward + facts().noise["repeat"] ** 2
        return float(_mean(part) + toward @ self._weights), math.sqrt(variance)


@cache
def _fit(values: tuple[PublishedValue, ...]) -> _Fit:
    return _Fit(values)


def _system(name: str) -> DetectorName | None:
    """The parts of a name within the range of the published values; None for any other."""
    try:
        part = parse(name)
    except InputError:
        return None
    dense = part.architecture == "ssd"
    inside = (
        part.architecture in METAS
        and part.backbone in REGION_STRIDES
        and part.height == part.width
        and SIDES[0] <= part.height <= SIDES[1]
        and part.output_stride in (None, 8, 16)
        and (part.proposals is None if dense else PROPOSALS[0] <= (part.proposals or 0) <= PROPOSALS[1])
    )
    return part if inside else None


def _terms(part: DetectorName, *, released: bool = False) -> Terms:
    """The terms of a system, and their coefficients."""
    assert part.backbone
    meta, backbone, combination = part.architecture, part.backbone, f"{part.architecture}-{part.backbone}"
    kind = "ssd" if meta == "ssd" else "region"
    halved = math.log2(SIDES[1] / part.height)
    terms = {
        "constant": 1.0,
        f"top1_{kind}": (PUBLISHED[backbone].top1 - MIDDLE) / STEP,
        f"backbone_{kind}:{backbone}": 1.0,
        "resolution": halved,
        f"resolution_meta:{meta}": halved,
        f"resolution_combination:{combination}": halved,
        "stride": float(part.output_stride == 8),
        "release": float(released),
    }
    if kind == "region":
        terms |= {f"combination:{combination}": 1.0, f"proposals_{meta}": _fewer_proposals(part.proposals)}
    return terms | ({} if meta == "faster_rcnn" else {meta: 1.0})


@cache
def _prior() -> _Prior:
    """The terms of all combinations, with what is stated of them."""
    systems = (
        DetectorName(architecture=meta, backbone=each, height=300, width=300)
        for meta in METAS
        for each in REGION_STRIDES
    )
    names = dict.fromkeys(term for part in systems for term in _terms(part))
    effects = [facts().terms[term.partition(":")[0]] for term in names]
    return _Prior(
        {term: place for place, term in enumerate(names)},
        np.array([math.log(each.factor) for each in effects]),
        np.array([each.spread**2 for each in effects]),
    )


def _row(part: DetectorName, *, released: bool = False) -> Floats:
    """The coefficient of every term of the prior."""
    row = np.zeros(len(_prior().places))
    for term, number in _terms(part, released=released).items():
        row[_prior().places[term]] = number
    return row


def _mean(part: DetectorName, *, released: bool = False) -> float:
    """The log AP that the stated effects alone give."""
    return float(_row(part, released=released) @ _prior().means) + _fewer_proposals(part.proposals)


def _noise(value: PublishedValue) -> float:
    """The variance of a published value's logarithm around the terms: of its training and, uniform, its rounding."""
    training = facts().noise["repeat"] ** 2 + (facts().noise["release"] ** 2 if value.released else 0.0)
    return training + (value.rounding / value.ap) ** 2 / 3


def _fewer_proposals(count: int | None) -> float:
    """The logarithm of the share of accuracy that is left with `count` proposals.

    It is a power of (1 / count - 1 / 300) through the two published shares.
    """
    if count is None or count >= PROPOSALS[1]:
        return 0.0
    (first, lost), (second, lost_there) = ((_scarcity(each.count), -math.log(each.share)) for each in facts().proposals)
    exponent = math.log(lost / lost_there) / math.log(first / second)
    return -lost * (_scarcity(count) / first) ** exponent


def _scarcity(count: int) -> float:
    return 1 / count - 1 / PROPOSALS[1]
