"""Compares two rows: whether a measurement was reproduced, and what differs. Pure functions, torch-free.

The ratio of two rows is the ratio of their p50. Its 95 % interval is Welch's, on the log scale, computed from the
t-intervals of the two rows over their processes.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from paretodet.errors import InputError
from paretodet.records.machines import Machine, describe, short_names
from paretodet.records.measurement import SUBJECT, Measurement
from paretodet.records.statistics import Interval, t_quantile

# Fields that may explain a difference; the other fields are results or names.
INPUTS = ("height", "width", "proposals", "classes", "weights", "job")
ENVIRONMENT = ("processes", "machine_facts", "versions", "settings", "validity")
CONDITIONS = (*SUBJECT, *INPUTS, *ENVIRONMENT)


# Conditions whose change makes a repetition a different measurement.
MUST_MATCH: Mapping[str, Callable[[Measurement, Measurement], bool]] = {
    "hardware": lambda old, new: old.machine == new.machine,
    "library versions": lambda old, new: versions_agree(old.versions, new.versions),
    "images": lambda old, new: _setting(old, "images", "digest") == _setting(new, "images", "digest"),
}


def versions_agree(some: Mapping[str, str], others: Mapping[str, str]) -> bool:
    """Whether no library has another version in the one than in the other; one that is installed later is no change."""
    return all(others.get(library, version) == version for library, version in some.items())


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """Whether a row was reproduced; `ratio` is new / old with its 95 % interval."""

    inside: bool
    ratio: float
    low: float
    high: float
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """One condition that differs; `field` is a dotted path if it is nested, None means that a row does not have it."""

    field: str
    first: Any
    second: Any


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What differs between two rows; `ratio` is second / first, None if a row has no latency."""

    changes: tuple[Change, ...]
    ratio: float | None
    low: float | None
    high: float | None
    sentence: str


def reproduced(old: Measurement, new: Measurement) -> Reproduction:
    """Whether the latency of `new` agrees with that of `old`, considering both intervals.

    It does if the ratio's 95 % interval contains 1, or would contain it after widening by the larger `resolution_pct`,
    the smallest difference that the runs can detect. Raises ValueError if a row has no interval.
    """
    for row in (old, new):
        check_interval(row)
    ratio, low, high = _ratio(new, old)
    assert low is not None and high is not None
    slack = 1 + max(old.resolution_pct or 0.0, new.resolution_pct or 0.0) / 100
    overlaps, inside = low <= 1 <= high, low / slack <= 1 <= high * slack
    limit = f", a difference below the {100 * (slack - 1):.2g} % that these runs can detect"
    answer = "is reproduced" if inside else f"is not reproduced: it is {'slower' if ratio > 1 else 'faster'} now"
    sentence = f"{old.name} {answer}; new / old is {_ratio_text(ratio, low, high)}{limit * (inside and not overlaps)}."
    caveats = [f" The {which} row is {row.validity}." for which, row in (("old", old), ("new", new)) if not row.usable]
    if changed := [name for name, agree in MUST_MATCH.items() if not agree(old, new)]:
        caveats.append(f" The two rows were measured with different {' and '.join(changed)}.")
    return Reproduction(inside=inside, ratio=ratio, low=low, high=high, sentence=sentence + "".join(caveats))


def check_interval(row: Measurement) -> None:
    """Raises InputError if a row has no interval of its latency, which a reproduction is compared with."""
    if not row.latency_ms_p50 or _log_mean(row) is None:
        raise InputError(f"row {row.id!r} ({row.name}) has no latency interval: {_why_none(row)}", "row-incomplete")


