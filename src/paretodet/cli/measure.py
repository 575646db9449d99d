"""`paretodet measure`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from paretodet.cli import options
from paretodet.cli.candidate import Given, config, with_candidate_options
from paretodet.cli.frontier import note_settling, settling
from paretodet.cli.output import note, note_all, note_next, print_json, show
from paretodet.cli.progress import ProgressBar

if TYPE_CHECKING:
    from paretodet.bench.job import Job
    from paretodet.config import CandidateConfig

FIELDS = (
    "name", "height", "width", "proposals", "weights", "device", "runtime", "precision", "batch", "threads",
    "processes", "load", "latency_ms_p50", "latency_ms_p50_low", "latency_ms_p50_high", "latency_ms_p90",
    "latency_ms_p95", "latency_ms_p99", "within_pct", "prepare_ms", "total_ms", "stages_ms", "memory_load_mib",
    "memory_infer_mib", "memory_device_mib", "load_ms", "first_ms", "samples", "resolution_pct", "validity",
    "artefact", "machine", "ap", "ap50", "ap_split", "ap_measured", "published_ap", "published_ap50", "published_split",
)  # fmt: skip


@with_candidate_options
def measure(
    given: Given,
    names: options.Names = None,
    all_: options.All = False,
    size: options.Size = None,
    proposals: options.Proposals = None,
    score: options.Scores = None,
    batch: options.Batch = 1,
    threads: options.Threads = None,
    images: options.Images = None,
    labels: options.Labels = None,
    data_split: options.DataSplit = None,
    processes: options.Processes = None,
    until: options.Until = None,
    columns: options.Columns = None,
    until_answer: options.UntilAnswer = None,
    patience: options.Patience = None,
    store: options.Store = options.DEFAULT_STORE,
    report: options.Report = None,
    json: options.Json = False,
) -> None:
    """Measure detectors on this machine; a run that was interrupted goes on where it stopped.

    Exit status: 0 with a row that has a time; 1 where every candidate failed; 2 for bad input; 130 interrupted.
    """
    from paretodet.bench.synthetic_images import DRAWN
    from paretodet.data.ground_truth import pictured
    from paretodet.data.images import photographs
    from paretodet.open import job
    from paretodet.records.store import Store
    from paretodet.report.tables import COLUMNS
    from paretodet.sources.table import published_accuracy
    from paretodet.sweep.grid import DEFAULT, everything
    from paretodet.sweep.plans import planned, seconds
    from paretodet.sweep.scored import scored, to_score
    from paretodet.sweep.stored import measure_into

    _check(labels, data_split, report, store)
    more = options.columns(columns, COLUMNS)
    wanted = tuple(names or (everything() if all_ else DEFAULT))
    lists = {"proposals": options.numbers(proposals), "sizes": options.sizes(size), "scores": options.shares(score)}
    configs = _configs(wanted, lists, given, {"batch": batch, "threads": threads})
    truth = pictured(labels, split=data_split, images=images) if labels else None
    pictures = photographs(truth.files if truth else images, limit=DRAWN * batch)
    note(f"{len(configs)} candidates on {len(pictures.images) or 'drawn'} pictures ({pictures.source}).")
    note_all(f"Skipped: {reason}" for reason in (*(truth.skipped if truth else ()), *pictures.skipped))
    jobs = [job(each, images=pictures.paths) for each in configs]
    jobs = [to_score(each, truth) for each in jobs] if truth else jobs
    plan = planned(
        len(jobs),
        processes=processes,
        until_pct=until,
        until_answer=until_answer,
        patience=None if patience is None else seconds(patience),
        default_set=wanted == DEFAULT,
    )
    kept_in, rows = Store(store, tell=note), []
    with ProgressBar() as bar:

        def first(each: "Job") -> "Job":
            if truth is None:
                return each
            return scored(each, truth, published=published_accuracy(each.name), on_progress=bar, tell=note)

        try:
            for row in measure_into(kept_in, jobs, plan=plan, first=first, on_progress=bar):
                rows.append(row)
                bar.finished(row)
        except KeyboardInterrupt:
            raise _interrupted(len(rows), len(jobs)) from None
    _tell(rows, report, json, store, more)


def _configs(
    wanted: tuple[str, ...], lists: dict[str, Any], given: Given, conditions: dict[str, Any]
) -> "tuple[CandidateConfig, ...]":
    from paretodet.sources.table import check, resolved
    from paretodet.sweep.grid import grid

    return grid([resolved(config(check(name), given, **conditions)) for name in wanted], **lists)


def _interrupted(rows: int, jobs: int) -> typer.Exit:
    then = "the same command goes on from here" if rows else "the same command begins anew"
    note(f"Interrupted: {rows} of {jobs} rows are kept; {then}.")
    return typer.Exit(130)


def _next(rows: list[Any], store: str) -> None:
    from paretodet.frontier.questions import first_question

    if asked := first_question(rows):
        note_next("recommend", **asked, store=None if store == options.DEFAULT_STORE else store)


def _check(labels: Path | None, data_split: str | None, report: Path | None, store: str) -> None:
    from paretodet.writing import check_target

    if data_split and not labels:
        raise ValueError("data-split: means nothing without --labels")
    if store.endswith(".jsonl"):
        raise ValueError(f"store: {store} would only be read; give a .db file or a URL, and export rows from it")
    if report:
        check_target(report, "report", read=[Path(store)])
        from paretodet.report import charts  # noqa: F401  # what it needs is missed before anything is measured


def _tell(rows: list[Any], report: Path | None, json: bool, store: str, more: Sequence[str]) -> None:
    from paretodet.report.ending import failures

    failed = failures(rows)
    if json:
        print_json([{field: getattr(row, field) for field in FIELDS} for row in rows])
    elif not failed:
        _show(rows, store, more)
    if failed:
        note_all(failed)
        raise typer.Exit(1)
    if report:
        from paretodet.report.page import write_page

        note(f"The page: {write_page(rows, report, split=options.SPLIT)}")
    _next(rows, store)


def _show(rows: list[Any], store: str, more: Sequence[str]) -> None:
    """Rows, their frontier, the choice for three budgets, and what would change it."""
    from paretodet.frontier.pareto import pareto_frontier
    from paretodet.report.ending import changes, choices
    from paretodet.report.tables import footnote, frontier_table, rows_table

    show(rows_table(rows, more=more))
    found = pareto_frontier(rows, split=options.SPLIT)
    show("")
    show(frontier_table(found))
    show("")
    for line in choices(rows, found):
        show(line)
    note_all(filter(None, (footnote(rows), *found.notes, *changes(found))))
    note_settling(settling(found.again, store))
