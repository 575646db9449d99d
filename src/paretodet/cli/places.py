"""`--on`: measures on another machine, or on those of a cluster."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from paretodet.cli.output import flag, note
from paretodet.cli.progress import ProgressBar
from paretodet.errors import InputError

if TYPE_CHECKING:
    from paretodet.bench.job import Plan
    from paretodet.places.place import Fleet, RemotePlace
    from paretodet.records.measurement import Measurement
    from paretodet.sweep.searching import Host

OF_FILES = ("weights", "calibration", "labels", "layout")  # fields


def place_named(on: str | None, *, python: str | None, benchmark: Path | None) -> "RemotePlace | Fleet | None":
    """The place or fleet of `--on`; None for this machine. Raises InputError."""
    if on is None:
        if python or benchmark:
            raise InputError("--remote-python and --benchmark-binary: need --on", "option-conflict")
        return None
    from paretodet.places.table import place_of

    return place_of(on, python=python, benchmark=benchmark)


def measured_there(
    place: "RemotePlace | Fleet",
    names: Sequence[str],
    options: Mapping[str, Any],
    *,
    here: Mapping[str, Any],
    plan_of: Callable[[int], "Plan"],
    store: str,
) -> "list[Measurement]":
    """The rows of these names with the options of `measuring.expand`, with a progress bar, without the calibration's.

    `here` are the values of options that only this machine can honor, and `plan_of` makes the plan for a number of
    candidates. Exits with status 130 if it is interrupted. Raises InputError.
    """
    from paretodet.places.fleet import measure_elsewhere
    from paretodet.places.place import Request
    from paretodet.places.runner import CALIBRATION
    from paretodet.records.store import Store

    _check_options({**here, **{flag(field): options[field] for field in OF_FILES}})
    given = {key: value for key, value in options.items() if value is not None}
    request = Request(names=tuple(names), options=given, plan=plan_of(len(names)))
    rows = list["Measurement"]()
    note(f"Measuring on {place.name}.")
    with ProgressBar() as bar:
        try:
            for row in measure_elsewhere(place, request, store=Store(store, notify=note), on_progress=bar, notify=note):
                bar.finished(row, with_runtime=True)
                if row.name != CALIBRATION:
                    rows.append(row)
        except KeyboardInterrupt:
            note(f"Interrupted: {len(rows)} rows are stored. Run the same command to continue.")
            raise typer.Exit(130) from None
    return rows


@contextmanager
def searched_host(
    on: Sequence[str] | None, names: Sequence[str], *, python: str | None, here: Mapping[str, Any]
) -> "Iterator[Host | None]":
    """The machine that a search measures on, or the equal ones, while connected; None for this one.

    `here` are the values of options that only this machine can honor. Raises InputError.
    """
    if not on:
        place_named(None, python=python, benchmark=None)
        yield None
        return
    from paretodet.places.host import connected, search_place

    place = search_place(*on, python=python)
    _check_options(here)
    note(f"Searching on {place.name}.")
    with connected(place, names, notify=note) as host:
        yield host


def _check_options(values: Mapping[str, Any]) -> None:
    if given := [option for option, value in values.items() if value]:
        raise InputError(
            f"{given[0]}: names files on this machine, which --on does not send; it does send a bundle, which "
            "`paretodet export` makes",
            "option-conflict",
        )
