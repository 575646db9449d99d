"""Times one call: the host clock around work that has finished on the device, and CUDA events."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import (
    perf_counter,
    perf_counter_ns,
)  # bound here, so that a candidate that changes `time` later has no effect
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from paretodet.bench.candidate import Candidate
from paretodet.types import Detections


class Call(NamedTuple):
    """The time of one call, ms. `event` is the time of `infer` by CUDA events; None on a CPU."""

    infer: float
    finish: float
    event: float | None

    @property
    def total(self) -> float:
        return self.infer + self.finish


class Clock:
    """Times calls of a candidate on `device` ("cpu", "cuda", "cuda:1")."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.cuda = torch.device(device) if device.startswith("cuda") else None

    def wait(self) -> None:
        """Waits until the device has finished its work."""
        if self.cuda is not None:
            torch.cuda.synchronize(self.cuda)

    def time(self, work: Callable[[], Any]) -> tuple[float, Any]:
        """-> (ms, result) of any work, including the device's part."""
        self.wait()
        start = perf_counter_ns()
        result = work()
        self.wait()
        return (perf_counter_ns() - start) / 1e6, result

    def call(self, candidate: Candidate, batch: Any, sizes: Tensor) -> tuple[Call, Detections]:
        """`infer` and `finish`: from a prepared batch in host memory to detections in host memory."""
        events = self._events()
        infer, outputs = self.time(lambda: self._infer(events, candidate, batch))
        finish, detections = self.time(lambda: candidate.finish(outputs, sizes))
        return Call(infer, finish, events[0].elapsed_time(events[1]) if events else None), detections

    def stages(self, stages: Sequence[tuple[str, Callable[[Any], Any]]], batch: Any) -> tuple[dict[str, float], Any]:
        """-> (ms per stage, outputs) of stages whose composition is `infer`."""
        times = {}
        for name, stage in stages:
            times[name], batch = self.time(lambda stage=stage, batch=batch: stage(batch))  # type: ignore[misc]
        return times, batch

    def _events(self) -> "tuple[torch.cuda.Event, torch.cuda.Event] | None":
        if self.cuda is None:
            return None
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        return start, end

    def _infer(self, events: Any, candidate: Candidate, batch: Any) -> Any:
        if events is None:
            return candidate.infer(batch)
        events[0].record(torch.cuda.current_stream(self.cuda))
        outputs = candidate.infer(batch)
        events[1].record(torch.cuda.current_stream(self.cuda))
        return outputs


def now() -> float:
    """Seconds on a clock that all processes of this machine share."""
    return perf_counter()


def host_bound(calls: Sequence[Call]) -> bool:
    """Whether the median times of `infer` by events and by wall clock differ by more than max(0.2 ms, 3 %)."""
    timed = [call for call in calls if call.event is not None]
    if not timed:
        return False
    wall, event = (float(np.median([getattr(call, which) for call in timed])) for which in ("infer", "event"))
    return abs(wall - event) > max(0.2, 0.03 * wall)


@contextmanager
def no_collection() -> Iterator[None]:
    """Collects garbage first and never inside. Surviving objects are frozen, which keeps the next collection short."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def stable(times: Sequence[float], *, tolerance: float = 0.05) -> bool:
    """Whether the medians of the last two windows agree; a window is 10 calls, or half of all calls if that is less."""
    window = min(10, len(times) // 2)
    if window < 1:
        return False
    before, after = np.median(times[-2 * window : -window]), np.median(times[-window:])
    return bool(abs(after / before - 1) <= tolerance)


def resolution_ms(reads: int = 20_000) -> float:
    """The smallest observed step of the clock."""
    ticks = np.array([perf_counter_ns() for _ in range(reads)])
    steps = np.diff(ticks)
    return float(steps[steps > 0].min(initial=np.iinfo(np.int64).max)) / 1e6


def busy_wait(seconds: float) -> None:
    """Keeps one core busy for this time."""
    end = perf_counter_ns() + int(seconds * 1e9)
    while perf_counter_ns() < end:
        pass
