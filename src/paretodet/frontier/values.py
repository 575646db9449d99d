"""Costs and gains of rows: the fields that can be compared, their intervals, and groups of comparable accuracy."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paretodet.errors import InputError
from paretodet.records.estimate import FIELD as ESTIMATE
from paretodet.records.measurement import COST_FIELDS, GAINS, USABLE, Measurement
from paretodet.records.rows import Rows

COUNTS = ("parameters", "buffers")
JOB = "job_ms"  # of a short-lived process: loading, the first call and one more; "job_ms:20" has twenty more calls
COSTS = (*COST_FIELDS, JOB)
# Times that drift and other processes change: their intervals are widened by `disturbed_pct`.
TIMES = (*(name for name in COSTS if name.startswith("latency_ms")), "total_ms", JOB)
MIXED_AP = 0.5  # AP by which the same detector may differ between two splits
FULL_PRECISION = ("fp32", "file")  # "file": the one that the weights of a file have
MEASURED = "measured"
MIXED = "mixed"
SHARED_CONDITIONS = ("machine", "device", "threads", "batch", "load")  # costs are comparable if these are equal
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Value(NamedTuple):
    """A number and the 95 % interval around it; `low <= point <= high`."""

    point: float
    low: float
    high: float


class Columns(NamedTuple):
    """One `Value` per row, [N] each; NaN if a row has no such number."""

    point: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, kw_only=True)
class ComparableRows:
    """Rows whose accuracies are comparable up to `slack`, an uncertainty in AP.

    `notes` are sentences about the rows that were excluded.
    """

    label: str
    rows: Rows
    slack: float = 0.0
    notes: tuple[str, ...] = ()


def check_field(name: str, allowed: Sequence[str] = (*COSTS, *GAINS)) -> str:
    """Returns `name`. Raises ValueError with the nearest allowed names if rows cannot be compared by it."""
    if _base_field(name) not in allowed:
        near = ", ".join(get_close_matches(name, allowed, n=3, cutoff=0))
        raise InputError(
            f"{name!r} is not a field that rows can be compared by; did you mean: {near}?", "field-unknown"
        )
    return name


def job_field(calls: int) -> str:
    """The cost of a process that loads, makes its first call and then `calls` more calls."""
    return JOB if calls == 1 else f"{JOB}:{calls}"


def job_calls(field: str) -> int:
    """The number of calls after the first one in a "job_ms" field."""
    return int(field.partition(":")[2] or 1)


def is_time(field: str) -> bool:
    """Whether other processes affect this cost, or this gain with a minus sign, so that measuring again narrows its
    interval.
    """
    return _base_field(field.removeprefix("-")) in TIMES


def _base_field(field: str) -> str:
    """The field without the number of calls of a "job_ms"."""
    sign, name = ("-", field[1:]) if field.startswith("-") else ("", field)
    return sign + (JOB if re.fullmatch(rf"{JOB}:\d{{1,9}}", name) else name)


def value(row: Measurement, field: str, *, slack: float = 0.0) -> Value | None:
    """A cost with its interval, an accuracy with its rounding (at least `slack`), or "-cost"; None if unknown.

    The interval of a time is the row's interval, widened by `disturbed_pct`. In a row without an AP, the AP is the
    estimated one with its interval, if the row has one.
    """
    single = Value(*(float(column[0]) for column in columns([row], field, slack=slack)))
    return None if np.isnan(single.point) else single


def columns(rows: Sequence[Measurement], field: str, *, slack: float = 0.0) -> Columns:
    """The `value` of every row."""
    rows = Rows.of(rows)
    if field.startswith("-"):
        cost = columns(rows, field[1:])
        return Columns(-cost.point, -cost.high, -cost.low)
    if field in GAINS:
        point = _finite(rows.numbers(field))
        half = np.nan_to_num(np.fmax(rows.numbers("ap_rounding"), slack))
        known = Columns(point, point - half, point + half)
        return _or_estimated(known, rows) if field == "ap" else known
    costs = _job(rows, job_calls(field)) if _base_field(field) == JOB else _cost(rows, field)
    return _widened(costs, rows) if is_time(field) else costs


def _or_estimated(known: Columns, rows: Rows) -> Columns:
    """The numbers, and in rows without one the estimate with its interval, if they have one."""
    unknown = is_estimated(rows)
    if not unknown.any():
        return known
    estimates = (rows.numbers(f"{ESTIMATE}.{end}") for end in ("ap", "low", "high"))
    return Columns(*(np.where(unknown, ours, column) for ours, column in zip(estimates, known, strict=True)))


def is_estimated(rows: Rows) -> Mask:
    """[N] which rows have no AP but an estimated one."""
    return np.asarray(np.isnan(_finite(rows.numbers("ap"))) & np.isfinite(rows.numbers(f"{ESTIMATE}.ap")))


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


def _widened(column: Columns, rows: Rows) -> Columns:
    factor = 1 + np.nan_to_num(rows.numbers("disturbed_pct")) / 100
    return Columns(column.point, column.low / factor, column.high * factor)


def _finite(numbers: Floats) -> Floats:
    return np.where(np.isfinite(numbers), numbers, np.nan)


def noun(field: str) -> str:
    """The field in plain words: "latency_ms_p50" is "latency p50", "mask_ap" is "mask AP"."""
    if _base_field(field) == JOB:
        return "job time" if field == JOB else f"job time ({job_calls(field)} calls)"
    words = field.replace("_ms", "").replace("_mib", "").removesuffix("_j").replace("_", " ")
    return words.replace("ap", "AP") if field in GAINS else words


def amount(field: str, number: float) -> str:
    """A number with the field's unit, to three digits: "12.3 ms", "800 MiB", "34.3 M", "1.26 G", "38.5"."""
    scale, unit = _scale(field)
    digits = f"{number / scale:,.0f}" if abs(number / scale) >= 999.5 else f"{number / scale:.3g}"
    return f"{digits} {unit}".strip()


