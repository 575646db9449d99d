"""`paretodet search`."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from paretodet.cli import candidate_options, measuring_options, options, parsing, place_options
from paretodet.cli.candidate import Given, config_fields, with_candidate_options
from paretodet.cli.frontier import note_question
from paretodet.cli.measure import check_outputs
from paretodet.cli.output import flag, note, note_all, print_json, show
from paretodet.cli.places import OF_FILES, searched_host
from paretodet.cli.progress import ProgressBar

if TYPE_CHECKING:
    from paretodet.frontier.searched import SearchResult


@with_candidate_options()
def search(
    given: Given,
    names: options.SearchedNames = None,
    minutes: measuring_options.Minutes = 20.0,
    cost: options.Cost = "latency",
    gain: options.Gain = "ap",
    calls: options.Calls = None,
    split: options.Split = options.SPLIT,
    estimates: options.Estimates = False,
    size: candidate_options.Sizes = None,
    proposals: candidate_options.Proposals = None,
    score: candidate_options.Scores = None,
    runtime: candidate_options.SearchedRuntime = None,
    precision: candidate_options.SearchedPrecision = None,
    batch: candidate_options.Batch = 1,
    threads: candidate_options.Threads = None,
    images: options.Images = None,
    patience: measuring_options.Patience = None,
    store: options.Store = options.DEFAULT_STORE,
    report: options.Report = None,
    on: place_options.SearchedOn = None,
    remote_python: place_options.RemotePython = None,
    json: options.Json = False,
) -> None:
    """Find the frontier of a space of detectors, sizes, runtimes and precisions; measure only what decides it.

    After an interruption, or to go on with more time, run the same command. Exit status: 0 with a frontier; 1 if
    nothing could be measured; 2 for bad input; 130 if interrupted.
    """
    from paretodet.searching import search as found
    from paretodet.sweep.executions import ALL
    from paretodet.sweep.plans import make_plan, parse_duration

    check_outputs(store, report)
    parsing.check_calls(calls, [cost, gain.removeprefix("-")])
    fields = config_fields(given)
    here = {"--images": images, **{flag(field): fields[field] for field in OF_FILES}}
    with ProgressBar() as bar, searched_host(on, names or (), python=remote_python, here=here) as host:
        try:
            result = found(
                names,
                minutes=minutes,
                cost=parsing.job_field(cost, calls),
                gain=parsing.job_field(gain, calls),
                split=split,
                estimates=estimates,
                sizes=parsing.sizes(size),
                proposals=parsing.numbers(proposals),
                scores=parsing.shares(score),
                runtimes=parsing.words(runtime) or (ALL,),
                precisions=parsing.words(precision) or (ALL,),
                images=images,
                store=store,
                plan=make_plan(1, patience=None if patience is None else parse_duration(patience)),
                host=host,
                on_progress=bar,
                on_row=lambda row: bar.finished(row, with_runtime=True),
                notify=note,
                batch=batch,
                threads=threads,
                **fields,
            )
        except KeyboardInterrupt:
            note("Interrupted: every finished row is stored. Run the same command to continue.")
            raise typer.Exit(130) from None
    _finish(result, report, json, store)


def _finish(result: "SearchResult", report: Path | None, json: bool, store: str) -> None:
    """Prints the frontier and what was not measured, writes the page, and prints the next command."""
    from paretodet.report.searched import endings, search_json, search_table, summary

    if json:
        print_json(search_json(result))
    else:
        show(summary(result))
        if result.members:
            show("")
            show(search_table(result))
        note_all(endings(result))
    if not result.members:
        raise typer.Exit(1)
    if report:
        from paretodet.report.search_page import write_search_page

        note(f"The page is {write_search_page(result, report)}.")
    if not all(result.measured[index] for index in result.undecided):
        note("Run the same command to go on: the rows are in the store.")
    rows = [each.row for each in result.configurations if each.row]
    note_question(rows, store, estimates=bool(result.estimated.any()))
