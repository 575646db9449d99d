"""Sentences about a frontier: what is on it, how certain that is, and what would decide it."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from paretodet.frontier.pareto import Frontier, Member
from paretodet.frontier.values import noun, value
from paretodet.records.estimate import estimate_of
from paretodet.records.measurement import GAINS, Measurement
from paretodet.report.formats import few, field_text, field_title, latency, listed, probability
from paretodet.report.wording import validity_counts

LISTED = 0.05  # where AP is estimated, members that are less probable are only counted


def provisional(frontier: Frontier) -> tuple[str, str]:
    """Why an answer is provisional and what to do, and the command for it."""
    return frontier.why.removeprefix("Provisional: "), shlex.join(frontier.remeasure)


def undecided(frontier: Frontier, labels: Mapping[str, str]) -> tuple[str, str] | None:
    """Which rows may or may not be on the frontier, and the command that decides it; None if there are none."""
    if frontier.provisional or not frontier.undecided:
        return None
    return f"{undecided_rows(frontier, labels)} To decide it, run:", shlex.join(frontier.remeasure)


def undecided_rows(frontier: Frontier, labels: Mapping[str, str]) -> str:
    """The sentence that names the undecided members; the frontier has at least one."""
    rows = [f"{labels[member.row.id]} (probability {probability(member.probability)})" for member in frontier.undecided]
    verb = "is" if len(rows) == 1 else "are"
    return f"The intervals are too wide to decide whether {listed(rows)} {verb} on the frontier."


def frontier_lead(frontier: Frontier, rows: Sequence[Measurement]) -> str:
    """How many of the comparable rows are on the frontier; if none is, why."""
    members, others = len(frontier.members), len(frontier.dominated)
    if not members:
        return f"There is no frontier yet: {_lacking(frontier, rows)}."
    if members + others == 1:
        return "Only one row can be compared, so it is the frontier."
    if is_estimated(frontier):
        return (
            f"{members} of {members + others} comparable rows may be on the frontier: because AP is estimated, no "
            "other row certainly beats them. Those that are not improbable are listed."
        )
    if not others:
        return f"All {members} comparable rows are on the frontier: none is clearly beaten in both cost and accuracy."
    counts = f"{members} of {members + others} comparable rows {'is' if members == 1 else 'are'} on the frontier."
    each = "The other row" if others == 1 else f"Each of the other {others}"
    return f"{counts} {each} is beaten by a row that costs no more and is at least as accurate."


def _lacking(frontier: Frontier, rows: Sequence[Measurement]) -> str:
    """The first thing that a frontier needs and these rows do not have."""
    cost, gain = _called(frontier.cost), _called(frontier.gain)
    priced = [row for row in rows if value(row, frontier.cost) is not None]
    if not priced:
        return f"no row has {_article(cost)} (validity: {validity_counts(rows)})"
    if all(value(row, frontier.gain) is None for row in rows):
        return f"no row has {_article(gain)}"
    if all(value(row, frontier.gain) is None for row in priced):
        return f"the rows that have {_article(cost)} have no {gain}"
    if not any(row.usable for row in priced):
        both = f"{_article(cost)} and {_article(gain)}"
        return f"no row that has {both} is valid (validity: {validity_counts(rows)})"
    return f"the valid rows have no {gain}"


def _called(field: str) -> str:
    """What a cost or a gain is called inside a sentence, whether or not a minus sign makes the cost a gain."""
    name = field.removeprefix("-")
    return noun(name) if name in GAINS else field_title(name).lower()


def _article(name: str) -> str:
    """`an AP`, `a latency`; a plural has none."""
    return name if name.endswith("s") else f"{'an' if name[0] in 'aeiouA' else 'a'} {name}"


def plane_caption(frontier: Frontier, labels: Mapping[str, str]) -> str:
    """The frontier's notes, and the rows that have no place in the plane."""
    alone = _without_gain(frontier, labels)
    ticks = f"The ticks along the lower edge are rows without {_gain(frontier)}: {alone}." if alone else ""
    return " ".join(filter(None, (*_notes(frontier), ticks)))


