"""`paretodet measure`."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from paretodet.cli import candidate_options, measuring_options, options, parsing, place_options
from paretodet.cli.candidate import Given, config_fields, with_candidate_options
from paretodet.cli.frontier import note_question, note_remeasure, remeasure_command
from paretodet.cli.output import note, note_all, print_json, show
from paretodet.cli.places import measured_there, place_named
from paretodet.cli.progress import ProgressBar

if TYPE_CHECKING:
    from paretodet.bench.job import Plan
    from paretodet.measuring import Setup
    from paretodet.records.measurement import Measurement


@with_candidate_options()
def measure(
    given: Given,
    names: options.Names = None,
    all_: measuring_options.All = False,
    size: candidate_options.Sizes = None,
    proposals: candidate_options.Proposals = None,
    score: candidate_options.Scores = None,
    runtime: candidate_options.Runtime = None,
    precision: candidate_options.Precision = None,
    batch: candidate_options.Batch = 1,
    threads: candidate_options.Threads = None,
    images: options.Images = None,
    data: options.MeasureData = None,
    data_split: options.DataSplit = None,
    image_root: options.ImageRoot = None,
    processes: measuring_options.Processes = None,
    until: measuring_options.Until = None,
    columns: options.Columns = None,
    until_answer: measuring_options.UntilAnswer = None,
    patience: measuring_options.Patience = None,
    store: options.Store = options.DEFAULT_STORE,
    report: options.Report = None,
    estimates: options.Estimates = False,
    on: place_options.On = None,
    remote_python: place_options.RemotePython = None,
    benchmark_binary: place_options.BenchmarkBinary = None,
    json: options.Json = False,
) -> None:
    """Measure latency and memory of detectors on this machine or another one, and with --data their AP.

    After an interruption, run the same command to continue. Exit status: 0 with a row that has a latency; 1 if every
    detector failed; 2 for bad input; 130 if interrupted.
    """
    from paretodet.default_weights import default_weights
    from paretodet.measuring import expand, set_up
    from paretodet.report.tables import COLUMNS
    from paretodet.sweep.grid import DEFAULT, all_candidates
    from paretodet.sweep.plans import make_plan, parse_duration

    check_outputs(store, report)
    more = parsing.columns(columns, COLUMNS)
    wanted = tuple(names or (all_candidates() if all_ else DEFAULT))
    fields = config_fields(given)
    listed = {
        "proposals": parsing.numbers(proposals),
        "sizes": parsing.sizes(size),
        "scores": parsing.shares(score),
        "runtimes": parsing.words(runtime),
        "precisions": parsing.words(precision),
        "batch": batch,
        "threads": threads,
        **fields,
    }
    plan_of = partial(
        make_plan,
        processes=processes,
        until_pct=until,
        until_answer=until_answer,
        patience=None if patience is None else parse_duration(patience),
        default_set=wanted == DEFAULT,
    )
    here = {"--images": images, "--data": data, "--data-split": data_split, "--image-root": image_root}
    place = place_named(on, python=remote_python, benchmark=benchmark_binary)
    if place:
        rows = measured_there(place, wanted, listed, here=here, plan_of=plan_of, store=store)
    else:
        changed = [*here.values(), *fields.values()]
        trained = default_weights(note) if wanted == DEFAULT and all(each is None for each in changed) else None
        configs = expand((*wanted, *(map(str, trained.files) if trained else ())), notify=note, **listed)
        labels, only_trained = trained.labels if trained else data, trained is not None
        setup = set_up(
            configs, images=images, data=labels, split=data_split, image_root=image_root, only_trained=only_trained
        )
        rows = list(_measured(setup, plan_of(len(setup.measured)), store))
    _finish(_with_estimates(rows) if estimates else rows, report, json, store, more)


def check_outputs(store: str, report: Path | None) -> None:
    """Checks before a long run that rows and page can be written. Raises InputError."""
    from paretodet.records.location import check_database
    from paretodet.writing import check_target

    check_database(store)
    if report:
        check_target(report, "report", read=[Path(store)])
        from paretodet.report import charts  # noqa: F401  # fails here, before a long run, if a library is missing


def _measured(setup: "Setup", plan: "Plan", store: str) -> "Iterator[Measurement]":
    """The rows, with a progress bar. Exits with status 130 if it is interrupted."""
    from paretodet.measuring import run
    from paretodet.report.ending import proof_line, reading_line
    from paretodet.report.formats import plural

    refused = {job.refused for job in setup.jobs} - {None}
    runtimes = {(job.asked.get("runtime"), job.asked.get("precision")) for job in setup.jobs}
    jobs, photographs, done = len(setup.measured), setup.photographs, 0
    images = plural(len(photographs.images), "image") if photographs.images else "synthetic images"
    note(f"Measuring {plural(jobs, 'candidate')} on {images} ({photographs.source}).")
    note_all(f"Skipped: {reason}" for reason in setup.skipped)
    with ProgressBar() as bar:
        try:
            for row in run(setup, store=store, plan=plan, on_progress=bar, notify=note):
                if row.error not in refused:
                    bar.finished(row, with_runtime=len(runtimes) > 1)
                    note_all((*reading_line(row), *proof_line(row)))
                    done += 1
                yield row
        except KeyboardInterrupt:
            then = "continue" if done else "start again"
            note(f"Interrupted: {done} of {jobs} rows are stored. Run the same command to {then}.")
            raise typer.Exit(130) from None


def _with_estimates(rows: "list[Measurement]") -> "list[Measurement]":
    from paretodet.sweep.estimates import with_estimated_ap

    return list(with_estimated_ap(rows))


def _finish(rows: "list[Measurement]", report: Path | None, json: bool, store: str, more: Sequence[str]) -> None:
    """Prints the rows or the reasons why all failed, writes the page, and prints the next command."""
    from paretodet.records.columns import LONG_FIELDS
    from paretodet.records.row_id import TYPES
    from paretodet.report.ending import failures

    failed = failures(rows)
    if json:
        fields = [name for name in TYPES if name not in LONG_FIELDS]
        print_json([{name: getattr(row, name) for name in (*fields, "floor_pct")} for row in rows])
    elif not failed:
        _show(rows, store, more)
    if failed:
        note_all(failed)
        raise typer.Exit(1)
    if report:
        from paretodet.report.page import COSTS, write_page
        from paretodet.report.selection import for_page

        chosen = for_page(rows, COSTS, split=options.SPLIT)
        note(f"The page is {write_page(chosen, report, split=options.SPLIT, total=len(rows))}.")
    note_question(rows, store, estimates=any(row.ap_estimate for row in rows))


def _show(rows: "list[Measurement]", store: str, more: Sequence[str]) -> None:
    """The rows, their frontier, the choice for three budgets, and what would change it."""
    from paretodet.frontier.pareto import pareto_frontier
    from paretodet.report.ending import changes, choices
    from paretodet.report.frontier_wording import not_compared
    from paretodet.report.tables import footnote, frontier_table, rows_table

    show(rows_table(rows, more=more))
    frontier = pareto_frontier(rows, split=options.SPLIT)
    show("")
    if frontier.members:
        show(frontier_table(frontier))
        show("")
    for line in choices(rows, frontier):
        show(line)
    alone = not_compared(frontier) if frontier.members else ""  # else a note says that no row has an accuracy
    note_all(filter(None, (footnote(rows, more=more), *frontier.notes, alone, *changes(frontier))))
    note_remeasure(remeasure_command(frontier.remeasure, store))
