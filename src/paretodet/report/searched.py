"""The end of a search: its frontier as a table, what was never measured and why, and the same as JSON."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from paretodet.frontier.dominance import SURE
from paretodet.frontier.row_labels import differing_execution, row_labels
from paretodet.frontier.searched import SearchResult
from paretodet.frontier.values import Value, amount, noun
from paretodet.records.measurement import GAINS, USABLE
from paretodet.report.formats import UNKNOWN, accuracy, few, listed, plain, plural, probability, significant

MAX_CANDIDATES = 12  # configurations without a measurement that the table lists
NAMED = 3  # members that a sentence lists
MEASURED, PREDICTED, EXTRAPOLATED = "measured", "predicted", "extrapolated"


def labels_of(result: SearchResult) -> list[str]:
    """[N] short labels of the configurations, with runtime and precision where these differ."""
    rows = [each.expected for each in result.configurations]
    by_id = row_labels(rows, stated=differing_execution(rows))
    return [by_id[row.id] for row in rows]


def search_table(result: SearchResult) -> Table:
    """The members by rising cost, then those without a measurement that may be members, with their probability."""
    labels, gain = labels_of(result), result.gain.removeprefix("-")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Frontier", overflow="fold", min_width=20)
    for title in (title_of(gain), title_of(result.cost), "Probability", "Basis"):
        table.add_column(title, justify="right", no_wrap=True)
    for index in (*result.members, *result.candidates[:MAX_CANDIDATES]):
        measured = bool(result.measured[index])
        cells = (labels[index], *numbers_of(result, index), _share(result, index), basis(result, index))
        table.add_row(*(Text(plain(cell)) for cell in cells), style=None if measured else "dim")
    return table


def numbers_of(result: SearchResult, index: int) -> tuple[str, str]:
    """Gain and cost of a configuration as texts; a cost with its interval."""
    return gain_text(result, index, result.gain_of(index)), cost_text(result.cost, result.cost_of(index))


def gain_text(result: SearchResult, index: int, gain: Value) -> str:
    """An accuracy as it is stated, with its interval if it is estimated; or a cost to be small with its interval."""
    if result.gain in GAINS:
        return accuracy(result.configurations[index].expected, result.gain)
    return cost_text(result.gain, Value(*(-end for end in gain)))


def cost_text(field: str, cost: Value) -> str:
    """`31.4 ms (30.9–32.0)`; a dash if it is not known."""
    if math.isnan(cost.point):
        return UNKNOWN
    low, high = sorted((cost.low, cost.high))
    text = amount(field, cost.point)
    return text if low == high else f"{text} ({significant(low)}–{significant(high)})"


def basis(result: SearchResult, index: int) -> str:
    """Whether the numbers are measured, and if so and not undisturbed, the validity of the row.

    A prediction is extrapolated if nothing like it was measured: a runtime, a family, or a size beyond all others.
    """
    row = result.configurations[index].row
    if row is None:
        return PREDICTED if result.standing.known[index] else EXTRAPOLATED
    return MEASURED if row.validity in USABLE else f"{MEASURED}, {row.validity}"


def _share(result: SearchResult, index: int) -> str:
    return probability(float(result.standing.membership[index]))


def title_of(field: str) -> str:
    """The title of a column or axis."""
    name = noun(field)
    return name[0].upper() + name[1:]


def summary(result: SearchResult) -> str:
    """How many configurations were measured in which time, and whether the frontier is decided."""
    measured = int(result.measured.sum())
    count = f"{measured:,} of {plural(len(result), 'configuration')} measured in {duration(result.spent)}"
    return f"{count[0].upper()}{count[1:]}. {decided(result)}"


def decided(result: SearchResult) -> str:
    """Whether every membership is decided, as a sentence; of those that are not, what would decide them."""
    if not result.undecided:
        return f"Every membership is decided with a probability of at least {100 * SURE:.0f} %."
    missing = [index for index in result.undecided if not result.measured[index]]
    dependent = len(result.dependent)
    counts = {
        "not measured yet": len(missing),
        "too close to others": len(result.undecided) - len(missing) - dependent,
        "less sure as some that probably fail were not tried": dependent,
    }
    is_are = "membership is" if len(result.undecided) == 1 else "memberships are"
    parts = [f"{count:,} {why}" for why, count in counts.items() if count]
    return f"{len(result.undecided):,} {is_are} open: {listed(parts)}."


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes and rest else f"{minutes} min" if minutes else f"{rest} s"


def endings(result: SearchResult) -> Iterator[str]:
    """Sentences below the table: what was never measured, what failed, what was left out."""
    labels = labels_of(result)
    yield from spared(result, labels)
    yield from avoided(result)
    if (more := len(result.candidates) - MAX_CANDIDATES) > 0:
        yield f"{plural(more, 'more configuration')} without a measurement may be on the frontier."
    for label, reason in failures(result, labels):
        yield f"Not measured: {label}: {reason}."
    for left in result.left_out:
        yield f"Left out: {few(left.labels)}: {left.reason}."


def failures(result: SearchResult, labels: Sequence[str]) -> list[tuple[str, str]]:
    """Label and reason of every configuration that cannot be measured."""
    return [(label, each.reason) for label, each in zip(labels, result.configurations, strict=True) if each.reason]


def avoided(result: SearchResult) -> Iterator[str]:
    """How many were not measured because they would probably fail, and how many of their kinds did."""
    if not result.avoided:
        return
    failed: dict[str, list[bool]] = {}  # of those that were tried
    for each, (*_, kind) in zip(result.configurations, result.kinds, strict=True):
        if each.row or each.reason:
            failed.setdefault(kind, []).append(bool(each.reason))
    kinds = Counter(result.kinds[index][-1] for index in result.avoided).most_common()
    parts = [f"{count:,} {kind} ({_share_failed(failed.get(kind, []))})" for kind, count in kinds]
    worth = f"{plural(len(result.avoided), 'configuration')} would be worth a measurement, but would probably fail"
    yield f"{worth}, as others of the kind did: {listed(parts)}."


def _share_failed(failed: Sequence[bool]) -> str:
    return f"{sum(failed):,} of {len(failed):,} failed" if failed else "none was tried, others like it failed"


def spared(result: SearchResult, labels: Sequence[str]) -> Iterator[str]:
    """How many configurations need not be measured, and which members make that so."""
    if not result.spared:
        return
    by = Counter(result.beaten_by(index) for index in result.spared)
    named = [f"{count:,} by {labels[index]}" for index, count in by.most_common() if index is not None]
    more = [f"the others by {plural(len(named) - NAMED, 'more member')}"] * (len(named) > NAMED)
    beaten = f": {listed([*named[:NAMED], *more])}" if named else ""
    unlike = sum(not result.standing.known[index] for index in result.spared)
    guessed = f" Of them, {unlike:,} are unlike all that was measured." if unlike else ""
    verb = "needs not be measured: it is" if len(result.spared) == 1 else "need not be measured: each is"
    yield (
        f"{plural(len(result.spared), 'configuration')} {verb} beaten with a probability of at least "
        f"{100 * SURE:.0f} %{beaten}.{guessed}"
    )


def search_json(result: SearchResult) -> dict[str, Any]:
    """A search as JSON. Configurations without a row have a predicted cost with its interval."""
    labels = labels_of(result)
    return {
        "cost": result.cost,
        "gain": result.gain,
        "split": result.split,
        "run": result.run,
        "seconds": round(result.spent, 1),
        "configurations": len(result),
        "measured": int(result.measured.sum()),
        "decided": not result.undecided,
        "members": [_entry(result, labels, index) for index in result.members],
        "candidates": [_entry(result, labels, index) for index in result.candidates],
        "undecided": [labels[index] for index in result.undecided],
        "spared": [_entry(result, labels, index) | _by(result, labels, index) for index in result.spared],
        "avoided": [_entry(result, labels, index) | _works(result, index) for index in result.avoided],
        "failed": [{"label": label, "reason": reason} for label, reason in failures(result, labels)],
        "left_out": [{"labels": list(each.labels), "reason": each.reason} for each in result.left_out],
        "notes": list(result.notes),
    }


def _entry(result: SearchResult, labels: Sequence[str], index: int) -> dict[str, Any]:
    known = result.configurations[index]
    return {
        "label": labels[index],
        "name": known.expected.name,
        "runtime": known.expected.runtime,
        "precision": known.expected.precision,
        "row": known.row and known.row.id,
        result.cost: _number(result.cost_of(index)),
        result.gain: _number(result.gain_of(index)),
        "estimated": bool(result.estimated[index]),
        "basis": basis(result, index),
        "probability": round(float(result.standing.membership[index]), 4),
    }


def _by(result: SearchResult, labels: Sequence[str], index: int) -> dict[str, str | None]:
    by = result.beaten_by(index)
    return {"beaten_by": None if by is None else labels[by]}


def _works(result: SearchResult, index: int) -> dict[str, Any]:
    return {"kind": result.kinds[index][-1], "works": round(float(result.standing.works[index]), 4)}


def _number(value: Value) -> dict[str, float | None]:
    """Point, low and high; null where nothing is known."""
    return {name: part if math.isfinite(part) else None for name, part in value._asdict().items()}
