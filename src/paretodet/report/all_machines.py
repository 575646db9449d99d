"""The answer for all machines as a table and as sentences."""

import shlex
from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from paretodet.frontier.all_machines import AllMachinesAnswer, OnAllMachines
from paretodet.frontier.explanation import CERTAIN, limits_text, probability_text
from paretodet.frontier.values import amount, noun
from paretodet.records.location import is_url
from paretodet.records.measurement import GAINS
from paretodet.report.formats import few, field_text, plain, plural

MAX_SHOWN = 10  # candidates


def machines_table(answer: AllMachinesAnswer, names: Mapping[str, str]) -> Table:
    """One line for each of the first candidates: how probably it fits everywhere, its worst goal, and what it costs.

    `names` are those of the machines by fingerprint.
    """
    shown = answer.candidates[:MAX_SHOWN]
    fields = [name for name in answer.budget.fields[1:] if _differs(shown, name)] or ["latency_ms_p50"]
    costs = [(field, machine) for field in fields for machine in answer.machines]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Detector", overflow="fold", min_width=20)
    goal = noun(answer.budget.goal)
    titles = (f"Worst {goal}", "Fits on all", *(f"{_noun(field)}, {names[machine]}" for field, machine in costs))
    for title in titles:
        table.add_column(title, justify="right")
    for each in shown:
        numbers = (_cost(each, field, machine) for field, machine in costs)
        cells = (each.label, amount(answer.budget.goal, each.goal), probability_text(each.probability), *numbers)
        table.add_row(*(Text(plain(cell)) for cell in cells), style=None if each.keeps else "dim")
    return table


def _differs(candidates: Sequence[OnAllMachines], field: str) -> bool:
    """Whether the field of a candidate depends on the machine."""
    return any(len({_cost(each, field, machine) for machine in each.rows}) > 1 for each in candidates)


def _noun(field: str) -> str:
    name = noun(field)
    return name[0].upper() + name[1:]


def _cost(candidate: OnAllMachines, field: str, machine: str) -> str:
    return field_text(candidate.rows[machine], field)


def reason(answer: AllMachinesAnswer, names: Mapping[str, str]) -> str:
    """The choice in sentences: what it keeps and how probably, its worst goal, and the safe choice if it is another."""
    return " ".join(_sentences(answer, names))


def _sentences(answer: AllMachinesAnswer, names: Mapping[str, str]) -> Iterator[str]:
    where, limits = plural(len(names), "machine"), limits_text(answer.budget)
    choice, safe = answer.choice, answer.safe
    if not answer.candidates:
        yield f"No detector has a usable row on all {where}: {', '.join(names.values())}."
    elif not choice:
        nearest = answer.candidates[0]
        yield f"No detector (of {len(answer.candidates)}) fits on all {where}: {limits}."
        yield f"The most probable to fit is {nearest.label}, with probability {probability_text(nearest.probability)}."
    else:
        best = f"the {'highest' if answer.budget.goal in GAINS else 'lowest'} {noun(answer.budget.goal)}"
        fitting = sum(each.keeps for each in answer.candidates)
        what, fit = (
            (f"has {best} of the {fitting} detectors", "fit") if fitting > 1 else ("is the only detector", "fits")
        )
        among = f"{what} (of {len(answer.candidates)}) that {fit} on all {where}"
        yield f"{choice.label} ({_goal(choice, answer, names)}) {among}: {limits}."
        if choice.probability < CERTAIN:
            yield f"It fits on all with probability {probability_text(choice.probability)}."
        if safe and safe is not choice:
            yield (
                f"The safe choice is {safe.label} ({_goal(safe, answer, names)}): its whole intervals keep the limits "
                "on every machine."
            )
        elif not safe:
            yield "There is no safe choice: no detector's whole intervals keep the limits on every machine."
    if len(names) == 1:
        yield "All rows are of one machine: `paretodet store copy` brings those of others."


def _goal(candidate: OnAllMachines, answer: AllMachinesAnswer, names: Mapping[str, str]) -> str:
    text = f"{noun(answer.budget.goal)} {amount(answer.budget.goal, candidate.goal)}"
    return f"at worst {text}, on {names[candidate.worst]}" if candidate.worst is not None else text


def absent_notes(answer: AllMachinesAnswer, names: Mapping[str, str], store: str) -> Iterator[str]:
    """Which detectors are not on every machine and why, and how to measure them there, for `store`."""
    there = f" --store {shlex.quote(store)}" if is_url(store) else ""
    bring = "" if is_url(store) else ", then bring its rows here with `paretodet store copy`"
    for machine, name in names.items():
        missing = [
            (each.label, each.missing[machine]) for each in answer.absent if machine in each.missing and each.keeps
        ]
        for why in dict.fromkeys(why for _, why in missing):
            yield f"On {name}: {why}: {few([label for label, other in missing if other == why])}."
        if command := answer.commands.get(machine):
            yield f"On that machine, run: {shlex.join(command)}{there}{bring}."
    if beyond := sum(not each.keeps for each in answer.absent):
        yield f"Not on every machine, and beyond the limits where measured: {plural(beyond, 'detector')}."
