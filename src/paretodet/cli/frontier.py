"""`paretodet frontier` and `paretodet recommend`."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from paretodet.cli import options, parsing
from paretodet.cli.output import note, note_all, note_next, print_json, show
from paretodet.errors import InputError

if TYPE_CHECKING:
    from paretodet.frontier.budget import Budget
    from paretodet.records.measurement import Measurement
    from paretodet.records.rows import Rows

NO_ANSWER = 1


def frontier(
    cost: options.Cost = "latency_ms_p50",
    gain: options.Gain = "ap",
    calls: options.Calls = None,
    split: options.Split = options.SPLIT,
    include_invalid: options.IncludeInvalid = False,
    strict: options.Strict = False,
    estimates: options.Estimates = False,
    columns: options.Columns = None,
    store: options.Store = options.DEFAULT_STORE,
    machine: options.Machine = None,
    run: options.Run = None,
    json: options.Json = False,
) -> None:
    """Show the Pareto frontier: the detectors that no other one beats, with their probabilities.

    Exit status: 0 with a frontier, also a provisional one; 1 without; 2 for bad input.
    """
    from paretodet.frontier.pareto import pareto_frontier
    from paretodet.report.console import frontier_json
    from paretodet.report.frontier_wording import not_compared, unlisted
    from paretodet.report.tables import COLUMNS, footnote, frontier_table
    from paretodet.sweep.machines import of_machine
    from paretodet.sweep.read import read_rows

    more = parsing.columns(columns, COLUMNS)
    parsing.check_calls(calls, [cost, gain.removeprefix("-")])
    result = pareto_frontier(
        of_machine(store, read_rows(store, run=run, split=split, estimates=estimates, notify=note), machine),
        cost=parsing.job_field(cost, calls),
        gain=parsing.job_field(gain, calls),
        split=split,
        include_invalid=include_invalid,
        strict=strict,
    )
    note_all(result.notes)
    command = remeasure_command(result.remeasure, store)
    if json:
        print_json(frontier_json(result) | {"again": command})
    elif result.members:
        show(frontier_table(result, more=more))
        note_all(f"{each}: --json has them." for each in unlisted(result))
        note_all(filter(None, [footnote([member.row for member in result.members]), not_compared(result)]))
    note_remeasure(command)
    if not result.members:
        raise typer.Exit(NO_ANSWER)


def recommend(
    max_ms: options.MaxMs = None,
    max_mib: options.MaxMib = None,
    min_ap: options.MinAp = None,
    maximum: options.Maximum = None,
    minimum: options.Minimum = None,
    goal: options.Goal = "ap",
    calls: options.Calls = None,
    confident: options.Confident = False,
    split: options.Split = options.SPLIT,
    include_invalid: options.IncludeInvalid = False,
    strict: options.Strict = False,
    estimates: options.Estimates = False,
    store: options.Store = options.DEFAULT_STORE,
    machine: options.Machine = None,
    all_machines: options.AllMachines = False,
    run: options.Run = None,
    json: options.Json = False,
) -> None:
    """Choose a detector within a budget; show alternatives and what a larger budget would give.

    Exit status: 0 with a choice, also a provisional one; 1 if no detector fits; 2 for bad input.
    """
    from paretodet.frontier.recommend import Budget
    from paretodet.frontier.recommend import recommend as answer
    from paretodet.sweep.machines import of_machine
    from paretodet.sweep.read import read_rows, with_complete_rows

    timed = "latency_ms_p50" if calls is None else "job_ms"
    upper = parsing.limits(maximum, **{timed: max_ms, "memory_infer_mib": max_mib})
    lower = parsing.limits(minimum, ap=min_ap)
    parsing.check_calls(calls, [goal, *upper, *lower])
    budget = Budget(
        maximum=parsing.job(upper, calls),
        minimum=parsing.job(lower, calls),
        goal=parsing.job_field(goal, calls),
        confident=confident,
    )
    if all_machines and machine:
        raise InputError("all-machines: contradicts --machine, give one of them", "option-conflict")
    rows = of_machine(store, read_rows(store, run=run, split=split, estimates=estimates, notify=note), machine)
    if all_machines:
        which = {"split": split, "include_invalid": include_invalid, "strict": strict}
        _recommend_on_all(rows, budget, which, store, json)
        return
    recommendation = answer(rows, budget, split=split, include_invalid=include_invalid, strict=strict)
    command = remeasure_command(recommendation.remeasure, store)
    if json:
        fields = with_complete_rows(store, recommendation).to_json() | {"again": command}
        note(fields.pop("reason"))
        print_json(fields)
    else:
        show(recommendation.reason)
    note_remeasure(command)
    kept = None if store == options.DEFAULT_STORE else store
    usual = split == options.SPLIT or include_invalid  # the page shows valid rows only, maybe none of this split
    split_option = None if usual or not budget.asks_accuracy else split
    note_next("report", split=split_option, estimates=estimates, store=kept, machine=machine, run=run)
    if not recommendation.choice:
        raise typer.Exit(NO_ANSWER)


def _recommend_on_all(rows: "Rows", budget: "Budget", which: dict[str, Any], store: str, json: bool) -> None:
    from paretodet.frontier.all_machines import recommend_on_all
    from paretodet.records.machines import short_names
    from paretodet.report.all_machines import absent_notes, machines_table, reason
    from paretodet.sweep.machines import machines

    known = machines(store, rows)
    names, answer = short_names(known), recommend_on_all(rows, budget, **which)
    if json:
        note(reason(answer, names))
        print_json(answer.to_json() | {"machines": {each.fingerprint: each.name for each in known}})
    else:
        show(reason(answer, names))
        show(machines_table(answer, names))
    note_all((*answer.notes, *absent_notes(answer, names, store)))
    if not answer.choice:
        raise typer.Exit(NO_ANSWER)


def remeasure_command(again: Sequence[str], store: str) -> str | None:
    """The command that measures the undecided rows. It writes to the default store if `store` is a file of lines."""
    from paretodet.records.location import is_lines, without_password

    kept = () if store == options.DEFAULT_STORE or is_lines(store) else ("--store", without_password(store))
    return shlex.join((*again, *kept)) if again else None


def note_remeasure(command: str | None) -> None:
    if command:
        note(f"To decide it: {command}")


def note_question(rows: "Sequence[Measurement]", store: str, *, estimates: bool) -> None:
    """Prints the command that chooses among rows that were just measured."""
    from paretodet.frontier.suggestions import suggested_options
    from paretodet.sweep.machines import machine_to_name

    if question := suggested_options(rows):
        kept = None if store == options.DEFAULT_STORE else store
        machine = machine_to_name(store, rows)
        note_next("recommend", **question, estimates=estimates, store=kept, machine=machine)
