"""All kinds of places, by the beginning of what `--on` names."""

from pathlib import Path

from paretodet.errors import InputError
from paretodet.places.android import PREFIX as ADB
from paretodet.places.android import AndroidPlace
from paretodet.places.place import Fleet, RemotePlace
from paretodet.places.ray import PREFIX as RAY
from paretodet.places.ray import fleet_of
from paretodet.places.ssh import PREFIX as SSH
from paretodet.places.ssh import SshPlace


def place_of(text: str, *, python: str | None = None, benchmark: Path | None = None) -> RemotePlace | Fleet:
    """The place, or the fleet, that `--on` names. Raises InputError with the forms that there are for any other text.

    `python` belongs to `ssh:`, `benchmark` to `adb:`.
    """
    if text.startswith(SSH) and benchmark is None:
        return SshPlace(text.removeprefix(SSH), *filter(None, [python]))
    if text.startswith(ADB) and python is None:
        return AndroidPlace(text.removeprefix(ADB), benchmark)
    if text.startswith(RAY) and python is None and benchmark is None:
        return fleet_of(text.removeprefix(RAY))
    if text.startswith((SSH, ADB, RAY)):
        raise InputError("--remote-python belongs to ssh:HOST, --benchmark-binary to adb:", "option-conflict")
    forms = "ssh:HOST, ssh:USER@HOST, adb:SERIAL or ray:ADDRESS"
    raise InputError(f"--on: {text!r} names no place; write {forms}", "option-value")
