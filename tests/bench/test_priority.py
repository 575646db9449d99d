"""Raising all threads for a burst, on this system if it allows that and on a fake one."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from paretodet.bench import priority
from paretodet.bench.priority import Policy, allowed, raised

needs_right = pytest.mark.skipif(not allowed(), reason="this system grants no real-time priority")
linux = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="policies of Linux")


def policies() -> dict[int, int]:
    return {int(thread): os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}


@contextmanager
def batch_thread() -> Iterator[int]:
    """An idle thread with the policy SCHED_BATCH, which needs no right -> its number."""
    ready, end, numbers = threading.Event(), threading.Event(), []

    def run() -> None:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        numbers.append(threading.get_native_id())
        ready.set()
        end.wait()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        yield numbers[0]
    finally:
        end.set()
        thread.join()


@needs_right
def test_every_thread_is_raised_and_restored() -> None:
    with batch_thread() as thread:
        before = policies()
        assert before[thread] == os.SCHED_BATCH
        with raised(True) as granted:
            assert granted and set(policies().values()) == {os.SCHED_RR}
        assert policies() == before
        with pytest.raises(ArithmeticError), raised(True):
            raise ArithmeticError
        assert policies() == before


class FakeSystem:
    """The scheduling functions of `os` for threads that are folders; thread 0 is the calling one."""

    def __init__(self, folder: Path, policies: dict[int, Policy]) -> None:
        self.folder, self.policies, self.calling = folder, policies, threading.get_native_id()
        for thread in policies:
            (folder / str(thread)).mkdir()

    def start_thread(self, thread: int) -> None:
        (self.folder / str(thread)).mkdir()
        self.policies[thread] = self.policies[self.calling]  # a new thread inherits the policy

    def end_thread(self, thread: int) -> None:
        del self.policies[thread]  # the folder is listed once more

    def sched_getscheduler(self, thread: int) -> int:
        return self._get(thread).policy

    def sched_getparam(self, thread: int) -> SimpleNamespace:
        return SimpleNamespace(sched_priority=self._get(thread).priority)

    def sched_setscheduler(self, thread: int, policy: int, param: os.sched_param) -> None:
        self._get(thread)
        self.policies[thread or self.calling] = Policy(policy, param.sched_priority)

    def _get(self, thread: int) -> Policy:
        if (thread or self.calling) not in self.policies:
            raise ProcessLookupError(3, "no such process")
        return self.policies[thread or self.calling]


@linux
def test_each_thread_gets_back_its_policy_and_priority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {
        threading.get_native_id(): Policy(os.SCHED_OTHER, 0),
        1_000_001: Policy(os.SCHED_BATCH, 0),
        1_000_002: Policy(os.SCHED_FIFO, 7),
        1_000_003: Policy(os.SCHED_IDLE, 0),
    }
    system = FakeSystem(tmp_path, dict(before))
    monkeypatch.setattr(priority, "THREADS", tmp_path)
    for name in ("sched_getscheduler", "sched_getparam", "sched_setscheduler"):
        monkeypatch.setattr(os, name, getattr(system, name))
    monkeypatch.setattr(os, "nice", lambda increment: 0)
    with raised(True) as granted:
        assert granted and set(system.policies.values()) == {Policy(os.SCHED_RR, 1)}
        system.start_thread(1_000_004)
        system.end_thread(1_000_003)
    del before[1_000_003]
    assert system.policies == before | {1_000_004: Policy(os.SCHED_OTHER, 0)}


def test_the_priority_is_unchanged_unless_wanted() -> None:
    before = policies()
    with raised(False) as granted:
        assert not granted and policies() == before


def test_the_priority_is_unchanged_under_nice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "nice", lambda increment: 5)
    assert not allowed()


def test_without_permission_the_priority_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(priority, "_set_policy", refuse)
    with raised(True) as granted:
        assert not granted
