"""What rows cost and give: the fields that can be traded, their intervals, and groups of comparable accuracy."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretodet.records.measurement import USABLE, Measurement
from paretodet.records.rows import Rows

COSTS = (
    "latency_ms_p50",
    "latency_ms_p90",
    "latency_ms_p95",
    "latency_ms_p99",
    "prepare_ms",
    "total_ms",
    "load_ms",
    "first_ms",
    "energy_j",
    "memory_load_mib",
    "memory_infer_mib",
    "memory_device_mib",
    "memory_allocated_mib",
    "memory_reserved_mib",
    "activations_mib",
    "parameters",
    "buffers",
    "macs",
    "macs_other",
    "flops",
    "job_ms",
)
COUNTS = ("parameters", "buffers")
JOB = "job_ms"  # of a short-lived process: loading, the first call and one more; "job_ms:20" is with twenty more
# What other work and drift change: their intervals are widened by `disturbed_pct`.
TIMED = (*(name for name in COSTS if name.startswith("latency_ms")), "total_ms", JOB)
GAINS = ("ap", "ap50", "mask_ap", "mask_ap50")
MIXED_AP = 0.5  # AP that two splits may differ by for one and the same detector
MEASURED = "measured"
MIXED = "mixed"
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Value(NamedTuple):
    """A number and the 95 % interval around it; `low <= point <= high`."""

    point: float
    low: float
    high: float


class Columns(NamedTuple):
    """One `Value` a row, [N] each; NaN where a row does not know."""

    point: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, kw_only=True)
class ComparableRows:
    """Rows whose accuracy may be compared, and `slack`, the AP by which they may still differ in what they mean."""

    label: str
    rows: Rows
    slack: float = 0.0
    notes: tuple[str, ...] = ()


def known_field(name: str, allowed: Sequence[str] = (*COSTS, *GAINS)) -> str:
    """`name`, or ValueError with the nearest that are allowed."""
    if _kind(name) not in allowed:
        near = ", ".join(get_close_matches(name, allowed, n=3, cutoff=0))
        raise ValueError(f"{name!r} is nothing that rows can be compared by; the nearest: {near}")
    return name


def job_of(calls: int) -> str:
    """The cost of a process that loads, makes its first call and so many more."""
    return JOB if calls == 1 else f"{JOB}:{calls}"


def job_calls(field: str) -> int:
    """How many calls a "job_ms" has beside the first."""
    return int(field.partition(":")[2] or 1)


def timed(field: str) -> bool:
    """Whether other work changes it, and one measurement more makes its interval smaller."""
    return _kind(field) in TIMED


def _kind(field: str) -> str:
    """The field's own name: a job's without its calls, a cost's without the minus in front."""
    sign, name = ("-", field[1:]) if field.startswith("-") else ("", field)
    return sign + (JOB if re.fullmatch(rf"{JOB}:\d{{1,9}}", name) else name)


def value(row: Measurement, field: str, *, slack: float = 0.0) -> Value | None:
    """A cost with its interval, an accuracy with its rounding (at least `slack`), or "-cost"; None where unknown.

    The interval of a time is the row's own, wider by what drift and other work may have changed.
    """
    found = Value(*(float(column[0]) for column in columns([row], field, slack=slack)))
    return None if np.isnan(found.point) else found


def columns(rows: Sequence[Measurement], field: str, *, slack: float = 0.0) -> Columns:
    """The `value` of every row."""
    every = Rows.of(rows)
    if field.startswith("-"):
        cost = columns(every, field[1:])
        return Columns(-cost.point, -cost.high, -cost.low)
    if field in GAINS:
        point = _finite(every.numbers(field))
        half = np.fmax(every.numbers("ap_rounding"), slack)
        return Columns(point, point - np.nan_to_num(half), point + np.nan_to_num(half))
    found = _job(every, job_calls(field)) if _kind(field) == JOB else _cost(every, field)
    return _widened(found, every) if timed(field) else found


def _cost(rows: Rows, field: str) -> Columns:
    point = _finite(rows.numbers(field))
    if field != "latency_ms_p50":
        return Columns(point, point, point)
    bounds = (rows.numbers(f"{field}_low"), rows.numbers(f"{field}_high"))
    low, high = (np.where(np.isnan(bound), point, bound) for bound in bounds)
    return Columns(point, np.minimum(low, point), np.maximum(high, point))


def _job(rows: Rows, calls: int) -> Columns:
    once = _finite(rows.numbers("load_ms")) + _finite(rows.numbers("first_ms"))
    return Columns(*(once + calls * column for column in _cost(rows, "latency_ms_p50")))


def _widened(found: Columns, rows: Rows) -> Columns:
    wider = 1 + np.nan_to_num(rows.numbers("disturbed_pct")) / 100
    return Columns(found.point, found.low / wider, found.high * wider)


def _finite(numbers: Floats) -> Floats:
    return np.where(np.isfinite(numbers), numbers, np.nan)


