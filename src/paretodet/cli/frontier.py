"""`paretodet frontier` and `paretodet recommend`."""

from paretodet.cli import options
from paretodet.cli.output import note, note_all, note_next, print_json, show


def frontier(
    cost: options.Cost = "latency_ms_p50",
    gain: options.Gain = "ap",
    split: options.Split = options.SPLIT,
    include_invalid: options.IncludeInvalid = False,
    store: options.Store = options.DEFAULT_STORE,
    run: options.Run = None,
    json: options.Json = False,
) -> None:
    """The detectors that no other beats, and how sure that is."""
    from paretodet.frontier.pareto import pareto_frontier
    from paretodet.report.console import frontier_json
    from paretodet.report.tables import frontier_table
    from paretodet.sweep.read import read_rows

    rows = read_rows(store, run=run)
    found = pareto_frontier(rows, cost=cost, gain=gain, split=split, include_invalid=include_invalid)
    note_all(found.notes)
    if json:
        print_json(frontier_json(found))
    else:
        show(frontier_table(found))


def recommend(
    max_ms: options.MaxMs = None,
    max_mib: options.MaxMib = None,
    min_ap: options.MinAp = None,
    maximum: options.Maximum = None,
    minimum: options.Minimum = None,
    goal: options.Goal = "ap",
    confident: options.Confident = False,
    split: options.Split = options.SPLIT,
    include_invalid: options.IncludeInvalid = False,
    store: options.Store = options.DEFAULT_STORE,
    run: options.Run = None,
    json: options.Json = False,
) -> None:
    """The detector that fits a budget, what stands beside it, and what a little more would buy."""
    from paretodet.frontier.recommend import Budget
    from paretodet.frontier.recommend import recommend as answer
    from paretodet.sweep.read import read_rows

    budget = Budget(
        maximum=options.limits(maximum, latency_ms_p50=max_ms, memory_infer_mib=max_mib),
        minimum=options.limits(minimum, ap=min_ap),
        goal=goal,
        confident=confident,
    )
    found = answer(read_rows(store, run=run), budget, split=split, include_invalid=include_invalid)
    if json:
        fields = found.to_json()
        note(fields.pop("reason"))
        print_json(fields)
    else:
        show(found.reason)
    kept = None if store == options.DEFAULT_STORE else store
    usual = split == options.SPLIT or include_invalid  # the page has valid rows alone, maybe none of this split
    note_next("report", split=None if usual or not budget.asks_accuracy else split, store=kept, run=run)