def rounded_limit(field: str, number: float, *, upwards: bool) -> float:
    """The number, rounded to what `amount` shows in one direction only: a limit of this size admits the number."""
    scale, _ = _scale(field)
    digits = max(3, Decimal(number / scale).adjusted() + 1)
    return scale * outward(number / scale, digits, upwards=upwards)


def outward(number: float, digits: int, *, upwards: bool) -> float:
    """A number rounded up or down to this many significant figures; what has no such form stays as it is."""
    exact = Decimal(number)
    try:
        step = Decimal(1).scaleb(exact.adjusted() - digits + 1)
        return float(exact.quantize(step, rounding=ROUND_CEILING if upwards else ROUND_FLOOR))
    except InvalidOperation:  # it is infinite, or has more digits than a Decimal
        return number


def _scale(field: str) -> tuple[float, str]:
    """What the field's numbers are divided by before they are shown, and the unit of the result."""
    unit = "ms" if "_ms" in field else "MiB" if field.endswith("_mib") else "J" if field.endswith("_j") else ""
    return (1.0, unit) if unit or field in GAINS else (1e6, "M") if field in COUNTS else (1e9, "G")


def trusted_rows(rows: Sequence[Measurement], *, include_invalid: bool = False) -> tuple[Rows, int]:
    """The rows whose validity allows a comparison, and the number of the other rows."""
    rows = Rows.of(rows)
    kept = rows if include_invalid else rows.where(matches(rows, "validity", USABLE))
    return kept, len(rows) - len(kept)


def accuracy_groups(rows: Sequence[Measurement], gain: str = "ap") -> dict[str, Rows]:
    """The rows that have `gain`, grouped by the split of their accuracy; largest group first, then by label.

    A label is the published split ("val2017"), or "measured:val2017" if the accuracy was measured. Estimated accuracy
    is in the group of the published accuracy that it estimates.
    """
    scored = _scored(Rows.of(rows), gain)
    known = np.isfinite(scored.numbers(gain))
    splits, measured = scored.categories("ap_split"), scored.numbers("ap_measured") == 1
    names = [name or "unknown split" for name in splits.values]
    parts: dict[str, list[Mask]] = _estimated_by_split(scored, ~known)
    for code, name in enumerate(names):
        of_split = (splits.codes == code) & known
        for label, mask in ((name, of_split & ~measured), (f"{MEASURED}:{name}", of_split & measured)):
            if mask.any():
                parts.setdefault(label, []).append(mask)
    masks = {label: np.logical_or.reduce(part) for label, part in parts.items()}
    order = sorted(masks, key=lambda label: (-int(masks[label].sum()), label))
    return {label: scored.where(masks[label]) for label in order}


def has_accuracy(rows: Rows, split: str) -> Mask:
    """[N] which rows have an AP on this split, which is given as to `comparable_group`; "mixed": on any."""
    known, measured = np.isfinite(rows.numbers("ap")), rows.numbers("ap_measured") == 1
    if split in (MIXED, MEASURED):
        return np.asarray(known & (measured | (split == MIXED)))
    name = split.removeprefix(f"{MEASURED}:")
    return np.asarray(known & matches(rows, "ap_split", [name]) & (measured == (name != split)))


def of_group(rows: Rows, gain: str, label: str) -> Rows:
    """The rows whose accuracy is comparable with that of the `comparable_group` of this label, of other rows."""
    if label != MIXED:
        return accuracy_groups(rows, gain).get(label, rows.where(np.arange(0)))
    scored = _scored(rows, gain)
    return scored.where(scored.numbers("ap_measured") != 1)


def _scored(rows: Rows, gain: str) -> Rows:
    """The rows that have this accuracy, be it estimated."""
    return rows.where(np.isfinite(columns(rows, gain).point))


def _estimated_by_split(rows: Rows, estimated: Mask) -> dict[str, list[Mask]]:
    if not estimated.any():
        return {}
    splits = rows.categories(f"{ESTIMATE}.split")
    by_split = {name: estimated & (splits.codes == code) for code, name in enumerate(splits.values) if name}
    return {name: [mask] for name, mask in by_split.items() if mask.any()}


