"""Sentences about rows: what was measured and where, what the frontier shows, how to read a page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from paretodet.records.estimate import estimate_of
from paretodet.records.machines import Machine, describe, short_names
from paretodet.records.measurement import Measurement
from paretodet.records.roofline import COPY, RATE
from paretodet.records.statistics import half_pct
from paretodet.report.formats import (
    UNKNOWN,
    few,
    finite,
    listed,
    plural,
    reasons,
    significant,
)

READING = (
    "Each point is one detector, measured on the machine named above. Points further left cost less; points further up "
    "are more accurate. The staircase is the Pareto frontier: for every detector below or to the right of it, another "
    "one costs no more and is at least as accurate. Filled points are on the frontier, hollow points are not.",
    "Latency is the time from a prepared image in memory to the final boxes in memory, including data transfers and "
    "non-maximum suppression. The number is the median over processes. The bar through a point is its 95 % confidence "
    "interval, widened by what drift and other work may have changed. Two detectors whose bars overlap may be equally "
    "fast. The table of all rows shows the interval over processes alone.",
    "AP is the mean average precision in percent, as COCO defines it; higher is better. AP50 accepts every box that "
    "overlaps its object by at least half (IoU 0.5). Unless “Accuracy” above says “measured”, AP is the number that "
    "the detector's authors published, and the vertical bar is the rounding of that number.",
    "Memory is the peak memory of the process beyond what its libraries occupy. One GFLOP is 10⁹ floating-point "
    "operations for one image; a multiply-add counts as two operations.",
    "The floor of a row is the least time that its convolutions and fully connected layers need at the rates that were "
    "measured on this machine: the matrix products of its precision, and copying memory. A row at 40 % of its latency "
    "takes two and a half times its floor. Algorithms that save operations, and networks that fit into caches, may be "
    "faster than their floor.",
    "If wide intervals leave the answer open, it comes with a probability: that the detector keeps the latency limit, "
    "or that it is on the frontier. The safe choice is the best detector that is almost certain to keep the limit.",
    "The answer is provisional if fewer than two rows were measured without disturbance. It then uses every row that "
    "has a latency, with intervals as wide as the disturbance requires, and the staircase is dashed. Otherwise, rows "
    "grayed out in the table are used neither for the frontier nor for the answer; the table says why.",
)
KNOWN_AND_ESTIMATED = (
    "Filled points have a published or measured AP. Hollow points have an estimated AP, and the vertical bar is its "
    "interval. Large points are on the frontier; small, pale ones are not."
)
ESTIMATES = (
    "An estimated AP was neither measured nor published; it is marked “estimated”. It comes from what is published of "
    "other systems of the same paper and code, and its 90 % interval from the errors on published systems that were "
    "left out. Systems that differ in stride or proposals alone share most of their error, so that their order is more "
    "certain than their bars."
)
PAPER = (
    "Huang et al. compared 147 detectors on one GPU, and drew the best trade-offs by hand. These are such systems, "
    "timed on this machine."
)
SURVEY = (
    "The four plots of a 2018 survey of detectors, drawn from these rows. Accuracy and work depend on the network and "
    "not on the machine, so rows with a disturbed latency are included."
)
COSTS = "From the rows that were measured without disturbance."
COSTS_PROVISIONAL = "From all rows that have a latency, including those that other work disturbed."
VALIDITIES = {
    "noisy": "an older version considered its interval too wide; the row is used with that interval",
    "contended": "other work used the machine during too much of the measurement",
    "throttled": "the processor lowered its clock",
    "unwatched": "some signals of a disturbance could not be read for this row",
    "host_bound": "the accelerator waited for the processor",
    "error": "the detector failed or broke a rule of measuring",
}
UNWATCHED = "not watched: "  # the prefix of a stored reason
WIDE_PCT = 25.0  # half of an interval of two processes; a wider one gets a note
FOOTER = "Made by paretodet. This page is a single file and makes no network request."


def reading(rows: Sequence[Measurement]) -> tuple[str, ...]:
    """How to read a page of these rows."""
    if not any(map(estimate_of, rows)):
        return READING
    first, *others = READING
    return (f"{first.partition('Filled points')[0]}{KNOWN_AND_ESTIMATED}", *others[:2], ESTIMATES, *others[2:])


def machines(rows: Sequence[Measurement]) -> tuple[str, ...]:
    """What every different machine is, in the order of the rows."""
    return tuple(dict.fromkeys(describe(row.machine_facts) for row in rows))


def period(rows: Sequence[Measurement]) -> str:
    """`20 November 2026`, or the first and the last day."""
    days = sorted(row.at[:10] for row in rows)
    return " to ".join(dict.fromkeys((_day(days[0]), _day(days[-1])))) if days else UNKNOWN


def title(rows: Sequence[Measurement]) -> str:
    """How many detectors, and on what: the GPU, else the CPU."""
    places, names = {row.machine for row in rows}, {describe(row.machine_facts).split(", ")[0] for row in rows}
    where = names.pop() if len(places) == 1 else plural(len(places), "machine")
    return f"{plural(len({row.name for row in rows}), 'detector')} on {where}"


def lead(rows: Sequence[Measurement]) -> str:
    """One sentence: what, where and when."""
    places = machines(rows)
    where = places[0] if len(places) == 1 else plural(len(places), "machine")
    return f"Latency, memory and accuracy, measured on {period(rows)} on {where}."


def machine_names(rows: Sequence[Measurement]) -> dict[str, str]:
    """A short name of every machine that distinguishes it from the others, by fingerprint."""
    facts = {row.machine: row.machine_facts for row in rows}
    return short_names([Machine(fingerprint, describe(known), 0) for fingerprint, known in facts.items()])


def without_split(rows: Sequence[Measurement], shown: Sequence[Sequence[Measurement]], split: str | None) -> list[str]:
    """Which machines have no part on the page because none of their rows has an accuracy on this split."""
    known = {row.machine for some in shown for row in some}
    others = machines([row for row in rows if row.machine not in known])
    return [f"Left out, without an accuracy on {split}: {'; '.join(others)}."] if others else []


def unwatched(rows: Sequence[Measurement]) -> tuple[str, ...]:
    """The signals that could not be watched in any row that was measured."""
    missing = [set(_signals(row)) for row in rows if row.validity != "error"]
    return tuple(sorted(set.intersection(*missing))) if missing else ()


def validity(row: Measurement, shared: Sequence[str]) -> str:
    """The row's validity as a reader sees it: `valid` if nothing is unwatched but the signals that all rows share."""
    ordinary = row.validity == "unwatched" and shared and set(_signals(row)) <= set(shared)
    return "valid" if ordinary else row.validity