def noun(field: str) -> str:
    """A field in plain words: "latency_ms_p50" is "latency p50", "mask_ap" is "mask AP"."""
    if _kind(field) == JOB:
        return "job" if field == JOB else f"job of {job_calls(field)} calls"
    words = field.replace("_ms", "").replace("_mib", "").removesuffix("_j").replace("_", " ")
    return words.replace("ap", "AP") if field in GAINS else words


def amount(field: str, number: float) -> str:
    """A number with the field's unit, to three digits: "12.3 ms", "800 MiB", "34.3 M", "1.26 G", "38.5"."""
    unit = "ms" if "_ms" in field else "MiB" if field.endswith("_mib") else "J" if field.endswith("_j") else ""
    scale, unit = (1.0, unit) if unit or field in GAINS else (1e6, "M") if field in COUNTS else (1e9, "G")
    digits = f"{number / scale:,.0f}" if abs(number / scale) >= 999.5 else f"{number / scale:.3g}"
    return f"{digits} {unit}".strip()


def entering(rows: Sequence[Measurement], *, include_invalid: bool = False) -> tuple[Rows, int]:
    """The rows that can be trusted, and how many were left out because they cannot."""
    every = Rows.of(rows)
    kept = every if include_invalid else every.where(among(every, "validity", USABLE))
    return kept, len(every) - len(kept)


def groups(rows: Sequence[Measurement], gain: str = "ap") -> dict[str, Rows]:
    """Rows that have `gain`, by what their accuracy means; the largest group first, then by label.

    Labels: a published split as it is ("val2017"), measured accuracy as "measured:val2017".
    """
    every = Rows.of(rows)
    scored = every.where(np.isfinite(every.numbers(gain)))
    splits, measured = scored.kinds("ap_split"), scored.numbers("ap_measured") == 1
    names = [name or "unknown split" for name in splits.values]
    found: dict[str, list[Mask]] = {}
    for code, name in enumerate(names):
        here = splits.codes == code
        for label, mask in ((name, here & ~measured), (f"{MEASURED}:{name}", here & measured)):
            if mask.any():
                found.setdefault(label, []).append(mask)
    masks = {label: np.logical_or.reduce(each) for label, each in found.items()}
    order = sorted(masks, key=lambda label: (-int(masks[label].sum()), label))
    return {label: scored.where(masks[label]) for label in order}


def group(
    rows: Sequence[Measurement], gain: str = "ap", split: str | None = None, *, left_out: int = 0
) -> ComparableRows:
    """The one group to compare: that of `split`, or the largest; its notes say what was left aside.

    `split` is a label of `groups`, "measured" (the largest measured group) or "mixed" (all of them, 0.5 AP apart).
    Raises ValueError, naming the groups there are, when none is called so; `left_out` rows may have been of it.
    """
    every = Rows.of(rows)
    found = groups(every, gain)
    if split == MIXED and len(found) > 1:
        return _mixture(tuple(found), every.where(np.isfinite(every.numbers(gain))))
    named = None if split == MIXED else split
    fitting = [
        label for label in found if named in (None, label) or (named == MEASURED and label.startswith("measured:"))
    ]
    if not fitting and named is not None:
        invalid = f" (left out as not valid: {left_out} rows)" if left_out else ""
        raise ValueError(f"no row has {gain} on split {split!r}; there are: {', '.join(found) or 'none'}{invalid}")
    if not fitting:
        return ComparableRows(
            label="", rows=every.where(np.arange(0)), notes=tuple(_nothing(len(every), left_out, gain))
        )
    label, others = fitting[0], {each: len(found[each]) for each in found if each != fitting[0]}
    aside = ", ".join(f"{count} on {each}" for each, count in others.items())
    note = f"Accuracy is that of {label} ({len(found[label])} rows); not compared with it: {aside}."
    return ComparableRows(label=label, rows=found[label], notes=(note,) if others else ())


def _nothing(rows: int, left_out: int, gain: str) -> Iterator[str]:
    """Why no row can be compared."""
    if rows:
        yield f"None of {rows} rows has an {noun(gain)}: `paretodet measure NAME --data DATA` measures it."
    elif left_out:
        yield f"No row is valid, so there is none to compare: {left_out} left out."


def _mixture(labels: Sequence[str], scored: Rows) -> ComparableRows:
    note = f"Accuracy mixes {', '.join(labels)}: differences below {2 * MIXED_AP:g} AP are not told apart."
    return ComparableRows(label=MIXED, rows=scored, slack=MIXED_AP, notes=(note,))


def mixtures(rows: Sequence[Measurement]) -> tuple[str, ...]:
    """A sentence for every condition that makes costs incomparable and is not the same in all rows."""
    every = Rows.of(rows)
    found = {
        name: sorted(map(str, every.kinds(name).values)) for name in ("machine", "device", "threads", "batch", "load")
    }
    return tuple(
        f"Costs mix rows of {len(kinds)} kinds of {name}: {', '.join(kinds)}."
        for name, kinds in found.items()
        if len(kinds) > 1
    )


def among(rows: Rows, field: str, values: Sequence[str]) -> Mask:
    """[N] which rows have one of `values`."""
    found = rows.kinds(field)
    return np.array([each in values for each in found.values], dtype=np.bool_)[found.codes]