def comparable_group(
    rows: Sequence[Measurement], gain: str = "ap", split: str | None = None, *, left_out: int = 0
) -> ComparableRows:
    """The group of rows to compare: that of `split`, or the largest. Its notes name the other groups.

    `split` is a label of `accuracy_groups`, "measured" (the largest measured group) or "mixed" (the published splits
    count as one group, with an uncertainty of 0.5 AP; accuracy on a user's labels is comparable with none of them).
    Raises ValueError with the labels that exist if there is no such group; `left_out` is the
    number of invalid rows that are not among `rows`, for that message.
    """
    rows = Rows.of(rows)
    by_label = accuracy_groups(rows, gain)
    pooled = [label for label in by_label if split == MIXED and not label.startswith(f"{MEASURED}:")]
    if len(pooled) > 1:
        by_label = _pooled(by_label, pooled, _scored(rows, gain))
    wanted = None if split == MIXED else split
    candidates = [
        label for label in by_label if wanted in (None, label) or (wanted == MEASURED and label.startswith("measured:"))
    ]
    if not candidates and wanted is not None:
        invalid = f" ({left_out} rows were left out because they are not valid)" if left_out else ""
        raise InputError(
            f"no row has {gain} on split {split!r}; the splits are: {', '.join(by_label) or 'none'}{invalid}",
            "split-unknown",
        )
    if not candidates:
        return ComparableRows(
            label="", rows=rows.where(np.arange(0)), notes=tuple(_empty_group_notes(len(rows), left_out, gain))
        )
    label, others = candidates[0], {name: len(by_label[name]) for name in by_label if name != candidates[0]}
    excluded = ", ".join(f"{count} on {name}" for name, count in others.items())
    named = "published splits" if label == MIXED else label
    note = f"Only rows with accuracy on {named} are compared ({len(by_label[label])} rows); excluded: {excluded}."
    notes = (note,) if others else ()
    if label != MIXED:
        return ComparableRows(label=label, rows=by_label[label], notes=notes)
    mixed = (
        f"Accuracies on different splits are mixed ({', '.join(pooled)}): differences below {2 * MIXED_AP:g} AP are "
        "not significant."
    )
    return ComparableRows(label=label, rows=by_label[label], slack=MIXED_AP, notes=(mixed, *notes))


def _pooled(by_label: dict[str, Rows], published: Sequence[str], scored: Rows) -> dict[str, Rows]:
    """The groups with those of published accuracy as one, largest first."""
    groups = {MIXED: scored.where(scored.numbers("ap_measured") != 1)}
    groups |= {label: group for label, group in by_label.items() if label not in published}
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def _empty_group_notes(rows: int, left_out: int, gain: str) -> Iterator[str]:
    """Why no row can be compared."""
    if rows:
        yield f"The rows have no {noun(gain)}; measure it with `paretodet measure NAME --data DATA`."
    elif left_out:
        yield f"No row can be compared: none of the {left_out} rows is valid."


def mixed_conditions(rows: Sequence[Measurement]) -> tuple[str, ...]:
    """A sentence for every condition that affects costs and is not the same in all rows."""
    rows = Rows.of(rows)
    by_name = {name: sorted(map(str, rows.categories(name).values)) for name in SHARED_CONDITIONS}
    return tuple(
        f"Costs were measured under different conditions ({name}: {', '.join(values)})"
        f"{'; --machine takes those of one' if name == 'machine' else ''}."
        for name, values in by_name.items()
        if len(values) > 1
    )


def assumed_accuracy(rows: Sequence[Measurement]) -> tuple[str, ...]:
    """A sentence if rows in a reduced precision have the accuracy that was published of float32."""
    rows = Rows.of(rows)
    column = rows.categories("precision")
    reduced = np.array([name not in FULL_PRECISION for name in column.values], dtype=np.bool_)[column.codes]
    assumed = rows.where(reduced & np.isfinite(rows.numbers("ap")) & (rows.numbers("ap_measured") != 1))
    if not len(assumed):
        return ()
    names, count = ", ".join(sorted(assumed.categories("precision").values)), len(assumed)
    subject = "1 row" if count == 1 else f"{count} rows"
    return (f"The AP of {subject} in {names} is the published one of fp32; --weights and --data measure theirs.",)


def estimated_accuracy(rows: Sequence[Measurement]) -> tuple[str, ...]:
    """A sentence if the AP of some rows is estimated: how many, how sure, and what the estimates rest on."""
    rows = Rows.of(rows)
    estimated = rows.where(is_estimated(rows))
    if not len(estimated):
        return ()
    sources = "; ".join(estimated.categories(f"{ESTIMATE}.source").values)
    share = float(estimated.numbers(f"{ESTIMATE}.coverage").min())
    count = f"{len(estimated)} of {len(rows)} rows" if len(rows) > 1 else "1 row"
    return (f"The AP of {count} is estimated, with a {100 * share:.0f} % interval: {sources}.",)


def matches(rows: Rows, field: str, values: Sequence[str]) -> Mask:
    """[N] which rows have one of `values` in a field."""
    column = rows.categories(field)
    return np.array([category in values for category in column.values], dtype=np.bool_)[column.codes]
