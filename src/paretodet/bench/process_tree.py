"""Whatever a worker has started ends with it: children, theirs, and those that cut the tie to their parent.

A worker calls `found` before it runs any code of a candidate: it becomes the head of its own session, and on Linux the
parent of every descendant whose own parent has ended. Its parent holds a `ProcessTree` and ends it.
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

from paretodet.bench.signals import PROC

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
MARK = "PARETODET_BENCH"  # a variable that every process of a bench carries
ROUNDS, PAUSE = 50, 0.01  # s between two looks whether all have ended


def found() -> None:
    """Makes this process, a worker, the head of a family."""
    with suppress(OSError, AttributeError):  # it is one already; Windows has none
        os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def clear() -> None:
    """Ends every descendant of this process."""
    _end(lambda: _descendants(psutil.Process()))


def mark() -> dict[str, str]:
    """The environment of every process that this one starts for a bench."""
    return {MARK: _token(os.getpid())}


class ProcessTree:
    """A worker by its number, as its parent sees it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known = list(_processes([pid]))  # the worker first; who uses a number again is another one to psutil

    def look(self) -> None:
        """Remembers who belongs to it now: once the worker has ended nobody can tell."""
        waiting = list(self._known)
        while waiting:
            below = _descendants(waiting.pop(0))
            self._known += [process for process in below if process not in self._known]
            waiting = [process for process in waiting if process not in below]

    def end(self) -> None:
        """Kills the worker and everything that came of it."""
        _end(self._members)

    def _members(self) -> set[psutil.Process]:
        self.look()
        return {*self._known, *self._session(), *_strays()}

    def _session(self) -> Iterator[psutil.Process]:
        """Those who never left the worker's session, unless another process has the worker's number by now."""
        if psutil.pid_exists(self._pid) and not (self._known and self._known[0].is_running()):
            return
        yield from _processes(pid for pid in psutil.pids() if _session_of(pid) == self._pid)


def _strays() -> Iterator[psutil.Process]:
    """Those who carry this process's mark and are not below it, or came to be when their own parents had ended."""
    active = {each.pid for each in multiprocessing.active_children()}
    below = {each.pid for each in _descendants(psutil.Process()) if not _came(each, active)} | {os.getpid()}
    yield from _processes(pid for pid in psutil.pids() if pid not in below and _is_marked(pid))


def _came(process: psutil.Process, active: Collection[int | None]) -> bool:
    """Whether it is a child that this process did not start: of another session, and unknown here."""
    try:
        own = process.ppid() == os.getpid()
    except psutil.Error:
        return False
    return own and process.pid not in active and _session_of(process.pid) not in (None, _session_of(os.getpid()))


def _end(members: Callable[[], Iterable[psutil.Process]]) -> None:
    """Kills until nobody is left. Who cannot be ended, such as one that waits for a driver, is left behind."""
    for _ in range(ROUNDS):
        living = [each for each in members() if _lives(each)]
        if not living:
            return
        for each in living:
            with suppress(psutil.Error):
                each.kill()
        time.sleep(PAUSE)


def _lives(process: psutil.Process) -> bool:
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
    except OSError:  # another user's, or ended
        return False


@cache
def _token(pid: int) -> str:
    """Of this process alone: one that it forks has another number, and so another."""
    return f"{pid}-{secrets.token_hex(8)}"
