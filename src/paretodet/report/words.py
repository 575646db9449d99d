"""Sentences about rows: what was measured and where, what the frontier says, how to read a page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from paretodet.bench.record import Measurement
from paretodet.frontier.pareto import Frontier, Member
from paretodet.report.formats import (
    QUANTITIES,
    UNKNOWN,
    accuracy,
    finite,
    latency,
    listed,
    plural,
    probability,
    significant,
)

READING = (
    "Every point is one detector, run on the machine named above. Further left is cheaper, further up more accurate. "
    "The staircase is the frontier: below and to the right of it there is always something at least as fast and at "
    "least as accurate. Filled points are on the frontier, hollow ones are not.",
    "Latency is the time from a prepared image in memory to finished boxes in memory, copies and suppression of "
    "duplicates inside. It is the median; the bar through a point is the 95 % interval over separate processes. Two "
    "detectors whose bars overlap may well be equally fast.",
    "AP is the mean average precision on COCO in percent, higher is better; AP50 forgives boxes that are only half "
    "right. Unless a row says that it was measured, it is what the detector's authors published, and the vertical bar "
    "is the rounding of their number.",
    "Memory is the peak that the process needed beyond its libraries. One GFLOP is a thousand million floating point "
    "operations for one image; a multiplication with its addition counts as two.",
    "Greyed rows in the table were measured while something disturbed the machine, or failed. They say why, and they "
    "enter neither the frontier nor the answer.",
)

SURVEY = (
    "The four plots of a well-known survey of 2018, of these rows. Accuracy and work are properties of a network, not "
    "of a machine, so rows whose timing was disturbed are here too."
)
COSTS = "Of the rows that were measured without disturbance."
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
    """One sentence: what and when."""
    return f"Speed, memory and accuracy of {plural(len(rows), 'row')}, measured on {period(rows)}."


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
        ("Smallest difference told", _resolution(rows)),
        ("Accuracy", _accuracies(rows, split)),
        ("Settings", settings(rows)),
        ("Versions", _versions(rows)),
    )
    return [(term, text) for term, text in found if text]


def frontier_lead(frontier: Frontier) -> str:
    """How many are on the frontier, of how many that could be."""
    known = len(frontier.members) + len(frontier.dominated)
    if not known:
        return "No row knows both its accuracy and its cost, so there is no frontier yet."
    if not frontier.dominated:
        return f"Of {plural(known, 'row')} none is beaten by another: each is the most accurate at its cost."
    whole = f"{plural(len(frontier.members), 'row')} of {known} on the frontier"
    return f"{whole}: for each of the others, something here is at least as cheap and at least as accurate."


def plane_caption(frontier: Frontier, labels: Mapping[str, str]) -> str:
    """What the picture leaves out, and the frontier's own notes."""
    cost = QUANTITIES[frontier.cost]
    alone = [f"{labels[row.id]} ({cost.text(row)})" for row in frontier.cost_only]
    ticks = f"Ticks at the foot are rows that have no accuracy: {listed(alone)}."
    return " ".join((*frontier.notes, *((ticks,) if alone else ())))


def member_line(member: Member, frontier: Frontier, labels: Mapping[str, str]) -> str:
    """One member of the frontier in words."""
    cost = latency(member.row) if frontier.cost == "latency_ms_p50" else QUANTITIES[frontier.cost].text(member.row)
    certain = (
        "" if member.probability >= 0.995 else f", on the frontier with probability {probability(member.probability)}"
    )
    tied = ", tied with a neighbour within their intervals" if member.tied else ""
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
