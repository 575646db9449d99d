import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from paretodet.bench import scheduling
from paretodet.bench.contract import ContractError
from paretodet.bench.scheduling import SchedulingCheck, ThreadSettings

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity to change")
GIVEN = ThreadSettings(frozenset({0, 1}), 0, 0)


def in_thread(work: Callable[[], object]) -> None:
    """Affinity and priority belong to a thread, so `work` runs in a new one."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def test_a_process_that_changes_nothing_passes() -> None:
    check = SchedulingCheck()
    check.check()
    check.check()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2 if hasattr(os, "sched_getaffinity") else True, reason="one core")
def test_a_thread_that_binds_itself_is_named() -> None:
    def work() -> None:
        check = SchedulingCheck()
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        check.check()

    with pytest.raises(ContractError, match="^affinity: the candidate bound its process to core [0-9]+; .*taskset"):
        in_thread(work)


@pytest.mark.skipif(os.nice(0) >= 19 if hasattr(os, "nice") else True, reason="no lower priority than this one")
def test_a_changed_priority_is_named() -> None:
    def work() -> None:
        check = SchedulingCheck()
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + 1)  # of this thread only, on Linux
        check.check()

    with pytest.raises(ContractError, match="^priority: the candidate changed"):
        in_thread(work)


@pytest.mark.parametrize(
    ("other", "error"),
    [
        (GIVEN, None),
        (ThreadSettings(frozenset({1}), 0, 0), None),  # a runtime's thread, bound to an allowed core
        (ThreadSettings(frozenset({0, 1}), 5, 0), None),
        (
            ThreadSettings(frozenset({1, 2, 3}), 0, 0),
            "affinity: it may run on cores 2, 3; the process was given cores 0, 1",
        ),
        (ThreadSettings(frozenset({0, 1}), -5, 0), "priority: it has a higher priority"),
        (ThreadSettings(frozenset({0, 1}), 0, 1), "priority: it has a higher priority"),
    ],
)
def test_other_threads_must_keep_cores_and_priority(
    monkeypatch: pytest.MonkeyPatch, other: ThreadSettings, error: str | None
) -> None:
    monkeypatch.setattr(scheduling, "_settings", lambda thread: GIVEN)
    monkeypatch.setattr(scheduling, "_other_threads", lambda: iter([("it", other)]))
    monkeypatch.setattr(scheduling, "_children", lambda given: iter(()))
    if error is None:
        return SchedulingCheck().check()
    with pytest.raises(ContractError, match=f"^{error}"):
        SchedulingCheck().check()


def test_threads_and_children_are_checked() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait)
    thread.start()
    try:
        assert [name for name, _ in scheduling._other_threads()].count("one of its threads") >= 1
        given = scheduling._settings(0)
        assert any(name.startswith("its child process ") for name, _ in scheduling._children(given))
        assert all(now.nice == given.nice for _, now in scheduling._children(given))
        assert list(scheduling._children(given._replace(cores=frozenset()))) == []
    finally:
        waiting.set()
        thread.join()
        child.communicate(b"")
