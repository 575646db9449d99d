import gc
import time

import numpy as np
import pytest
import torch
from bench_candidates import Honest

from paretodet.bench.clock import Call, Clock, busy_wait, host_bound, no_collection, resolution_ms, stable


def test_call_is_infer_and_finish_in_one_pass() -> None:
    guest = Honest(0.005)
    call, detections = Clock("cpu").call(guest, guest.prepare([None] * 3), torch.zeros(3, 2))
    assert call.infer >= 5
    assert call.total == call.infer + call.finish
    assert call.event is None
    assert detections.boxes.shape == (3, 2, 4)
    assert guest.calls == 1


def test_time_gives_milliseconds_and_the_result() -> None:
    spent, result = Clock("cpu").time(lambda: time.sleep(0.01) or "done")
    assert result == "done"
    assert 10 <= spent < 1000


def test_stages_are_a_composition() -> None:
    stages = (("add", lambda x: x + 1), ("double", lambda x: 2 * x))
    spent, result = Clock("cpu").stages(stages, 3)
    assert result == 8
    assert list(spent) == ["add", "double"]
    assert min(spent.values()) >= 0


def test_stages_are_timed_separately() -> None:
    stages = (("short", lambda x: busy_wait(0.002)), ("long", lambda x: busy_wait(0.02)))
    spent, _ = Clock("cpu").stages(stages, None)
    assert spent["long"] >= 20
    assert spent["long"] > spent["short"] >= 2


@pytest.mark.parametrize(
    ("wall", "event", "bound"),
    [(1.0, 0.85, False), (1.0, 0.75, True), (100.0, 98.0, False), (100.0, 96.0, True), (5.0, None, False)],
)
def test_host_bound_beyond_a_fifth_of_a_ms_or_3_percent(wall: float, event: float | None, bound: bool) -> None:
    assert host_bound([Call(wall, 0.1, event)] * 5) is bound


def test_nothing_is_collected_inside() -> None:
    with no_collection():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    assert gc.isenabled()
    gc.unfreeze()


def test_collection_comes_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), no_collection():
        _ = 1 / 0
    assert gc.isenabled()
    gc.unfreeze()


def test_stable_when_windows_agree() -> None:
    falling = [100 / (1 + i) for i in range(20)]
    assert not stable(falling)
    assert stable(falling + [5.0] * 20)
    assert not stable([5.0])
    assert not stable([5.0, 4.0])
    assert stable([5.0, 4.9])


def test_stable_forgives_outliers() -> None:
    times = np.full(20, 10.0)
    times[[3, 15]] = 80
    assert stable(list(times))


def test_the_clock_is_fine_enough() -> None:
    assert 0 < resolution_ms() < 1


def test_busy_wait_uses_the_core() -> None:
    before = time.process_time(), time.perf_counter()
    busy_wait(0.05)
    assert time.perf_counter() - before[1] >= 0.05
    assert 0 < time.process_time() - before[0] <= time.perf_counter() - before[1] + 0.01
