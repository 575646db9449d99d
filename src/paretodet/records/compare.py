"""Two rows beside each other: was a measurement reproduced, and what differs. Pure functions, torch-free.

The ratio of two rows is the ratio of their p50; its 95 % interval is Welch's, on the log scale, from the rows' own
t-intervals over processes.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from paretodet.records.measurement import SUBJECT, Measurement
from paretodet.records.rows import Rows
from paretodet.records.statistics import Interval, t_quantile

# What may explain a difference; everything else in a row is a result or its name.
WHAT = ("height", "width", "proposals", "classes", "weights", "job")
HOW = ("processes", "machine_facts", "versions", "settings", "validity")
CONDITIONS = (*SUBJECT, *WHAT, *HOW)


ELSEWHERE: Mapping[str, Callable[[Measurement], Any]] = {  # what makes a repetition another measurement
    "hardware": lambda row: row.machine,
    "library versions": lambda row: row.versions,
    "pictures": lambda row: row.settings.get("images", {}).get("digest"),
}


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
    """One condition that is not the same; `field` is dotted where it lies deeper, None means not there."""

    field: str
    first: Any
    second: Any


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What differs between two rows; `ratio` is second / first, None where a row has no such number."""

    changes: tuple[Change, ...]
    ratio: float | None
    low: float | None
    high: float | None
    sentence: str


def reproduced(old: Measurement, new: Measurement) -> Reproduction:
    """Whether `new` falls in the interval of `old`, allowing for the interval of `new` itself.

    It does when the ratio's 95 % interval holds 1, or would after widening by the larger `resolution_pct`: a
    difference smaller than what the runs can tell is none. Raises ValueError where a row has no interval.
    """
    for row in (old, new):
        if row.latency_ms_p50 is None or row.latency_ms_p50_low is None:
            what = f"error {row.error!r}" if row.error else f"processes={row.processes}"
            raise ValueError(f"row {row.id!r} ({row.name}) has no latency interval ({what}); at least 2 are needed")
    ratio, low, high = _ratio(new, old)
    assert low is not None and high is not None
    slack = 1 + max(old.resolution_pct or 0.0, new.resolution_pct or 0.0) / 100
    plain, inside = low <= 1 <= high, low / slack <= 1 <= high * slack
    why = "" if plain or not inside else f", a difference below the {100 * (slack - 1):.2g} % that these runs can tell"
    answer = "is reproduced" if inside else f"is not reproduced: it is {'slower' if ratio > 1 else 'faster'} now"
    sentence = f"{old.name} {answer}; new / old is {_spoken(ratio, low, high)}{why}."
    doubts = [f" The {which} row is {row.validity}." for which, row in (("old", old), ("new", new)) if not row.usable]
    if others := [name for name, of in ELSEWHERE.items() if of(old) != of(new)]:
        doubts.append(f" It was measured with other {' and '.join(others)}.")
    return Reproduction(inside=inside, ratio=ratio, low=low, high=high, sentence=sentence + "".join(doubts))


def diff(first: Measurement, second: Measurement) -> Difference:
    """What differs in the conditions of two rows, and how their latencies compare."""
    a, b = dict(_conditions(first)), dict(_conditions(second))
    names = [*a, *(name for name in b if name not in a)]
    changes = tuple(
        Change(field=name, first=a.get(name), second=b.get(name)) for name in names if a.get(name) != b.get(name)
    )
    if first.latency_ms_p50 is None or second.latency_ms_p50 is None:
        missing = first if first.latency_ms_p50 is None else second
        sentence = f"{missing.name} has no latency ({missing.error or missing.validity}), so there is no ratio."
        return Difference(changes=changes, ratio=None, low=None, high=None, sentence=sentence)
    ratio, low, high = _ratio(second, first)
    sentence = f"{second.name} takes {_spoken(ratio, low, high)} times as long as {first.name}{_told(low, high)}."
    return Difference(changes=changes, ratio=ratio, low=low, high=high, sentence=sentence)


def latest(rows: Iterable[Measurement]) -> tuple[Measurement, ...]:
    """The newest row of everything that was measured more than once, in the order given; a usable one before any that
    is not.

    The same thing means the same artefact, runtime, precision, batch, threads, load, device and machine.
    """
    return tuple(Rows.of(tuple(rows)).newest())


def _ratio(numerator: Measurement, denominator: Measurement) -> Interval:
    """p50 / p50 with the 95 % interval, none where either row has none. It always holds the ratio it belongs to."""
    assert numerator.latency_ms_p50 and denominator.latency_ms_p50
    ratio = numerator.latency_ms_p50 / denominator.latency_ms_p50
    a, b = _log_mean(numerator), _log_mean(denominator)
    if a is None or b is None:
        return Interval(ratio, None, None)
    (mean_a, error_a, df_a), (mean_b, error_b, df_b) = a, b
    error = math.hypot(error_a, error_b)
    # Welch and Satterthwaite's degrees of freedom, rounded down.
    df = error**4 / (error_a**4 / df_a + error_b**4 / df_b) if error else df_a + df_b
    half = t_quantile(max(1, math.floor(df + 1e-9))) * error
    low, high = math.exp(mean_a - mean_b - half), math.exp(mean_a - mean_b + half)
    return Interval(ratio, min(low, ratio), max(high, ratio))


def _log_mean(row: Measurement) -> tuple[float, float, int] | None:
    """Mean, standard error and degrees of freedom of log latency over processes, read back from the interval."""
    low, high, df = row.latency_ms_p50_low, row.latency_ms_p50_high, row.processes - 1
    if low is None or high is None or df < 1:
        return None
    return math.log(low * high) / 2, math.log(high / low) / 2 / t_quantile(df), df


def _spoken(ratio: float, low: float | None, high: float | None) -> str:
    return f"{ratio:.3f}" if low is None else f"{ratio:.3f} (95 % interval {low:.3f} to {high:.3f})"


def _told(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ", without an interval"
    return ": they cannot be told apart" if low <= 1 <= high else ""


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
    """Dotted names and plain values of whatever is nested; lists count their items."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple) and any(isinstance(inner, Mapping | list | tuple) for inner in value):
        for index, inner in enumerate(value):
            yield from _leaves(f"{name}.{index}", inner)
    else:
        yield name, list(value) if isinstance(value, tuple) else value
