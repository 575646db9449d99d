"""How the system runs a candidate's process: on which cores and with which priority. The candidate has to leave it so.

The bench's own thread, which calls the candidate, keeps its cores and its priority. Other threads, a runtime's, may
bind themselves to some of the cores and step back, but not go beyond what the process was given: there nobody watches.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import psutil

from paretodet.bench.contract import ContractError
from paretodet.bench.signals import plain_name, threads

URGENT = tuple(getattr(os, name) for name in ("SCHED_FIFO", "SCHED_RR") if hasattr(os, name))


class ThreadSettings(NamedTuple):
    """How a thread is run. Where the system does not tell, there are no cores and the numbers are 0."""

    cores: frozenset[int]
    nice: int
    urgent: int  # the policy that runs it before all other work; 0 for any ordinary one


class Conduct:
    """Make one in the process before the candidate, then `check` whenever the candidate has returned."""

    def __init__(self) -> None:
        self._given = _standing(0)

    def check(self) -> None:
        """Raises GuestError with the first thing that has changed."""
        self._check_own(_standing(0))
        for who, now in (*_other_threads(), *_children(self._given)):
            if beyond := now.cores - self._given.cores:
                own = _listed(self._given.cores)
                raise ContractError(f"affinity: {who} may run on {_listed(beyond)}; the process was given {own}")
            if now.nice < self._given.nice or now.urgent not in (0, self._given.urgent):
                raise ContractError(
                    f"priority: {who} runs before other work; start paretodet with the priority it needs"
                )

    def _check_own(self, now: ThreadSettings) -> None:
        if now.cores != self._given.cores:
            raise ContractError(
                f"affinity: the candidate bound its process to {_listed(now.cores)}, which was given "
                f"{_listed(self._given.cores)}; start paretodet under `taskset` to measure on other cores"
            )
        if now[1:] != self._given[1:]:
            raise ContractError(
                "priority: the candidate changed that of its process; start paretodet with the priority it needs"
            )


def _standing(task: int) -> ThreadSettings:
    """Of a thread by its number, 0 the calling one. Raises OSError where it has ended."""
    nice = os.getpriority(os.PRIO_PROCESS, task) if hasattr(os, "getpriority") else 0
    if not hasattr(os, "sched_getaffinity"):
        return ThreadSettings(frozenset(), nice, 0)
    policy = os.sched_getscheduler(task)
    return ThreadSettings(frozenset(os.sched_getaffinity(task)), nice, policy if policy in URGENT else 0)


def _other_threads() -> Iterator[tuple[str, ThreadSettings]]:
    own = threading.get_native_id()
    for task in threads():
        if task != own:
            with suppress(OSError):  # it has ended
                yield "one of its threads", _standing(task)


def _children(given: ThreadSettings) -> Iterator[tuple[str, ThreadSettings]]:
    """Child processes, for their cores alone: they inherit a burst's own priority and may keep it."""
    if given.cores:
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                yield (
                    f"its child process {plain_name(child.name())}",
                    given._replace(cores=frozenset(child.cpu_affinity())),
                )


def _listed(cores: frozenset[int]) -> str:
    return f"core{'s' * (len(cores) > 1)} {', '.join(map(str, sorted(cores)))}"
