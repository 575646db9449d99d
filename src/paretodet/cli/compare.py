"""`paretodet reproduce` and `paretodet diff`."""

from dataclasses import asdict, replace

import typer

from paretodet.cli import candidate_options, options
from paretodet.cli.output import note, print_json, show
from paretodet.cli.progress import ProgressBar
from paretodet.errors import InputError


def reproduce(
    row: options.Row,
    weights: candidate_options.RowWeights = None,
    calibration: candidate_options.RowCalibration = None,
    images: options.Images = None,
    trust: candidate_options.Trust = None,
    store: options.Store = options.DEFAULT_STORE,
    json: options.Json = False,
) -> None:
    """Measure a row again and say whether the two latencies agree.

    Exit status: 0 if they differ by no more than their intervals and the resolution of both runs allow; 1 if they
    differ by more; 2 for bad input.
    """
    from paretodet.bench.job import Plan
    from paretodet.bench.synthetic_images import IMAGE_COUNT
    from paretodet.media.photographs import photographs
    from paretodet.opening import config_of_row, job
    from paretodet.records.compare import check_interval, reproduced
    from paretodet.records.measurement import accuracy_of
    from paretodet.sweep.measuring import goes_to, measure_once
    from paretodet.sweep.read import find_row

    old = find_row(store, row)
    check_interval(old)
    config = config_of_row(old.job, weights=weights, calibration=calibration, trust=trust)
    again = job(config, images=photographs(images, limit=IMAGE_COUNT * config.batch).paths)
    again = replace(again, about=accuracy_of(old))  # the accuracy is of the same files: their hashes are compared
    with ProgressBar() as bar:
        new = measure_once(store, again, plan=Plan(), on_progress=bar)
    note(f"The new row is {new.id}, in {goes_to(store)}.")
    verdict = reproduced(old, new)
    if json:
        print_json({"row": old.id, "again": new.id, **asdict(verdict)})
    else:
        show(verdict.sentence)
    if not verdict.inside:
        raise typer.Exit(1)


def diff(
    row: options.Row,
    other: options.OtherRow = None,
    machine: options.Machine = None,
    store: options.Store = options.DEFAULT_STORE,
    json: options.Json = False,
) -> None:
    """Show the conditions that differ between two rows, and the ratio of their latencies.

    With --machine, the other row is the newest one of the same artifact on that machine.
    """
    from paretodet.records.compare import diff as difference
    from paretodet.report.console import changes_table
    from paretodet.sweep.machines import same_artifact
    from paretodet.sweep.read import find_row

    if (other is None) == (machine is None):
        raise InputError("diff: give the id of another row, or --machine", "option-conflict")
    first = find_row(store, row)
    second = find_row(store, other) if other else same_artifact(store, first, machine or "")
    result = difference(first, second)
    if json:
        print_json(asdict(result))
    else:
        show(changes_table(result))
        show(result.sentence)
