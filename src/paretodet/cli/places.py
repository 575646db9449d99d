"""`--on`: measures on another machine."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from paretodet.cli.output import note
from paretodet.cli.progress import ProgressBar
from paretodet.errors import InputError

if TYPE_CHECKING:
    from paretodet.bench.job import Plan
    from paretodet.records.measurement import Measurement

OF_FILES = {"weights": "--weights", "calibration": "--calibrate", "labels": "--classes", "layout": "--layout"}


def measured_there(
    on: str | None,
    python: str | None,
    names: Sequence[str],
    options: Mapping[str, Any],
    *,
    here: Mapping[str, Any],
    plan_of: Callable[[int], "Plan"],
    store: str,
) -> "list[Measurement]":
    """The rows of these names with the options of `measuring.expand`, with a progress bar.

    `here` are the values of options that only this machine can honor, and `plan_of` makes the plan for a number of
    candidates. Exits with status 130 if it is interrupted. Raises InputError.
    """
    from paretodet.places.collect import measure_at
    from paretodet.places.place import Request
    from paretodet.places.table import place_of
    from paretodet.records.store import Store

    if on is None:
        raise InputError("--remote-python: needs --on ssh:HOST beside it", "option-conflict")
    _check_options({**here, **{option: options[field] for field, option in OF_FILES.items()}})
    given = {key: value for key, value in options.items() if value is not None}
    request = Request(names=tuple(names), options=given, plan=plan_of(len(names)))
    place, rows = place_of(on, python=python), list["Measurement"]()
    note(f"Measuring on {place.name}.")
    with ProgressBar() as bar:
        try:
            for row in measure_at(place, request, store=Store(store, notify=note), on_progress=bar, notify=note):
                bar.finished(row, with_runtime=True)
                rows.append(row)
        except KeyboardInterrupt:
            note(f"Interrupted: {len(rows)} rows are stored. Run the same command to continue.")
            raise typer.Exit(130) from None
    return rows


def _check_options(values: Mapping[str, Any]) -> None:
    if given := [option for option, value in values.items() if value]:
        raise InputError(
            f"{given[0]}: names files of this machine, which --on does not send; `paretodet export` makes a bundle, "
            "which it does",
            "option-conflict",
        )
