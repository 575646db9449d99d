"""Real-time priority for one burst: other work waits while a candidate is timed, where the system allows it.

Linux lets root, and whoever has the right to, run threads before all ordinary ones. On a machine that others use, this
keeps their work off the cores during a burst. A program started under `nice` never asks for it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

THREADS = Path("/proc/self/task")
ORDINARY = getattr(os, "SCHED_OTHER", None)


def allowed() -> bool:
    """Whether this process may raise its threads: tried on the calling thread and undone."""
    if ORDINARY is None or os.nice(0) > 0 or not THREADS.exists():
        return False
    try:
        _set(0, raised=True)
        _set(0, raised=False)
    except OSError:
        return False
    return True


@contextmanager
def raised(wanted: bool) -> Iterator[bool]:
    """Every thread of this process runs at real-time priority inside, and at its ordinary one after it.

    Yields whether it does. Threads that are started inside inherit it.
    """
    granted = wanted and allowed()
    if granted:
        _all(raised=True)
    try:
        yield granted
    finally:
        if granted:
            _all(raised=False)


def _all(*, raised: bool) -> None:
    for thread in THREADS.iterdir():
        with suppress(ProcessLookupError):  # it has ended
            _set(int(thread.name), raised=raised)


def _set(thread: int, *, raised: bool) -> None:
    policy, priority = (os.SCHED_RR, 1) if raised else (os.SCHED_OTHER, 0)
    os.sched_setscheduler(thread, policy, os.sched_param(priority))
