"""Checks that a candidate does not change how the system schedules its process: its cores and its priority.

The bench's thread, which calls the candidate, keeps its cores and its priority. Other threads, such as those of a
runtime, may bind themselves to some of the cores and lower their priority, but must not use other cores or a higher
priority, because these are not monitored.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import psutil

from paretodet.bench.contract import ContractError
from paretodet.bench.cpu_usage import plain_name, thread_times

REAL_TIME = tuple(getattr(os, name) for name in ("SCHED_FIFO", "SCHED_RR") if hasattr(os, name))


class ThreadSettings(NamedTuple):
    """How a thread is scheduled. If the system does not report it, there are no cores and the numbers are 0."""

    cores: frozenset[int]
    nice: int
    real_time: int  # the policy if it is a real-time policy, otherwise 0


class SchedulingCheck:
    """Create it in the process before the candidate, and call `check` after each call of the candidate."""

    def __init__(self) -> None:
        self._initial = _settings(0)

    def check(self) -> None:
        """Raises ContractError with the first setting that has changed."""
        self._check_calling_thread(_settings(0))
        for name, now in (*_other_threads(), *_children(self._initial)):
            if extra := now.cores - self._initial.cores:
                allowed = _listed(self._initial.cores)
                raise ContractError(f"affinity: {name} may run on {_listed(extra)}; the process was given {allowed}")
            if now.nice < self._initial.nice or now.real_time not in (0, self._initial.real_time):
                raise ContractError(
                    f"priority: {name} has a higher priority than the process was given; start paretodet with the "
                    "priority it needs"
                )

    def _check_calling_thread(self, now: ThreadSettings) -> None:
        if now.cores != self._initial.cores:
            raise ContractError(
                f"affinity: the candidate bound its process to {_listed(now.cores)}; it was given "
                f"{_listed(self._initial.cores)}. To measure on other cores, start paretodet under `taskset`"
            )
        if now[1:] != self._initial[1:]:
            raise ContractError(
                "priority: the candidate changed the priority of its process; start paretodet with the priority it "
                "needs"
            )


def _settings(thread: int) -> ThreadSettings:
    """The settings of a thread by number, 0 for the calling one. Raises OSError if it has ended."""
    nice = os.getpriority(os.PRIO_PROCESS, thread) if hasattr(os, "getpriority") else 0
    if not hasattr(os, "sched_getaffinity"):
        return ThreadSettings(frozenset(), nice, 0)
    policy = os.sched_getscheduler(thread)
    return ThreadSettings(frozenset(os.sched_getaffinity(thread)), nice, policy if policy in REAL_TIME else 0)


def _other_threads() -> Iterator[tuple[str, ThreadSettings]]:
    calling = threading.get_native_id()
    for thread in thread_times():
        if thread != calling:
            with suppress(OSError):  # it has ended
                yield "one of its threads", _settings(thread)


def _children(initial: ThreadSettings) -> Iterator[tuple[str, ThreadSettings]]:
    """Child processes, for their cores only: they inherit the priority of a burst and may keep it."""
    if initial.cores:
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                yield (
                    f"its child process {plain_name(child.name())}",
                    initial._replace(cores=frozenset(child.cpu_affinity())),
                )


def _listed(cores: frozenset[int]) -> str:
    return f"core{'s' * (len(cores) > 1)} {', '.join(map(str, sorted(cores)))}"