def too_few_points(frontier: Frontier, labels: Mapping[str, str]) -> str:
    """The text in place of a chart of fewer than three points."""
    beaten = [
        f"{labels[row.id]} ({_gain_text(frontier, row)}, {field_text(row, frontier.cost)}) is not on the frontier."
        for row, _ in frontier.dominated
    ]
    alone = _without_gain(frontier, labels)
    without = f"Without {_gain(frontier)}: {alone}." if alone else ""
    return " ".join(filter(None, ("There are too few rows for a chart.", *beaten, *_notes(frontier), without)))


def not_compared(frontier: Frontier) -> str:
    """Which candidates have the cost alone, and what to do about it; empty if there is none."""
    names = list(dict.fromkeys(frontier.cost_only.texts("name")))
    if not names:
        return ""
    return f"Not compared (no known {_called(frontier.gain)}): {few(names)}; {_way_out(frontier.gain)}."


def _way_out(gain: str) -> str:
    """How rows that lack a gain can be compared all the same."""
    if gain not in GAINS:
        return f"another --gain than {gain} compares them"
    only = " if NAME predicts masks and DATA has some" if gain.startswith("mask") else ""
    return f"`paretodet measure NAME --data DATA` measures it{only}"


def _notes(frontier: Frontier) -> list[str]:
    """The frontier's notes but for `why`, which the page shows above the chart."""
    return [note for note in frontier.notes if note != frontier.why]


def _without_gain(frontier: Frontier, labels: Mapping[str, str]) -> str:
    return few([f"{labels[row.id]} ({field_text(row, frontier.cost)})" for row in frontier.cost_only])


def _gain(frontier: Frontier) -> str:
    return "an accuracy" if frontier.gain in GAINS else _article(_called(frontier.gain))


def _gain_text(frontier: Frontier, row: Measurement) -> str:
    """`AP 42.8`, `memory 92 MiB`."""
    return f"{_called(frontier.gain)} {field_text(row, frontier.gain.removeprefix('-'))}"


def widened_latency(row: Measurement) -> str:
    """The latency with the interval that answers use: as wide as the disturbance may have made it."""
    wide = value(row, "latency_ms_p50")
    return latency(replace(row, latency_ms_p50_low=wide.low, latency_ms_p50_high=wide.high) if wide else row)


def is_estimated(frontier: Frontier) -> bool:
    """Whether the AP of a member is estimated."""
    return any(estimate_of(member.row) for member in frontier.members)


def listed_members(frontier: Frontier) -> list[Member]:
    """The members that are named: where AP is estimated, those that are not improbable."""
    return [member for member in frontier.members if member.probability >= LISTED or not is_estimated(frontier)]


def unlisted(frontier: Frontier) -> list[str]:
    """How many members are not named."""
    others = len(frontier.members) - len(listed_members(frontier))
    return [f"{others} more, each with a probability below {LISTED:g}"] if others else []


def member_lines(frontier: Frontier, labels: Mapping[str, str]) -> list[str]:
    """A line for each member; where AP is estimated, the improbable ones share the last line."""
    lines = [member_line(member, frontier, labels) for member in listed_members(frontier)]
    return [*lines, *unlisted(frontier)]


def member_line(member: Member, frontier: Frontier, labels: Mapping[str, str]) -> str:
    """`NAME: AP 42.8 at 118 ms (116–120), on the frontier with probability 0.87`."""
    timed = frontier.cost == "latency_ms_p50"
    cost = widened_latency(member.row) if timed else field_text(member.row, frontier.cost)
    certain = (
        "" if member.probability >= 0.995 else f", on the frontier with probability {probability(member.probability)}"
    )
    is_tied = member.tied and not estimate_of(member.row)  # nearly all estimates are
    tied = ", tied with a neighbor within the intervals" if is_tied else ""
    return f"{labels[member.row.id]}: {_gain_text(frontier, member.row)} at {cost}{certain}{tied}"