def diff(first: Measurement, second: Measurement) -> Difference:
    """The conditions in which two rows differ, and the ratio of their latencies."""
    a, b = dict(_conditions(first)), dict(_conditions(second))
    names = [*a, *(name for name in b if name not in a)]
    changes = tuple(
        Change(field=name, first=a.get(name), second=b.get(name)) for name in names if a.get(name) != b.get(name)
    )
    if not first.latency_ms_p50 or not second.latency_ms_p50:
        missing = second if first.latency_ms_p50 else first
        sentence = f"{missing.name} has no latency ({missing.error or missing.validity}), so there is no ratio."
        return Difference(changes=changes, ratio=None, low=None, high=None, sentence=sentence)
    ratio, low, high = _ratio(second, first)
    two_machines = first.machine != second.machine and "" not in (first.machine, second.machine)
    one, other = _places(first, second) if two_machines else (first.name, second.name)
    text = _ratio_text(ratio, low, high)
    sentence = f"{other} takes {text} times as long as {one}{_significance(low, high)}."
    if two_machines and first.artefact != second.artefact:
        sentence += " The two are different artifacts, so the machines are not the only reason."
    return Difference(changes=changes, ratio=ratio, low=low, high=high, sentence=sentence)


def _places(first: Measurement, second: Measurement) -> tuple[str, str]:
    """The names of rows of two machines, each with its machine."""
    known = [Machine(row.machine, describe(row.machine_facts), 1) for row in (first, second)]
    short = short_names(known)
    return f"{first.name} on {short[first.machine]}", f"{second.name} on {short[second.machine]}"


def _ratio(numerator: Measurement, denominator: Measurement) -> Interval:
    """p50 / p50 with its 95 % interval, which always contains the ratio; no interval if a row has none."""
    assert numerator.latency_ms_p50 and denominator.latency_ms_p50
    ratio = numerator.latency_ms_p50 / denominator.latency_ms_p50
    a, b = _log_mean(numerator), _log_mean(denominator)
    if a is None or b is None:
        return Interval(ratio, None, None)
    (mean_a, error_a, df_a), (mean_b, error_b, df_b) = a, b
    error = math.hypot(error_a, error_b)
    # Welch-Satterthwaite degrees of freedom, rounded down.
    df = error**4 / (error_a**4 / df_a + error_b**4 / df_b) if error else df_a + df_b
    half = t_quantile(max(1, math.floor(df + 1e-9))) * error
    low, high = math.exp(mean_a - mean_b - half), math.exp(mean_a - mean_b + half)
    return Interval(ratio, min(low, ratio), max(high, ratio))


def _log_mean(row: Measurement) -> tuple[float, float, int] | None:
    """Mean, standard error and degrees of freedom of log latency over processes, recovered from the interval."""
    low, high = row.latency_ms_p50_low, row.latency_ms_p50_high
    prior = _setting(row, "interval", "prior_df")
    df = row.processes - 1 + (prior if isinstance(prior, int) else 0)
    if not low or not high or df < 1:
        return None
    return math.log(low * high) / 2, math.log(high / low) / 2 / t_quantile(df), df


def _why_none(row: Measurement) -> str:
    """Why a row has no interval."""
    if row.error:
        return f"it has the error {row.error!r}"
    if row.processes < 2:
        return f"it has {row.processes} processes, 2 are needed"
    return "its median and both ends must be above 0"


def _setting(row: Measurement, group: str, name: str) -> Any:
    """A value of the row's settings; None if it is missing, as in rows that other programs wrote."""
    values = row.settings.get(group)
    return values.get(name) if isinstance(values, Mapping) else None


def _ratio_text(ratio: float, low: float | None, high: float | None) -> str:
    return f"{ratio:.3f}" if low is None else f"{ratio:.3f} (95 % interval {low:.3f} to {high:.3f})"


def _significance(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "; there is no interval, because a row has too few processes"
    return "; the difference is not significant" if low <= 1 <= high else ""


def _conditions(row: Measurement) -> Iterator[tuple[str, Any]]:
    for name in CONDITIONS:
        yield from _leaves(name, getattr(row, name))
    yield from _leaves("spec", _parsed(row.spec))


def _parsed(spec: str | None) -> Any:
    try:
        return json.loads(spec or "null")
    except (ValueError, RecursionError):
        return spec


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Dotted paths and plain values of nested JSON; list items are numbered."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple) and any(isinstance(inner, Mapping | list | tuple) for inner in value):
        for index, inner in enumerate(value):
            yield from _leaves(f"{name}.{index}", inner)
    else:
        yield name, list(value) if isinstance(value, tuple) else value
