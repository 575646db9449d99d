"""`paretodet reproduce` and `paretodet diff`."""

from dataclasses import asdict, replace

import typer

from paretodet.cli import options
from paretodet.cli.output import note, print_json, show
from paretodet.cli.progress import ProgressBar


def reproduce(
    row: options.Row,
    weights: options.Weights = None,
    images: options.Images = None,
    store: options.Store = options.DEFAULT_STORE,
    json: options.Json = False,
) -> None:
    """Measure a row again: does it fall in its interval? Exit status 1 where it does not."""
    from paretodet.bench.job import Plan
    from paretodet.bench.synthetic_images import DRAWN
    from paretodet.config import CandidateConfig
    from paretodet.data.images import photographs
    from paretodet.open import job
    from paretodet.records.compare import reproduced
    from paretodet.records.measurement import accuracy_of
    from paretodet.sweep.read import row_of
    from paretodet.sweep.stored import measure_once

    old = row_of(store, row)
    config = CandidateConfig.from_json(old.job, weights=weights)
    again = job(config, images=photographs(images, limit=DRAWN * config.batch).paths)
    again = replace(again, about=accuracy_of(old))  # of the same files: their hashes are compared
    with ProgressBar() as bar:
        new = measure_once(store, again, plan=Plan(), on_progress=bar)
    verdict = reproduced(old, new)
    note(f"Measured again as {new.id}.")
    if json:
        print_json({"row": old.id, "again": new.id, **asdict(verdict)})
    else:
        show(verdict.sentence)
    if not verdict.inside:
        raise typer.Exit(1)


def diff(
    row: options.Row,
    other: options.Other,
    store: options.Store = options.DEFAULT_STORE,
    json: options.Json = False,
) -> None:
    """What differs between two rows, and the ratio of their latencies."""
    from paretodet.records.compare import diff as difference
    from paretodet.report.console import changes_table
    from paretodet.sweep.read import row_of

    found = difference(row_of(store, row), row_of(store, other))
    if json:
        print_json(asdict(found))
    else:
        show(changes_table(found))
        show(found.sentence)
