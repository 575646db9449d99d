"""Which rows take part in an answer, and what to measure again where that leaves it open."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from paretodet.frontier.values import Mask, among
from paretodet.records.disturbance import cause
from paretodet.records.measurement import USABLE, Measurement
from paretodet.records.rows import Rows

FEWEST = 2  # rows that can be trusted; with fewer all that have a time take part
FEW = 3  # rows named in a sentence
MOST = 8  # detectors named in a command
NONE = Rows.of(())
# Keys of a job that are no option of `measure` alone; every other key is one.
NO_OPTION = ("name", "weights", "file", "cfg", "labels", "height", "width", "scored_on")


class Compared(Protocol):
    """What a question makes of the rows that take part."""

    @property
    def known(self) -> Rows:
        """Those that have every number that it asks for."""


T = TypeVar("T", bound=Compared)
Compare = Callable[[Rows, int], T]  # of rows and how many were left out; ValueError where there is nothing of a kind


@dataclass(frozen=True, kw_only=True)
class Taken(Generic[T]):
    """The rows of an answer. Where it is provisional, `why` says so in a sentence."""

    rows: Rows
    outside: Rows  # left out as not valid
    compared: T
    provisional: bool = False
    disturbed: Rows = NONE  # of the compared, where the answer is provisional
    why: str = ""


def taken(
    rows: Sequence[Measurement], compare: Compare[T], *, include_invalid: bool = False, strict: bool = False
) -> Taken[T]:
    """The rows that can be trusted; where fewer than two of them can be compared, all rows that have a time.

    `strict` keeps to the trusted ones, `include_invalid` takes every row there is. Raises ValueError where both are
    asked for, and as `compare` does.
    """
    if strict and include_invalid:
        raise ValueError("strict leaves out what include-invalid takes in; give one of them")
    every = Rows.of(rows)
    trusted = np.ones(len(every), dtype=np.bool_) if include_invalid else among(every, "validity", USABLE)
    if strict or trusted.all():
        return _of(every, trusted, compare)
    wide = trusted | has_time(every)
    try:
        found = _of(every, trusted, compare)
    except ValueError:
        return _provisional(_of(every, wide, compare))
    if len(found.compared.known) >= FEWEST or (wide == trusted).all():
        return found
    wider = _of(every, wide, compare)
    return _provisional(wider) if len(wider.compared.known) > len(found.compared.known) else found


def has_time(rows: Rows) -> Mask:
    """[N] which rows might be part of an answer. What an error left behind is of something that did not work."""
    return ~among(rows, "validity", ("error",)) & np.isfinite(rows.numbers("latency_ms_p50"))


def again(rows: Iterable[Measurement], *, patient: bool) -> tuple[str, ...]:
    """The words of the command that measures these again: with patience for a quiet machine, or until they are sure."""
    rows = tuple(rows)
    names = dict.fromkeys(str(row.job.get("file") or row.job.get("name") or row.name) for row in rows)
    if not names:
        return ()
    keys = sorted({key for row in rows for key in row.job} - set(NO_OPTION))
    settings = {name: {row.job.get(name) for row in rows} - {None} for name in keys}
    asked = [(name, found.pop()) for name, found in settings.items() if len(found) == 1]
    flags = [word for name, value in asked if (name, value) != ("batch", 1) for word in (f"--{name}", str(value))]
    more = ("--patience", "10m") if patient else ("--until", "3")
    return ("paretodet", "measure", *list(names)[:MOST], *flags, *more)


def named(rows: Rows) -> str:
    """Rows left out and why, the first few by name."""
    shown = [f"{row.name} ({row.validity}{f': {said}' if (said := cause(row)) else ''})" for row in rows[:FEW]]
    return ", ".join(shown) + (f" and {len(rows) - FEW} more" if len(rows) > FEW else "")


def _of(rows: Rows, mask: Mask, compare: Compare[T]) -> Taken[T]:
    inside = rows.where(mask)
    compared = compare(inside, len(rows) - len(inside))
    return Taken(rows=inside, outside=rows.where(~mask), compared=compared)


def _provisional(found: Taken[T]) -> Taken[T]:
    known = found.compared.known
    shaken = known.where(~among(known, "validity", USABLE))
    if not len(shaken):
        return found
    worst = shaken[int(np.argmax(np.nan_to_num(shaken.numbers("disturbed_pct"))))]
    about = f" ({said})" if (said := cause(worst)) else ""
    do = "Let the machine cool down" if worst.validity == "throttled" else "Wait until that has ended"
    sentence = (
        f"Provisional: {len(shaken)} of {len(known)} rows were disturbed{about}; their intervals are wider by what "
        f"that may have changed. {do}, then measure them again."
    )
    return replace(found, provisional=True, disturbed=shaken, why=sentence)