def row_reasons(row: Measurement, shared: Sequence[str]) -> tuple[str, ...]:
    """Why a row is not valid, in full, without the unwatched signals that all rows share."""
    known = {UNWATCHED + signal for signal in shared}
    return tuple(reason for reason in reasons(row) if reason not in known)


def row_notes(rows: Sequence[Measurement], labels: Mapping[str, str]) -> list[str]:
    """Sentences about some rows of a table: batches of several images, signals that only they lack, wide intervals of
    two processes, and measured AP beside published."""
    shared, measured = unwatched(rows), [row for row in rows if row.validity != "error"]
    others = dict.fromkeys(signal for row in measured for signal in _signals(row) if signal not in shared)
    wide = [labels[row.id] for row in rows if row.processes == 2 and WIDE_PCT < half_pct(row) < float("inf")]
    names = "all rows" if len(wide) == len(rows) > 1 else few(wide)
    batches = _values([row for row in rows if row.batch > 1], "batch")
    return [
        *([f"Times and memory are those of a whole batch, of {batches} images."] if batches else []),
        *([f"Not watched in some rows: {listed(list(others))}."] if others else []),
        *([f"Wide intervals ({names}): 2 processes; --processes 5 narrows them."] if wide else []),
        *_measured_beside_published(rows, labels),
    ]


def _measured_beside_published(rows: Sequence[Measurement], labels: Mapping[str, str]) -> list[str]:
    """Which rows have an AP that was measured, if others have a published one."""
    scored = [row for row in rows if row.ap is not None]
    own = [row for row in scored if row.ap_measured]
    if not own or len(own) == len(scored):
        return []
    splits = listed(list(dict.fromkeys(row.ap_split or "unknown split" for row in own)))
    return [
        f"The AP of {few([labels[row.id] for row in own])} is measured on {splits}; that of other rows is published."
    ]


def machine_notes(rows: Sequence[Measurement]) -> list[str]:
    """Sentences about the machine for a table without `facts`: what no row could watch, and the CPU quota."""
    shared = unwatched(rows)
    quotas = sorted({quota for row in rows if (quota := finite(row.machine_facts.get("cpu_quota")))})
    cores = listed([f"{quota:g}" for quota in quotas])
    return [
        *([f"Not watched in any row: {listed(shared)}."] if shared else []),
        *([f"CPU quota of the machine: {cores} cores; by default, no more threads are used."] if quotas else []),
    ]


def legend(rows: Sequence[Measurement]) -> str:
    """What the validities that the table shows mean."""
    shared = unwatched(rows)
    shown = {validity(row, shared) for row in rows}
    texts = [f"{kind.replace('_', ' ')}: {text}" for kind, text in VALIDITIES.items() if kind in shown]
    return "; ".join(texts) + "." if texts else ""


def warnings(rows: Sequence[Measurement]) -> list[str]:
    """What makes these rows of one machine hard to compare with each other."""
    mixed = [field for field in ("device", "batch", "threads") if len({getattr(row, field) for row in rows}) > 1]
    return [f"Rows differ in {listed(mixed)}; the table shows the settings of every row."] if mixed else []


