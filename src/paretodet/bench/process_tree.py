"""Ends whatever a worker has started: its children, their children, and processes that have left their parents.

A worker calls `become_root` before any code of a candidate runs: it becomes the leader of its own session and, on
Linux, the parent of every descendant whose own parent has ended. The worker's parent has a `ProcessTree` and ends it.
"""

import ctypes
import multiprocessing
import os
import secrets
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import cache

import psutil

from paretodet.bench.cpu_usage import PROC

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
MARK = "PARETODET_BENCH"  # an environment variable of every process of a bench
ROUNDS, PAUSE = 50, 0.01  # attempts to kill, and s between two of them


def become_root() -> None:
    """Makes this process, a worker, the root of a process tree."""
    with suppress(OSError, AttributeError):  # it is a session leader already; Windows has no sessions
        os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def end_descendants() -> None:
    """Ends every descendant of this process."""
    _kill(lambda: _descendants(psutil.Process()))


def mark() -> dict[str, str]:
    """The environment variables of every process that this one starts for a bench."""
    return {MARK: _token(os.getpid())}


class ProcessTree:
    """A worker and its descendants, as the worker's parent sees them."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._members = list(_processes([pid]))  # the worker first; psutil detects when its number is used again

    def update(self) -> None:
        """Remembers the current descendants; after the worker has ended they can no longer be listed."""
        remaining = list(self._members)
        while remaining:
            below = _descendants(remaining.pop(0))
            self._members += [process for process in below if process not in self._members]
            remaining = [process for process in remaining if process not in below]

    def end(self) -> None:
        """Kills the worker and all its descendants."""
        _kill(self._all)

    def _all(self) -> set[psutil.Process]:
        self.update()
        return {*self._members, *self._session(), *_strays()}

    def _session(self) -> Iterator[psutil.Process]:
        """The processes of the worker's session; none if another process has got the worker's number."""
        if psutil.pid_exists(self._pid) and not (self._members and self._members[0].is_running()):
            return
        yield from _processes(pid for pid in psutil.pids() if _session_of(pid) == self._pid)


def _strays() -> Iterator[psutil.Process]:
    """Processes with this process's mark that are not its descendants, or became so when their parents ended."""
    active = {child.pid for child in multiprocessing.active_children()}
    below = {p.pid for p in _descendants(psutil.Process()) if not _is_adopted(p, active)} | {os.getpid()}
    yield from _processes(pid for pid in psutil.pids() if pid not in below and _is_marked(pid))


def _is_adopted(process: psutil.Process, active: Collection[int | None]) -> bool:
    """Whether it is a child that this process did not start: it has another session and is not an active child."""
    try:
        is_child = process.ppid() == os.getpid()
    except psutil.Error:
        return False
    return is_child and process.pid not in active and _session_of(process.pid) not in (None, _session_of(os.getpid()))


def _kill(members: Callable[[], Iterable[psutil.Process]]) -> None:
    """Kills until no member is left. A process that cannot be killed, such as one waiting for a driver, remains."""
    for _ in range(ROUNDS):
        living = [process for process in members() if _is_living(process)]
        if not living:
            return
        for process in living:
            with suppress(psutil.Error):
                process.kill()
        time.sleep(PAUSE)


def _is_living(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def _processes(pids: Iterable[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        with suppress(psutil.Error):
            yield psutil.Process(pid)


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (OSError, AttributeError):
        return None


def _is_marked(pid: int) -> bool:
    try:
        return f"{MARK}={_token(os.getpid())}".encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # another user's process, or it has ended
        return False


@cache
def _token(pid: int) -> str:
    """A token of this process only: a forked process has another number, and so another token."""
    return f"{pid}-{secrets.token_hex(8)}"
