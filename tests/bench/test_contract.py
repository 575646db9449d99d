import subprocess
import sys
import threading
import time
from itertools import product

import pytest
import torch
from bench_candidates import Honest

from paretodet.bench import clock, contract
from paretodet.bench.clock import busy_wait
from paretodet.bench.contract import (
    BackgroundCpu,
    BackgroundUsage,
    ContractError,
    OutputCheck,
    PostCallCheck,
    background_cpu,
    check_clock,
    check_clocks,
    check_idle_after_calls,
    check_idle_between_requests,
)
from paretodet.types import Detections


def detections(batch: int = 1, kept: int = 3) -> Detections:
    return Detections(
        torch.zeros(batch, kept, 4), torch.zeros(batch, kept), torch.zeros(batch, kept, dtype=torch.int64)
    )


def test_valid_outputs_pass_repeatedly() -> None:
    outputs = OutputCheck(2)
    for _ in range(3):
        outputs.check(detections(2))


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (("boxes", "scores"), "finish returned tuple, not Detections"),
        (detections(2), "B = 1"),
        (detections()._replace(scores=torch.zeros(1, 4)), "are not"),
        (detections()._replace(boxes=torch.zeros(1, 3, 5)), "are not"),
        (detections()._replace(scores=torch.zeros(3)), "are not"),
        (detections()._replace(scores=torch.full((1, 3), float("nan"))), "scores contains NaN"),
        (detections()._replace(boxes=torch.full((1, 3, 4), float("nan"))), "boxes contains NaN"),
        (detections()._replace(labels=torch.zeros(1, 3, dtype=torch.int64, device="meta")), "labels is on meta"),
        (detections()._replace(masks=torch.full((1, 3, 2, 2), float("nan"))), "masks contains NaN"),
    ],
)
def test_broken_outputs_are_refused(broken: Detections, rule: str) -> None:
    with pytest.raises(ContractError, match=rule):
        OutputCheck(1).check(broken)


def test_infinite_boxes_are_accepted() -> None:
    OutputCheck(1).check(detections()._replace(boxes=torch.full((1, 3, 4), float("inf"))))


def test_a_changing_shape_is_refused() -> None:
    outputs = OutputCheck(1)
    outputs.check(detections())
    with pytest.raises(ContractError, match="changed between calls"):
        outputs.check(detections(kept=4))


def test_an_idle_process_passes() -> None:
    used = PostCallCheck(detections()).wait(0.001)
    check_idle_after_calls([used, used, used], 1.0)


def test_work_after_a_call_is_refused() -> None:
    thread = threading.Thread(target=busy_wait, args=(0.4,))
    thread.start()
    used = PostCallCheck(detections()).wait(0.1)
    thread.join()
    assert used > 0.015
    with pytest.raises(ContractError, match="returned before its work was done"):
        check_idle_after_calls([used], 0.05)


def test_work_is_counted_from_the_return_of_the_call() -> None:
    """Although it is done when the check begins."""
    spent = background_cpu()
    thread = threading.Thread(target=lambda: [None for _ in iter(lambda: time.thread_time() < 0.03, False)])
    thread.start()
    thread.join()
    assert PostCallCheck(detections(), spent).wait(0.0) > 0.025
    assert PostCallCheck(detections()).wait(0.0) < 0.025


@pytest.mark.parametrize("bursts", [2, 3, 4, 8])
@pytest.mark.parametrize("p", [0.01, 0.1, 0.2])
def test_the_probability_of_a_miss_is_below_the_stated_bound(bursts: int, p: float) -> None:
    missed = [used for used in product([True, False], repeat=bursts) if _passes([0.0 if m else 0.2 for m in used])]
    assert sum(p ** sum(used) * (1 - p) ** (bursts - sum(used)) for used in missed) < (4 * p) ** (bursts / 2)


def _passes(used: list[float]) -> bool:
    try:
        check_idle_after_calls(used, 0.02)
    except ContractError:
        return False
    return True


def test_one_busy_wait_of_three_is_accepted() -> None:
    check_idle_after_calls([0.0, 0.2, 0.001], 0.02)
    with pytest.raises(ContractError):
        check_idle_after_calls([0.2, 0.0, 0.2], 0.02)


def test_detections_that_change_later_are_refused() -> None:
    result = detections()
    timer = threading.Timer(0.01, lambda: result.boxes.add_(1))
    timer.start()
    with pytest.raises(ContractError, match="boxes changed after finish"):
        PostCallCheck(result).wait(0.2)
    timer.join()


def test_an_honest_candidate_passes() -> None:
    guest = Honest()
    OutputCheck(2).check(guest.finish(guest.infer(2), torch.zeros(2, 2)))