def selected(rows: int, total: int | None) -> list[str]:
    """Which rows of a large store the page shows; empty if it shows all."""
    if total is None or total <= rows:
        return []
    return [
        f"This page shows {rows:,} of {total:,} rows: all that an answer needs, those nearest to the frontier, and a "
        "random sample of the others."
    ]


def facts(rows: Sequence[Measurement], split: str | None) -> list[tuple[str, str]]:
    """Terms and texts of "How it was measured"."""
    terms = (
        ("Machine", "; ".join(machines(rows))),
        ("Measured", period(rows)),
        ("Rows", f"{len(rows):,}: {validity_counts(rows)}"),
        ("Smallest detectable difference", _resolution(rows)),
        ("Measured ceilings", ceilings(rows)),
        ("Not watched in any row", listed(unwatched(rows))),
        ("Accuracy", _accuracies(rows, split)),
        ("Settings", settings(rows)),
        ("Versions", _versions(rows)),
    )
    return [(term, text) for term, text in terms if text]


def settings(rows: Sequence[Measurement]) -> str:
    """`cpu, eager, fp32, batch 1, 2 threads, 5 processes per row`."""
    texts = (
        listed(sorted({row.device for row in rows})),
        listed(sorted({row.runtime for row in rows})),
        listed(sorted({row.precision for row in rows})),
        f"batch {_values(rows, 'batch')}",
        _counts(rows, "threads", "thread"),
        _counts(rows, "processes", "process", "processes per row"),
    )
    return ", ".join(text for text in texts if text)


def validity_counts(rows: Sequence[Measurement]) -> str:
    """`10 valid, 1 unwatched, 1 contended`."""
    shared = unwatched(rows)
    counts = Counter(validity(row, shared) for row in rows)
    return ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.most_common())


def _signals(row: Measurement) -> list[str]:
    """What could not be watched while the row was measured."""
    return [reason.removeprefix(UNWATCHED) for reason in row.reasons if reason.startswith(UNWATCHED)]


def _day(date: str) -> str:
    try:
        day = datetime.fromisoformat(date)
    except ValueError:
        return date
    return f"{day.day} {day:%B %Y}"


def _resolution(rows: Sequence[Measurement]) -> str:
    known = sorted({value for row in rows if (value := finite(row.resolution_pct)) is not None})
    return " to ".join(f"{significant(value, 2)} %" for value in dict.fromkeys((known[0], known[-1]))) if known else ""


def ceilings(rows: Sequence[Measurement]) -> str:
    """`fp32 190 to 195 GFLOP/s, bf16 430 GFLOP/s, copy 17 GB/s`: of the runs that these rows are of."""
    known: dict[str, set[float]] = {}
    for name, reached in (pair for row in rows for pair in (row.ceilings or {}).items()):
        if (value := finite(reached)) is not None:
            known.setdefault(name, set()).add(value)
    ranges = {
        name: " to ".join(dict.fromkeys(map(significant, (min(values), max(values))))) for name, values in known.items()
    }
    return ", ".join(
        f"copy {ends} GB/s" if name == COPY else f"{name.removesuffix(RATE)} {ends} GFLOP/s"
        for name, ends in ranges.items()
    )


def _accuracies(rows: Sequence[Measurement], split: str | None) -> str:
    counts = Counter(row.ap_split or "split not stated" for row in rows if row.ap is not None)
    estimates = Counter(estimate.split for row in rows if (estimate := estimate_of(row)))
    guessed = ", ".join(f"estimated: {name} ({plural(count, 'row')})" for name, count in estimates.items())
    if not counts:
        return guessed or "no row has one"
    splits = ", ".join(f"{name} ({plural(count, 'row')})" for name, count in counts.most_common())
    measured = sum(row.ap_measured for row in rows if row.ap is not None)
    origin = "published" if not measured else "measured" if measured == counts.total() else f"{measured} measured"
    compared = f"; compared: {split}" if split and len(counts | estimates) > 1 else ""
    return f"{origin}: {splits}{'; ' + guessed if guessed else ''}{compared}"


def _counts(rows: Sequence[Measurement], field: str, noun: str, nouns: str | None = None) -> str:
    values = _values(rows, field)
    return f"{values} {noun if values == '1' else nouns or noun + 's'}" if values else ""


def _values(rows: Sequence[Measurement], field: str) -> str:
    """The different values that are known and not 0, in rising order."""
    known = {getattr(row, field) for row in rows} - {None, 0}
    return listed([str(value) for value in sorted(known)])


def _versions(rows: Sequence[Measurement]) -> str:
    pairs = dict.fromkeys((name, version) for row in rows for name, version in row.versions.items())
    return ", ".join(f"{name} {version}" for name, version in pairs)
