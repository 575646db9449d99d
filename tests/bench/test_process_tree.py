"""Processes that leave their parent are found and ended. Each one writes its number to a file."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from paretodet.bench import process_tree
from paretodet.bench.process_tree import ProcessTree, mark

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sessions and orphans as Linux has them")
DAEMON = """
import os, signal, sys, time
for way in sys.argv[2].split("+"):
    if way == "stubborn":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    if way == "session":
        os.setsid()
    if way == "fork" and os.fork():
        os._exit(0)
open(sys.argv[1] + ".tmp", "w").write(str(os.getpid()))
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
time.sleep(600)
"""
WORKER = """
import subprocess, sys, time
from paretodet.bench import process_tree
process_tree.become_root()
for place, way in zip(sys.argv[2::2], sys.argv[3::2]):
    subprocess.Popen([sys.executable, "-c", sys.argv[1], place, way])
sys.stdin.read()
"""


def worker(tmp_path: Path, *ways: str, then: str = "") -> tuple["subprocess.Popen[bytes]", list[int]]:
    """Starts a worker with one process per way and waits for all of them -> (the worker, their numbers)."""
    places = [tmp_path / way for way in ways]
    args = [argument for place in places for argument in (str(place), place.name)]
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER + then, DAEMON, *args], stdin=subprocess.PIPE, env={**os.environ, **mark()}
    )
    until(lambda: all(place.exists() for place in places))
    return process, [int(place.read_text()) for place in places]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert true()


def living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


WAYS = ("stubborn", "fork", "session", "session+fork+stubborn", "fork+session+fork")


def test_a_worker_and_all_that_it_started_end(tmp_path: Path) -> None:
    process, pids = worker(tmp_path, *WAYS)
    others = ProcessTree(process.pid)
    assert len(living(pids)) == len(WAYS)
    others.end()
    assert living([process.pid, *pids]) == []
    process.communicate()


def test_descendants_of_a_dead_worker_are_ended(tmp_path: Path) -> None:
    process, pids = worker(tmp_path, *WAYS)
    left = ProcessTree(process.pid)
    process.kill()
    process.communicate()
    assert len(living(pids)) == len(WAYS)
    left.end()
    assert living(pids) == []


def test_a_worker_ends_its_descendants(tmp_path: Path) -> None:
    process, pids = worker(tmp_path, *WAYS, then="process_tree.end_descendants()")
    process.communicate()
    assert process.returncode == 0 and living(pids) == []


def test_known_descendants_need_no_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process, pids = worker(tmp_path, "fork+session+fork")
    monkeypatch.setattr(process_tree, "_is_marked", lambda pid: False)
    left = ProcessTree(process.pid)
    left.update()
    process.kill()
    process.communicate()
    left.end()
    assert living(pids) == []


FIRST = """
import ctypes, os, subprocess, sys, time
from paretodet.bench import process_tree
ctypes.CDLL(None).prctl(process_tree.SUBREAPER, 1, 0, 0, 0)  # like the first process of a container
marked = {**os.environ, **process_tree.mark()}
process = subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.PIPE, env=marked)
while not os.path.exists(sys.argv[-2]):
    time.sleep(0.02)
left = process_tree.ProcessTree(process.pid)
process.kill()
process.communicate()
left.end()
"""


def test_adopted_processes_of_a_container_are_ended(tmp_path: Path) -> None:
    place = tmp_path / "session+fork"
    subprocess.run([sys.executable, "-c", FIRST, "-c", WORKER, DAEMON, str(place), place.name], check=True)
    assert living([int(place.read_text())]) == []


def test_unrelated_processes_are_not_ended(tmp_path: Path) -> None:
    """A child of this process in another session, and a process with the mark of another bench."""
    foreign = {**os.environ, process_tree.MARK: "1-00"}
    code = "import sys; sys.stdin.read()"
    strangers = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, start_new_session=True, env=env)
        for env in (dict(os.environ), foreign)
    ]
    process, _ = worker(tmp_path)
    try:
        ProcessTree(process.pid).end()
        assert len(living([each.pid for each in strangers])) == 2
    finally:
        for each in (*strangers, process):
            each.communicate()


def test_ending_a_process_that_has_ended_does_nothing() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.communicate()
    ProcessTree(gone.pid).end()


def test_the_mark_is_of_this_process_only() -> None:
    assert mark() == mark() and len(mark()) == 1
    assert mark()[process_tree.MARK].startswith(f"{os.getpid()}-")
    assert process_tree._token(1) != process_tree._token(os.getpid())
