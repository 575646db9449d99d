"""Sentences about rows: what was measured and where, what the frontier says, how to read a page."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from paretodet.frontier.pareto import Frontier, Member
from paretodet.frontier.values import value
from paretodet.records.measurement import Measurement
from paretodet.report.formats import (
    QUANTITIES,
    UNKNOWN,
    accuracy,
    few,
    finite,
    latency,
    listed,
    plural,
    probability,
    reasons,
    significant,
)

READING = (
    "Every point is one detector, run on the machine named above. Further left is cheaper, further up more accurate. "
    "The staircase is the frontier: below and to the right of it there is always something at least as fast and at "
    "least as accurate. Filled points are on the frontier, hollow ones are not.",
    "Latency is the time from a prepared image in memory to finished boxes in memory, copies and suppression of "
    "duplicates inside. It is the median; the bar through a point is the 95 % interval over separate processes, wider "
    "by what drift and other work may have changed. Two detectors whose bars overlap may well be equally fast. In the "
    "table of all rows the interval is the one over processes alone.",
    "AP is the mean average precision on COCO in percent, higher is better; AP50 forgives boxes that are only half "
    "right. Unless a row says that it was measured, it is what the detector's authors published, and the vertical bar "
    "is the rounding of their number.",
    "Memory is the peak that the process needed beyond its libraries. One GFLOP is a thousand million floating point "
    "operations for one image; a multiplication with its addition counts as two.",
    "Where the answer hangs on a wide interval it comes with a probability: that the latency keeps within the limit, "
    "or that the row is on the frontier. The safe choice is the best of those that keep within it almost certainly.",
    "An answer is provisional where fewer than two rows were measured undisturbed. It then comes from all rows that "
    "have a time, with intervals as wide as the disturbance may have made them, and the staircase is dashed. Otherwise "
    "grayed rows in the table enter neither the frontier nor the answer; they say why.",
)

SURVEY = (
    "The four plots of a well-known survey of 2018, of these rows. Accuracy and work are properties of a network, not "
    "of a machine, so rows whose timing was disturbed are here too."
)
COSTS = "Of the rows that were measured without disturbance."
COSTS_PROVISIONAL = "Of all rows that have a time, though other work disturbed them."
VALIDITIES = {
    "noisy": "its interval was called too wide by an earlier version; it takes part with the interval it has",
    "contended": "other work used the machine, and too little time was left in which it did not",
    "throttled": "the processor slowed itself down",
    "unwatched": "this machine does not tell all that would show a disturbance",
    "host_bound": "the processor kept the accelerator waiting",
    "error": "it failed, or broke a law of measuring",
}
UNWATCHED = "not watched: "
FOOTER = "Made by paretodet. The page is one file and asks nothing of any network."


def machines(rows: Sequence[Measurement]) -> tuple[str, ...]:
    """One sentence a machine."""
    return tuple(dict.fromkeys(machine(row.machine_facts) for row in rows))


def machine(facts: Mapping[str, object]) -> str:
    """`Example CPU, 2 of 8 cores, 7.7 GiB, Linux 6.1`; unknown parts are left out."""
    gpus, cores, allowed = facts.get("gpus") or (), facts.get("cores_logical"), facts.get("cores_allowed")
    some = f"{allowed} of " if allowed not in (None, cores) else ""
    parts = (
        *(str(gpu) for gpu in (gpus if isinstance(gpus, list | tuple) else ())),
        facts.get("cpu"),
        f"{some}{cores} cores" if cores else None,
        f"{facts['memory_gib']} GiB" if facts.get("memory_gib") else None,
        " ".join(str(facts[key]) for key in ("system", "release") if facts.get(key)),
    )
    return ", ".join(str(part) for part in parts if part) or "an unnamed machine"


def period(rows: Sequence[Measurement]) -> str:
    """`20 November 2026`, or the first and the last day."""
    days = sorted(row.at[:10] for row in rows)
    return " to ".join(dict.fromkeys((_day(days[0]), _day(days[-1])))) if days else UNKNOWN


def title(rows: Sequence[Measurement]) -> str:
    """How many detectors, and on what: the GPU, else the CPU."""
    places = {machine(row.machine_facts).split(", ")[0] for row in rows}
    where = places.pop() if len(places) == 1 else f"{len(places)} machines"
    return f"{plural(len({row.name for row in rows}), 'detector')} on {where}"


def lead(rows: Sequence[Measurement]) -> str:
    """One sentence: what, where and when."""
    places = machines(rows)
    where = places[0] if len(places) == 1 else plural(len(places), "machine")
    return f"Speed, memory and accuracy, measured on {period(rows)} on {where}."


def provisional(found: Frontier) -> tuple[str, str]:
    """Why an answer is provisional and what to do, and the command for it."""
    return found.why.removeprefix("Provisional: "), shlex.join(found.remeasure)


def undecided(found: Frontier, labels: Mapping[str, str]) -> tuple[str, str] | None:
    """Whose place on the frontier is open, and the command that settles it."""
    if found.provisional or not found.undecided:
        return None
    open_ = [f"{labels[member.row.id]} ({probability(member.probability)})" for member in found.undecided]
    said = f"Whether {listed(open_)} {'is' if len(open_) == 1 else 'are'} on the frontier hangs on wide intervals."
    return said, shlex.join(found.remeasure)


def unwatched(rows: Sequence[Measurement]) -> tuple[str, ...]:
    """What none of the rows could watch."""
    measured = [row for row in rows if row.validity != "error"]
    missing = [{each for each in row.reasons if each.startswith(UNWATCHED)} for row in measured]
    everywhere = set.intersection(*missing) if missing else set()
    return tuple(sorted(each.removeprefix(UNWATCHED) for each in everywhere))


def own_reasons(row: Measurement, said: Sequence[str]) -> tuple[str, ...]:
    """Why a row is not valid, in full, but for what was `said` of all rows."""
    known = {UNWATCHED + each for each in said}
    return tuple(reason for reason in reasons(row) if reason not in known)


def footnote(rows: Sequence[Measurement]) -> str:
    """What the validities that occur mean."""
    kinds = [kind for kind in VALIDITIES if any(row.validity == kind for row in rows)]
    return "; ".join(f"{kind.replace('_', ' ')}: {VALIDITIES[kind]}" for kind in kinds) + "." if kinds else ""


def warnings(rows: Sequence[Measurement]) -> list[str]:
    """What makes these rows hard to compare with each other."""
    places = len({row.machine for row in rows})
    mixed = [field for field in ("device", "batch", "threads") if len({getattr(row, field) for row in rows}) > 1]
    return [
        *([f"{places} machines: latency and memory compare only between rows of one machine."] if places > 1 else []),
        *([f"Rows differ in {listed(mixed)}; the table says how each one ran."] if mixed else []),
    ]


def selected(rows: int, of: int | None) -> list[str]:
    """Which rows of a large store are here."""
    if of is None or of <= rows:
        return []
    return [
        f"{rows:,} of {of:,} rows: all that an answer needs, those nearest to the frontier, and a sample of the rest."
    ]


def facts(rows: Sequence[Measurement], split: str | None) -> list[tuple[str, str]]:
    """Terms and texts of the page's head."""
    found = (
        ("Machine", "; ".join(machines(rows))),
        ("Measured", period(rows)),
        ("Rows", _validity(rows)),
        ("Smallest difference seen", _resolution(rows)),
        ("No row could watch", listed(unwatched(rows))),
        ("Accuracy", _accuracies(rows, split)),
        ("Settings", settings(rows)),
        ("Versions", _versions(rows)),
    )
    return [(term, text) for term, text in found if text]


