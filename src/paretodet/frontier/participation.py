"""Which rows enter an answer, and the command that measures rows again if that leaves the answer open."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from paretodet.errors import InputError
from paretodet.frontier.values import Mask, matches
from paretodet.records.disturbance import cause
from paretodet.records.measurement import USABLE, Measurement
from paretodet.records.rows import Rows

MIN_TRUSTED = 2  # with fewer trusted rows, all rows that have a latency enter
MAX_DESCRIBED = 3  # rows in a sentence
MAX_NAMES = 8  # detectors in a command
NO_ROWS = Rows.of(())
# Keys of a job that are not options of `measure`, belong to one candidate or are of files; all others are options.
NOT_OPTIONS = frozenset(
    ("name", "weights", "file", "cfg", "bundle", "labels", "height", "width", "scored_on", "calibration")
)
LISTED = ("runtime", "precision")  # options of which `measure` takes several values


class Compared(Protocol):
    """What a question computes from the rows that enter."""

    @property
    def known(self) -> Rows:
        """The rows that have every number the question needs."""


T = TypeVar("T", bound=Compared)
Compare = Callable[[Rows, int], T]  # (rows, number of rows left out) -> T; ValueError if a split does not exist


@dataclass(frozen=True, kw_only=True)
class Participation(Generic[T]):
    """The rows that enter an answer. If the answer is provisional, `why` is a sentence with the reason."""

    rows: Rows
    outside: Rows  # left out because they are not valid
    compared: T
    provisional: bool = False
    disturbed: Rows = NO_ROWS  # the invalid rows among the compared ones of a provisional answer
    why: str = ""


def select_rows(
    rows: Sequence[Measurement], compare: Compare[T], *, include_invalid: bool = False, strict: bool = False
) -> Participation[T]:
    """The trusted rows; if fewer than two of them can be compared, all rows that have a latency, where that adds some.

    `strict` always uses the trusted rows only, `include_invalid` always uses all rows. Raises ValueError if both are
    set, and whatever `compare` raises.
    """
    if strict and include_invalid:
        raise InputError("strict and include-invalid contradict each other; set only one of them", "option-conflict")
    rows = Rows.of(rows)
    trusted = np.ones(len(rows), dtype=np.bool_) if include_invalid else matches(rows, "validity", USABLE)
    if strict or trusted.all():
        return _participation(rows, trusted, compare)
    with_disturbed = trusted | has_latency(rows)
    try:
        narrow = _participation(rows, trusted, compare)
    except ValueError:
        return _provisional(_participation(rows, with_disturbed, compare))
    if len(narrow.compared.known) >= MIN_TRUSTED or (with_disturbed == trusted).all():
        return narrow
    wide = _participation(rows, with_disturbed, compare)
    adds = len(wide.compared.known) > len(narrow.compared.known)
    return _provisional(wide) if adds or not len(narrow.rows) else narrow  # without rows: `wide` says what they lack


def has_latency(rows: Rows) -> Mask:
    """[N] which rows have a latency and no error: what an error row contains was measured before the failure."""
    return ~matches(rows, "validity", ("error",)) & np.isfinite(rows.numbers("latency_ms_p50"))


def remeasure_command(rows: Iterable[Measurement], *, patient: bool) -> tuple[str, ...]:
    """The words of the command that measures these rows again; empty without rows.

    `patient`: it waits for a quiet machine; otherwise it measures until the intervals are narrow.
    """
    rows = tuple(rows)
    names = dict.fromkeys(str(row.job.get("file") or row.job.get("name") or row.name) for row in rows)
    if not names:
        return ()
    keys = sorted({key for row in rows for key in row.job} - {*NOT_OPTIONS, *LISTED})
    choices = {key: {row.job.get(key) for row in rows} - {None} for key in keys}
    common = [(name, values.pop()) for name, values in choices.items() if len(values) == 1]
    flags = [word for name, value in common if (name, value) != ("batch", 1) for word in _option(name, value)]
    more = ("--patience", "10m") if patient else ("--until", "3")
    return ("paretodet", "measure", *list(names)[:MAX_NAMES], *flags, *_listed(rows), *more)


def _listed(rows: Sequence[Measurement]) -> Iterator[str]:
    """The options that take several values: all that these rows ran with, if any of them asked for one."""
    for name in LISTED:
        if any(row.job.get(name) for row in rows):
            yield from (f"--{name}", ",".join(dict.fromkeys(_asked(row, name) for row in rows)))


def _asked(row: Measurement, name: str) -> str:
    return str(row.job.get(name) or {"runtime": row.runtime, "precision": "fp32"}[name])


def _option(name: str, value: object) -> tuple[str, ...]:
    """The words of an option; a switch that is on has no value."""
    option = f"--{name.replace('_', '-')}"
    return (option,) if value is True else (option, str(value))


def describe_rows(rows: Rows) -> str:
    """The first few rows by name, each with its validity and the cause, and the number of the others."""
    shown = [
        f"{row.name} ({row.validity}{f': {reason}' if (reason := cause(row)) else ''})" for row in rows[:MAX_DESCRIBED]
    ]
    return ", ".join(shown) + (f" and {len(rows) - MAX_DESCRIBED} more" if len(rows) > MAX_DESCRIBED else "")


def left_out_notes(selected: Participation[T], rows: int) -> Iterator[str]:
    """A sentence if some of the `rows` are not valid; it names the first if no row can be compared."""
    if outside := len(selected.outside):
        first = "" if len(selected.compared.known) else f": {describe_rows(selected.outside)}"
        yield f"Left out because they are not valid: {outside} of {rows} rows{first}."


def _participation(rows: Rows, mask: Mask, compare: Compare[T]) -> Participation[T]:
    inside = rows.where(mask)
    compared = compare(inside, len(rows) - len(inside))
    return Participation(rows=inside, outside=rows.where(~mask), compared=compared)


def _provisional(selected: Participation[T]) -> Participation[T]:
    known = selected.compared.known
    disturbed = known.where(~matches(known, "validity", USABLE))
    if not len(disturbed):
        return selected
    worst = disturbed[int(np.argmax(np.nan_to_num(disturbed.numbers("disturbed_pct"))))]
    reason = f" ({words})" if (words := cause(worst)) else ""
    advice = "Let the machine cool down" if worst.validity == "throttled" else "Wait until the machine is idle"
    why = (
        f"Provisional: {len(disturbed)} of {len(known)} rows were disturbed{reason}; their intervals were widened "
        f"to include the possible effect. {advice}, then measure them again."
    )
    return replace(selected, provisional=True, disturbed=disturbed, why=why)
