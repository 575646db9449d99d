"""`paretodet frontier` and `paretodet recommend`."""

import shlex
from collections.abc import Sequence

import typer

from paretodet.cli import options
from paretodet.cli.output import note, note_all, note_next, print_json, show

NO_ANSWER = 1


def frontier(
    cost: options.Cost = "latency_ms_p50",
    gain: options.Gain = "ap",
    calls: options.Calls = None,
    split: options.Split = options.SPLIT,
    include_invalid: options.IncludeInvalid = False,
    strict: options.Strict = False,
    columns: options.Columns = None,
    store: options.Store = options.DEFAULT_STORE,
    run: options.Run = None,
    json: options.Json = False,
) -> None:
    """The detectors that no other beats, and how sure that is.

    Exit status: 0 with a frontier, a provisional one too; 1 without; 2 for bad input.
    """
    from paretodet.frontier.pareto import pareto_frontier
    from paretodet.report.console import frontier_json
    from paretodet.report.tables import COLUMNS, footnote, frontier_table
    from paretodet.sweep.read import read_rows

    more = options.columns(columns, COLUMNS)
    options.check_calls(calls, [cost, gain.removeprefix("-")])
    found = pareto_frontier(
        read_rows(store, run=run, notify=note),
        cost=options.job_field(cost, calls),
        gain=options.job_field(gain, calls),
        split=split,
        include_invalid=include_invalid,
        strict=strict,
    )
    note_all(found.notes)
    command = settling(found.remeasure, store)
    if json:
        print_json(frontier_json(found) | {"again": command})
    else:
        show(frontier_table(found, more=more))
        note_all(filter(None, [footnote([member.row for member in found.members])]))
    note_settling(command)
    if not found.members:
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
    store: options.Store = options.DEFAULT_STORE,
    run: options.Run = None,
    json: options.Json = False,
) -> None:
    """The detector that fits a budget, what stands beside it, and what a little more would buy.

    Exit status: 0 with a choice, a provisional one too; 1 where nothing fits; 2 for bad input.
    """
    from paretodet.frontier.recommend import Budget
    from paretodet.frontier.recommend import recommend as answer
    from paretodet.sweep.read import read_rows, with_complete_rows

    timed = "latency_ms_p50" if calls is None else "job_ms"
    most = options.limits(maximum, **{timed: max_ms, "memory_infer_mib": max_mib})
    least = options.limits(minimum, ap=min_ap)
    options.check_calls(calls, [goal, *most, *least])
    budget = Budget(
        maximum=options.job(most, calls),
        minimum=options.job(least, calls),
        goal=options.job_field(goal, calls),
        confident=confident,
    )
    rows = read_rows(store, run=run, notify=note)
    found = answer(rows, budget, split=split, include_invalid=include_invalid, strict=strict)
    command = settling(found.remeasure, store)
    if json:
        fields = with_complete_rows(store, found).to_json() | {"again": command}
        note(fields.pop("reason"))
        print_json(fields)
    else:
        show(found.reason)
    note_settling(command)
    kept = None if store == options.DEFAULT_STORE else store
    usual = split == options.SPLIT or include_invalid  # the page has valid rows alone, maybe none of this split
    note_next("report", split=None if usual or not budget.asks_accuracy else split, store=kept, run=run)
    if not found.choice:
        raise typer.Exit(NO_ANSWER)


def settling(again: Sequence[str], store: str) -> str | None:
    """The command that measures what leaves an answer open; into a store, for a file of lines is only read."""
    kept = () if store == options.DEFAULT_STORE or store.endswith(".jsonl") else ("--store", store)
    return shlex.join((*again, *kept)) if again else None


def note_settling(command: str | None) -> None:
    if command:
        note(f"To settle it: {command}")