def frontier_lead(frontier: Frontier, rows: Sequence[Measurement]) -> str:
    """How many are on the frontier, of how many that could be; where none is, why."""
    known = len(frontier.members) + len(frontier.dominated)
    if not known:
        return f"{_lacking(frontier, rows)}, so there is no frontier yet."
    if not frontier.dominated:
        return f"Of {plural(known, 'row')} none is beaten by another: each is the most accurate at its cost."
    whole = f"{plural(len(frontier.members), 'row')} of {known} on the frontier"
    return f"{whole}: for each of the others, something here is at least as cheap and at least as accurate."


def _lacking(frontier: Frontier, rows: Sequence[Measurement]) -> str:
    """The first thing without which there is no frontier."""
    cost, gain = QUANTITIES[frontier.cost], QUANTITIES[frontier.gain]
    priced = [row for row in rows if cost.of(row) is not None]
    if not priced:
        return f"No row has a {cost.title.lower()}: {_validity(rows)}"
    if all(gain.of(row) is None for row in rows):
        return f"No row has an {gain.title}"
    if all(gain.of(row) is None for row in priced):
        return f"The rows that have a {cost.title.lower()} have no {gain.title}"
    if not any(row.usable for row in priced):
        return f"No row that has a {cost.title.lower()} and an {gain.title} is valid: {_validity(rows)}"
    return f"The valid rows have no {gain.title}"


