import os
import threading

import pytest

from paretodet.bench import priority
from paretodet.bench.priority import allowed, raised

needs_right = pytest.mark.skipif(not allowed(), reason="this system grants no real-time priority")


def policies() -> set[int]:
    return {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}


@needs_right
def test_every_thread_is_raised_and_put_back() -> None:
    ready, end = threading.Event(), threading.Event()

    def idle() -> None:
        ready.set()
        end.wait()

    other = threading.Thread(target=idle)
    other.start()
    ready.wait()
    try:
        with raised(True) as granted:
            assert granted and policies() == {os.SCHED_RR}
        assert policies() == {os.SCHED_OTHER}
        with pytest.raises(ArithmeticError), raised(True):
            raise ArithmeticError
        assert policies() == {os.SCHED_OTHER}
    finally:
        end.set()
        other.join()


def test_it_stays_ordinary_where_nobody_asks() -> None:
    with raised(False) as granted:
        assert not granted and os.SCHED_RR not in policies()


def test_it_stays_ordinary_under_nice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "nice", lambda by: 5)
    assert not allowed()


def test_a_refusal_leaves_it_ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(priority, "_set", refused)
    with raised(True) as granted:
        assert not granted
