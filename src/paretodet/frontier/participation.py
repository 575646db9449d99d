"""Which rows enter an answer, and the command that measures rows again if that leaves the answer open."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from paretodet.errors import InputError
from paretodet.frontier.values import Mask, matches
from paretodet.records.disturbance import QUOTA, cause
from paretodet.records.measurement import USABLE, Measurement
from paretodet.records.rows import Rows

MIN_TRUSTED = 2  # with fewer trusted rows, all rows that have a latency enter
MAX_DESCRIBED = 3  # rows in a sentence
MAX_NAMES = 8  # detectors in a command
NO_ROWS = Rows.of(())
# Options of `measure` by the key of a job. Those of which it takes several values:
LISTED = ("runtime", "precision")
# Those of which it takes one value, so that a command is for rows that agree in them:
SINGLE = ("device", "batch", "threads", "nms", "fit", "sampling")
SWITCHES = ("allow_fallback", "trust")
TRAINED = ".safetensors"  # a file of weights that stands for its detector
NAMED_FILES = (".cfg", ".json")  # names that do not stand for the weights beside them


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
    """The words of a command that measures these rows again; empty without rows.

    Most options have one value in a command, so it is for as many of the rows as agree in them. Rows state files by
    their names alone, and so does the command. `patient`: it waits for a quiet machine; otherwise it measures until the
    intervals are narrow.
    """
    rows = _agreeing(tuple(rows))
    if not rows:
        return ()
    names = dict.fromkeys(_candidate(row)[0] for row in rows)
    switches = (f"--{name.replace('_', '-')}" for name in SWITCHES if any(row.job.get(name) is True for row in rows))
    flags = (*_candidate(rows[0])[1:], *_options(rows[0]), *switches, *_listed(rows))
    more = ("--patience", "10m") if patient else ("--until", "3")
    return ("paretodet", "measure", *list(names)[:MAX_NAMES], *flags, *more)


def _agreeing(rows: tuple[Measurement, ...]) -> tuple[Measurement, ...]:
    """The largest part of the rows that one command can measure."""
    keys = [(*_weighted(row), *_options(row), *(bool(values) for _, values in _choices([row]))) for row in rows]
    counts = Counter(keys)
    most = max(counts, key=counts.__getitem__, default=())
    return tuple(row for row, key in zip(rows, keys, strict=True) if key == most)


def _candidate(row: Measurement) -> tuple[str, ...]:
    """The name of a row's candidate, and the option of its weights unless these are the name."""
    name, file = str(row.job.get("name") or row.name), str(row.job.get("file") or "")
    if not file:
        return (name,)
    is_alone = file.endswith(TRAINED) and ":" not in name and not name.endswith(NAMED_FILES)
    return (file,) if is_alone else (name, "--weights", file)


def _weighted(row: Measurement) -> tuple[str, ...]:
    """The candidate if it needs an option for its weights, which are of one candidate; else empty."""
    words = _candidate(row)
    return words if len(words) > 1 else ()


def _options(row: Measurement) -> tuple[str, ...]:
    """The words of the options that have one value in a command."""
    given = [(name, value) for name in SINGLE if isinstance(value := row.job.get(name), str | int | float)]
    words = [word for name, value in given if (name, value) != ("batch", 1) for word in (f"--{name}", str(value))]
    labels, _, split = str(row.job.get("scored_on") or "").rpartition("@")[0].partition("/")
    scored = (("--data", labels), ("--data-split", split))
    return (*words, *(word for name, value in scored if value for word in (name, value)))


def _listed(rows: Sequence[Measurement]) -> Iterator[str]:
    """The options that take several values: all that these rows ran with, if any of them asked for one."""
    for name in LISTED:
        if any(row.job.get(name) for row in rows):
            yield from (f"--{name}", ",".join(dict.fromkeys(_asked(row, name) for row in rows)))
    for name, values in _choices(rows):
        if values:
            yield from (f"--{name}", ",".join(dict.fromkeys(values)))


def _choices(rows: Sequence[Measurement]) -> tuple[tuple[str, list[str]], ...]:
    """Further options that take several values, which the rows of one command have all or none of."""
    scores = [str(score) for row in rows if (score := row.job.get("score")) is not None]
    sizes = [(height, row.job.get("width") or height) for row in rows if (height := row.job.get("height"))]
    texts = [f"{height}" if height == width else f"{height}x{width}" for height, width in sizes]
    return ("score", scores), ("size", texts)


def _asked(row: Measurement, name: str) -> str:
    return str(row.job.get(name) or {"runtime": row.runtime, "precision": "fp32"}[name])


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


def _advice(row: Measurement) -> str:
    """What ends the disturbance of a row."""
    if row.validity == "throttled":
        return "Let the machine cool down"
    if cause(row) == QUOTA:
        return "Raise the CPU quota, or give fewer --threads than it has cores"
    return "Wait until the machine is idle"


def _provisional(selected: Participation[T]) -> Participation[T]:
    known = selected.compared.known
    disturbed = known.where(~matches(known, "validity", USABLE))
    if not len(disturbed):
        return selected
    worst = disturbed[int(np.argmax(np.nan_to_num(disturbed.numbers("disturbed_pct"))))]
    reason = f" ({words})" if (words := cause(worst)) else ""
    why = (
        f"Provisional: {len(disturbed)} of {len(known)} rows were disturbed{reason}; their intervals were widened "
        f"to include the possible effect. {_advice(worst)}, then measure them again."
    )
    return replace(selected, provisional=True, disturbed=disturbed, why=why)