def plane_caption(frontier: Frontier, labels: Mapping[str, str]) -> str:
    """What the picture leaves out, and the frontier's own notes."""
    cost = QUANTITIES[frontier.cost]
    alone = [f"{labels[row.id]} ({cost.text(row)})" for row in frontier.cost_only]
    ticks = f"Ticks at the foot are rows that have no accuracy: {few(alone)}."
    notes = [note for note in frontier.notes if note != frontier.why]  # why stands above the picture
    return " ".join((*notes, *((ticks,) if alone else ())))


def undrawn(frontier: Frontier, labels: Mapping[str, str]) -> str:
    """What stands in place of a picture of fewer than three points."""
    cost, gain = QUANTITIES[frontier.cost], frontier.gain
    beaten = [
        f"{labels[row.id]} ({QUANTITIES[gain].title} {accuracy(row, gain)}, {cost.text(row)}) is not on the frontier"
        for row, _ in frontier.dominated
    ]
    return " ".join(("Too few rows to draw.", *(f"{line}." for line in beaten), plane_caption(frontier, labels)))


def spread(row: Measurement) -> str:
    """The latency with its interval as answers take it: as wide as what disturbed it may have made it."""
    wide = value(row, "latency_ms_p50")
    return latency(replace(row, latency_ms_p50_low=wide.low, latency_ms_p50_high=wide.high) if wide else row)


def member_line(member: Member, frontier: Frontier, labels: Mapping[str, str]) -> str:
    """One member of the frontier in words."""
    timed = frontier.cost == "latency_ms_p50"
    cost = spread(member.row) if timed else QUANTITIES[frontier.cost].text(member.row)
    certain = (
        "" if member.probability >= 0.995 else f", on the frontier with probability {probability(member.probability)}"
    )
    tied = ", tied with a neighbor within their intervals" if member.tied else ""
    title = QUANTITIES[frontier.gain].title
    return f"{labels[member.row.id]}: {title} {accuracy(member.row, frontier.gain)} at {cost}{certain}{tied}"


def settings(rows: Sequence[Measurement]) -> str:
    """`cpu, eager, fp32, batch 1, 2 threads, 5 processes a row`."""
    texts = (
        listed(sorted({row.device for row in rows})),
        listed(sorted({row.runtime for row in rows})),
        listed(sorted({row.precision for row in rows})),
        _counts(rows, "batch", "batch {}"),
        _counts(rows, "threads", "{} threads"),
        _counts(rows, "processes", "{} processes a row"),
    )
    return ", ".join(text for text in texts if text)


def _day(date: str) -> str:
    try:
        day = datetime.fromisoformat(date)
    except ValueError:
        return date
    return f"{day.day} {day:%B %Y}"


def _validity(rows: Sequence[Measurement]) -> str:
    counts = Counter(row.validity for row in rows)
    parts = [f"{count} {kind.replace('_', ' ')}" for kind, count in counts.most_common()]
    return f"{len(rows)}: {', '.join(parts)}"


def _resolution(rows: Sequence[Measurement]) -> str:
    known = sorted({value for row in rows if (value := finite(row.resolution_pct)) is not None})
    return " to ".join(f"{significant(value, 2)} %" for value in dict.fromkeys((known[0], known[-1]))) if known else ""


def _accuracies(rows: Sequence[Measurement], split: str | None) -> str:
    counts = Counter(row.ap_split or "split not stated" for row in rows if row.ap is not None)
    if not counts:
        return "none known"
    found = ", ".join(f"{name} ({plural(count, 'row')})" for name, count in counts.most_common())
    measured = sum(row.ap_measured for row in rows if row.ap is not None)
    origin = "published" if not measured else "measured" if measured == counts.total() else f"{measured} measured"
    compared = f"; compared: {split}" if split and len(counts) > 1 else ""
    return f"{origin}: {found}{compared}"


def _counts(rows: Sequence[Measurement], field: str, form: str) -> str:
    values = sorted({value for row in rows if (value := getattr(row, field))})
    return form.format(listed([str(value) for value in values])) if values else ""


def _versions(rows: Sequence[Measurement]) -> str:
    found = dict.fromkeys((name, version) for row in rows for name, version in row.versions.items())
    return ", ".join(f"{name} {version}" for name, version in found)
