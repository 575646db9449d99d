"""What rows cost and give: the fields that can be traded, their intervals, and groups of comparable accuracy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretodet.bench.record import USABLE, Measurement

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
)
COUNTS = ("parameters", "buffers")
GAINS = ("ap", "ap50", "mask_ap", "mask_ap50")
MIXED_AP = 0.5  # AP that two splits may differ by for one and the same detector
MEASURED = "measured"
MIXED = "mixed"


class Value(NamedTuple):
    """A number and the 95 % interval around it; `low <= point <= high`."""

    point: float
    low: float
    high: float


class Columns(NamedTuple):
    """One `Value` a row, [N] each; NaN where a row does not know."""

    point: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows whose accuracy may be compared, and `slack`, the AP by which they may still differ in what they mean."""

    label: str
    rows: tuple[Measurement, ...]
    slack: float = 0.0
    notes: tuple[str, ...] = ()


def known_field(name: str, allowed: Sequence[str] = (*COSTS, *GAINS)) -> str:
    """`name`, or ValueError with the nearest that are allowed."""
    if name not in allowed:
        near = ", ".join(get_close_matches(name, allowed, n=3, cutoff=0))
        raise ValueError(f"{name!r} is nothing that rows can be compared by; the nearest: {near}")
    return name


def value(row: Measurement, field: str, *, slack: float = 0.0) -> Value | None:
    """A cost with its interval, an accuracy with its rounding (at least `slack`), or "-cost"; None where unknown."""
    if field.startswith("-"):
        cost = value(row, field[1:])
        return cost and Value(-cost.point, -cost.high, -cost.low)
    point = getattr(row, field)
    if point is None or not math.isfinite(point):
        return None
    if field in GAINS:
        half = max(slack, row.ap_rounding or 0.0)
        return Value(point, point - half, point + half)
    low, high = getattr(row, f"{field}_low", None), getattr(row, f"{field}_high", None)
    return Value(point, point if low is None else min(low, point), point if high is None else max(high, point))


def noun(field: str) -> str:
    """A field in plain words: "latency_ms_p50" is "latency p50", "mask_ap" is "mask AP"."""
    words = field.replace("_ms", "").replace("_mib", "").removesuffix("_j").replace("_", " ")
    return words.replace("ap", "AP") if field in GAINS else words


def amount(field: str, number: float) -> str:
    """A number with the field's unit, to three digits: "12.3 ms", "800 MiB", "34.3 M", "1.26 G", "38.5"."""
    unit = "ms" if "_ms" in field else "MiB" if field.endswith("_mib") else "J" if field.endswith("_j") else ""
    scale, unit = (1.0, unit) if unit or field in GAINS else (1e6, "M") if field in COUNTS else (1e9, "G")
    digits = f"{number / scale:,.0f}" if abs(number / scale) >= 999.5 else f"{number / scale:.3g}"
    return f"{digits} {unit}".strip()


def columns(rows: Sequence[Measurement], field: str, *, slack: float = 0.0) -> Columns:
    unknown = Value(math.nan, math.nan, math.nan)
    table = np.array([value(row, field, slack=slack) or unknown for row in rows], dtype=np.float64).reshape(-1, 3)
    return Columns(*table.T)


def entering(rows: Sequence[Measurement], *, include_invalid: bool = False) -> tuple[tuple[Measurement, ...], int]:
    """The rows that can be trusted, and how many were left out because they cannot."""
    kept = tuple(row for row in rows if include_invalid or row.validity in USABLE)
    return kept, len(rows) - len(kept)


def groups(rows: Sequence[Measurement], gain: str = "ap") -> dict[str, tuple[Measurement, ...]]:
    """Rows that know `gain`, by what their accuracy means; the largest group first, then by label.

    Labels: a published split as it is ("val2017"), measured accuracy as "measured:val2017".
    """
    found: dict[str, list[Measurement]] = {}
    for row in rows:
        if value(row, gain) is not None:
            split = row.ap_split or "unknown split"
            found.setdefault(f"{MEASURED}:{split}" if row.ap_measured else split, []).append(row)
    return {label: tuple(found[label]) for label in sorted(found, key=lambda label: (-len(found[label]), label))}


def group(rows: Sequence[Measurement], gain: str = "ap", split: str | None = None, *, left_out: int = 0) -> Group:
    """The one group to compare: that of `split`, or the largest; its notes say what was left aside.

    `split` is a label of `groups`, "measured" (the largest measured group) or "mixed" (all of them, 0.5 AP apart).
    Raises ValueError, naming the groups there are, when none is called so; `left_out` rows may have been of it.
    """
    found = groups(rows, gain)
    if split == MIXED:
        return _mixture(found)
    fitting = [
        label for label in found if split in (None, label) or (split == MEASURED and label.startswith("measured:"))
    ]
    if not fitting and split is not None:
        invalid = f" (left out as not valid: {left_out} rows)" if left_out else ""
        raise ValueError(f"no row has {gain} on split {split!r}; there are: {', '.join(found) or 'none'}{invalid}")
    if not fitting:
        return Group(label="", rows=(), notes=(f"No row knows its {noun(gain)}.",))
    label, others = fitting[0], {each: len(found[each]) for each in found if each != fitting[0]}
    aside = ", ".join(f"{count} on {each}" for each, count in others.items())
    note = f"Accuracy is that of {label} ({len(found[label])} rows); not compared with it: {aside}."
    return Group(label=label, rows=found[label], notes=(note,) if others else ())


def _mixture(found: dict[str, tuple[Measurement, ...]]) -> Group:
    rows = tuple(row for each in found.values() for row in each)
    if len(found) < 2:
        return Group(label=next(iter(found), ""), rows=rows)
    note = f"Accuracy mixes {', '.join(found)}: differences below {2 * MIXED_AP:g} AP are not told apart."
    return Group(label=MIXED, rows=rows, slack=MIXED_AP, notes=(note,))


def mixtures(rows: Sequence[Measurement]) -> tuple[str, ...]:
    """A sentence for every condition that makes costs incomparable and is not the same in all rows."""
    found = {
        name: sorted({str(getattr(row, name)) for row in rows})
        for name in ("machine", "device", "threads", "batch", "load")
    }
    return tuple(
        f"Costs mix rows of {len(kinds)} kinds of {name}: {', '.join(kinds)}."
        for name, kinds in found.items()
        if len(kinds) > 1
    )
