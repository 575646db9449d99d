"""Real-time priority for one burst, if the system allows it: other processes then wait while a candidate is timed.

On Linux, root and processes with the right to do so can run threads before all ordinary ones. This keeps other
processes off the cores during a burst. A program that was started under `nice` does not use it.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

THREADS = Path("/proc/self/task")
CALLING_THREAD = 0
IS_SUPPORTED = hasattr(os, "sched_setscheduler")


class Policy(NamedTuple):
    """A thread's scheduling policy (SCHED_OTHER, SCHED_BATCH, ...) and its static priority."""

    policy: int
    priority: int


def allowed() -> bool:
    """Whether this process may raise its threads: it is tried on the calling thread and undone."""
    if not IS_SUPPORTED or os.nice(0) > 0 or not THREADS.exists():
        return False
    try:
        before = _policy(CALLING_THREAD)
        _set_policy(CALLING_THREAD, _real_time())
        _set_policy(CALLING_THREAD, before)
    except OSError:
        return False
    return True


@contextmanager
def raised(wanted: bool) -> Iterator[bool]:
    """All threads of this process run at real-time priority inside; afterwards each has its former policy.

    Yields whether the threads were raised. Threads that start inside inherit the priority; afterwards they have the
    former policy of the calling thread.
    """
    granted = wanted and allowed()
    before = _policies() if granted else {}
    if granted:
        _set_all(dict.fromkeys(before, _real_time()))
    try:
        yield granted
    finally:
        if granted:
            _restore(before)


def _restore(before: dict[int, Policy]) -> None:
    inherited = before[threading.get_native_id()]
    _set_all({thread: before.get(thread, inherited) for thread in _policies()})


def _policies() -> dict[int, Policy]:
    """By thread number, of every living thread of this process."""
    policies = {}
    for folder in THREADS.iterdir():
        with suppress(ProcessLookupError):  # the thread has ended
            policies[int(folder.name)] = _policy(int(folder.name))
    return policies


def _set_all(policies: Mapping[int, Policy]) -> None:
    for thread, policy in policies.items():
        with suppress(ProcessLookupError):  # the thread has ended
            _set_policy(thread, policy)


def _real_time() -> Policy:
    return Policy(os.SCHED_RR, 1)


def _policy(thread: int) -> Policy:
    return Policy(os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority)


def _set_policy(thread: int, policy: Policy) -> None:
    os.sched_setscheduler(thread, policy.policy, os.sched_param(policy.priority))
