"""The machines that rows were measured on: what they are called, and the choice of one."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from paretodet.errors import InputError
from paretodet.records.columns import finite_number

UNNAMED = "an unnamed machine"


class Machine(NamedTuple):
    """A machine by the fingerprint of its hardware, what it is, and how many rows it has."""

    fingerprint: str
    name: str
    rows: int

    @property
    def text(self) -> str:
        """`f6c8c4a4f801 (AMD EPYC, 2 cores, 23.5 GiB, Linux 6.18), 60 rows`."""
        return f"{self.fingerprint or 'no fingerprint'} ({self.name}), {self.rows} row{'s' * (self.rows != 1)}"


def describe(facts: Mapping[str, object]) -> str:
    """`board-1, Example CPU, 2 of 8 cores, CPU quota 1.5 cores, 7.7 GiB, Linux 6.1`; unknown parts are left out."""
    gpus, cores, allowed = facts.get("gpus") or (), facts.get("cores_logical"), facts.get("cores_allowed")
    some, quota = f"{allowed} of " if allowed not in (None, cores) else "", finite_number(facts.get("cpu_quota"))
    parts = (
        facts.get("label"),
        *(str(gpu) for gpu in (gpus if isinstance(gpus, list | tuple) else ())),
        facts.get("cpu"),
        f"{some}{cores} cores" if cores else None,
        f"CPU quota {quota:g} cores" if quota else None,
        f"{facts['memory_gib']} GiB" if facts.get("memory_gib") else None,
        " ".join(str(facts[key]) for key in ("system", "release") if facts.get(key)),
    )
    return ", ".join(str(part) for part in parts if part) or UNNAMED


def short_names(machines: Sequence[Machine]) -> dict[str, str]:
    """Fingerprint -> its label, GPU or CPU; with the start of the fingerprint if several have it: `AMD EPYC f6c8`."""
    first = {each.fingerprint: each.name.split(", ")[0] for each in machines}
    names = list(first.values())
    return {key: name if names.count(name) == 1 else f"{name} {key[:4]}" for key, name in first.items()}


def choose(machines: Sequence[Machine], wanted: str) -> Machine:
    """The machine whose fingerprint begins with `wanted`, or whose name contains it, or begins with it as its label.

    Raises InputError with the machines that there are if it is not exactly one.
    """
    called = [each for each in machines if each.name.lower().startswith(f"{wanted.strip().lower()}, ")]
    if len(called) == 1:
        return called[0]
    matching = [each for each in machines if _matches(each, wanted.strip().lower())]
    if len(matching) == 1:
        return matching[0]
    listed = "; ".join(each.text for each in matching or machines)
    if matching:
        raise InputError(f"machine: {wanted!r} matches {len(matching)} machines: {listed}", "machine-unknown")
    raise InputError(f"machine: no machine matches {wanted!r}; there are rows of: {listed}", "machine-unknown")


def _matches(machine: Machine, wanted: str) -> bool:
    return bool(wanted) and (machine.fingerprint.startswith(wanted) or wanted in machine.name.lower())