def test_spinning_threads_are_named() -> None:
    ended = threading.Event()
    thread = threading.Thread(target=lambda: [busy_wait(0.01) for _ in iter(ended.is_set, True)])
    thread.start()
    check = PostCallCheck(detections())
    used = check.wait(0.2)
    ended.set()
    thread.join()
    assert check.source.endswith("thread of its process")
    with pytest.raises(ContractError, match="a (spinning )?thread of its process used"):
        check_idle_after_calls([used], 0.2, source=check.source)


@pytest.mark.parametrize(
    ("threads", "children", "source"),
    [
        ({}, {}, "its process"),
        ({"1": 0.05}, {"sleep 7": 0.01}, "its process"),
        ({"1": 0.2}, {}, "a thread of its process"),
        ({"1": 0.95, "2": 0.99, "3": 0.01}, {}, "2 spinning threads of its process"),
        ({"1": 0.95, "2": 0.5}, {}, "2 threads of its process"),
        ({}, {"python3 7": 0.5, "python3 8": 0.5}, "its child process python3"),
        ({"1": 1.0}, {"cc 7": 0.5}, "a spinning thread of its process and its child process cc"),
    ],
)
def test_sources_of_background_work(threads: dict[str, float], children: dict[str, float], source: str) -> None:
    assert contract._source(threads, children, 1.0) == source


SPIN = "while True: pass"


def test_a_child_that_works_is_named() -> None:
    child = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        background, deadline = BackgroundCpu().with_children(), time.monotonic() + 20
        while "its child process" not in (worked := background.usage()).source and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        child.kill()
        child.wait()
    assert worked.source.startswith("its child process ") and worked.seconds > 0


def test_cpu_time_of_an_ended_child_is_counted() -> None:
    background = BackgroundCpu().with_children()
    code = "import time\nend = time.process_time() + .2\nwhile time.process_time() < end: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert background.usage().seconds >= 0.15


def test_a_process_that_works_between_requests_is_named() -> None:
    calm, busy = BackgroundUsage(0.001, "its process"), BackgroundUsage(0.5, "a spinning thread of its process")
    check_idle_between_requests([])
    check_idle_between_requests([(1.0, calm), (1.0, busy), (1.0, calm)])
    check_idle_between_requests([(0.001, BackgroundUsage(0.001, "its process"))] * 3)  # too short to count
    with pytest.raises(ContractError, match="^kept working: a spinning thread of its process used 50 % of a core"):
        check_idle_between_requests([(1.0, calm), (1.0, busy), (1.0, busy)])


@pytest.mark.parametrize(
    ("worker", "parent"),
    [
        ([], []),
        ([0.5, 0.5], [0.501, 0.502]),
        ([0.5] * 3, [0.51, 0.9, 0.51]),  # the machine was busy once
        ([0.5], [0.529]),
        ([3.0], [3.07]),
        ([0.5], [0.4995]),  # within the tolerance of two clocks
    ],
)
def test_clocks_that_agree(worker: list[float], parent: list[float]) -> None:
    check_clock(worker, parent)


@pytest.mark.parametrize(
    ("worker", "parent", "message"),
    [
        ([0.25] * 4, [0.5] * 4, "0.250 s for what took 0.500 s"),
        ([0.5, 0.5, 0.6], [0.51, 0.51, 0.51], "0.600 s for what took 0.510 s"),  # it cannot take longer inside
        ([0.5] * 3, [0.54] * 3, "0.500 s for what took 0.540 s"),
    ],
)
def test_clocks_that_disagree(worker: list[float], parent: list[float], message: str) -> None:
    with pytest.raises(ContractError, match=f"^clock: its process measured {message}"):
        check_clock(worker, parent)


def slow() -> float:
    return 0.0


@pytest.mark.parametrize(
    ("place", "name", "message"),
    [
        (time, "perf_counter", "time.perf_counter"),
        (time, "monotonic_ns", "time.monotonic_ns"),
        (time, "process_time", "time.process_time"),
        (clock, "perf_counter_ns", "paretodet.bench.clock.perf_counter_ns"),
        (clock.Clock, "call", "Clock.call"),
    ],
)
def test_a_replaced_clock_is_named(monkeypatch: pytest.MonkeyPatch, place: object, name: str, message: str) -> None:
    check_clocks()
    monkeypatch.setattr(place, name, slow)
    with pytest.raises(ContractError, match=f"^clock: {message} was replaced"):
        check_clocks()


def test_a_clock_that_was_replaced_before_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", slow)
    monkeypatch.setattr(contract, "CLOCKS", ((time, "time", slow),))
    with pytest.raises(ContractError, match="^clock: time.time was replaced"):
        check_clocks()


def test_the_bench_does_not_use_a_replaced_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("perf_counter", "perf_counter_ns"):
        monkeypatch.setattr(time, name, slow)
    spent, _ = clock.Clock("cpu").time(lambda: time.sleep(0.01))
    assert spent >= 10 and clock.now() > 0
