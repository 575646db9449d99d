"""Honest and deceiving candidates for tests of the bench; importable, so that fresh processes can make them."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paretodet.bench import clock, contract
from paretodet.bench.clock import busy_wait
from paretodet.bench.job import Plan
from paretodet.reports import report
from paretodet.types import Detections

QUICK = Plan(
    processes=2,
    slow_processes=2,
    max_processes=2,
    patience=1.0,
    sampled=0.05,
    burst=0.02,
    warm=0.02,
    warm_calls=2,
    warm_limit=0.1,
)


class Honest:
    """Sleeps for `seconds` and returns two boxes per image."""

    name = "honest"

    def __init__(self, seconds: float = 0.002) -> None:
        self.seconds, self.calls = seconds, 0

    def prepare(self, images: Any) -> int:
        return len(images)

    def infer(self, batch: int) -> int:
        self.calls += 1
        time.sleep(self.seconds)
        return batch

    def finish(self, outputs: int, sizes: Tensor) -> Detections:
        labels = torch.zeros(outputs, 2, dtype=torch.int64)
        return Detections(torch.zeros(outputs, 2, 4), torch.full((outputs, 2), 0.5), labels)


class Tail(Honest):
    """One call in ten takes twice as long."""

    def infer(self, batch: int) -> int:
        if self.calls % 10 == 9:
            time.sleep(self.seconds)
        return super().infer(batch)


class SlowStart(Honest):
    """The first thirty calls take four times as long."""

    def infer(self, batch: int) -> int:
        if self.calls < 30:
            time.sleep(3 * self.seconds)
        return super().infer(batch)


class Hungry(Honest):
    """Allocates 200 MiB in `infer` and frees them."""

    def infer(self, batch: int) -> int:
        held = np.ones(200 * 2**20, dtype=np.uint8)
        return super().infer(int(held[-1]) * batch)


class Hoarder(Honest):
    """Holds 100 MiB from its creation on."""

    def __init__(self) -> None:
        super().__init__()
        self.held = np.ones(100 * 2**20, dtype=np.uint8)


class Busy(Honest):
    def infer(self, batch: int) -> int:
        busy_wait(self.seconds)
        return batch


class Deferring(Honest):
    """Returns immediately; a thread does the work: 20 ms of CPU, without Python's lock, as a network does it."""

    def infer(self, batch: int) -> int:
        threading.Thread(target=_work, daemon=True).start()
        return super().infer(batch)


class Spinning(Honest):
    """Has a thread that never waits."""

    def __init__(self) -> None:
        super().__init__()
        threading.Thread(target=_spin, daemon=True).start()


class Resuming(Honest):
    """Works between requests, but not just after a call, when it is observed."""

    def __init__(self) -> None:
        super().__init__()
        self.called = time.monotonic()
        threading.Thread(target=self._work, daemon=True).start()

    def infer(self, batch: int) -> int:
        self.called = time.monotonic()
        return super().infer(batch)

    def _work(self) -> None:
        while True:
            if time.monotonic() - self.called > 0.15:
                busy_wait(0.01)
            time.sleep(0.005)


class Forking(Honest):
    """Has a child process that never stops working and writes its number to the file `numbers`."""

    def __init__(self, numbers: Path, *, daemon: bool = False, dies: bool = False) -> None:
        super().__init__()
        started = subprocess.Popen([sys.executable, "-c", CHILD, str(numbers), "daemon" if daemon else ""])
        while not numbers.exists():
            time.sleep(0.01)
        self.dies, self.started = dies, started

    def infer(self, batch: int) -> int:
        if self.dies:
            os._exit(3)
        return super().infer(batch)


CHILD = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if sys.argv[2]:
    os.setsid()
    if os.fork():
        os._exit(0)
open(sys.argv[1] + ".new", "w").write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    pass
"""


class Bound(Honest):
    """Binds itself to one core."""

    def infer(self, batch: int) -> int:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        return super().infer(batch)


class Polite(Honest):
    """Lowers its own priority."""

    def __init__(self) -> None:
        super().__init__()
        os.nice(1)


class FalseTime(Honest):
    """Replaces the functions of `time`."""

    def __init__(self) -> None:
        super().__init__()
        time.perf_counter = half(time.perf_counter)  # type: ignore[assignment]
        time.perf_counter_ns = half(time.perf_counter_ns)  # type: ignore[assignment]


class FalseBench(Honest):
    """Replaces the bench's clock, and the list by which the bench would notice."""

    def __init__(self) -> None:
        super().__init__(0.01)
        clock.perf_counter = half(clock.perf_counter)  # type: ignore[assignment]
        clock.perf_counter_ns = half(clock.perf_counter_ns)  # type: ignore[assignment]
        contract.CLOCKS = ()


def half(clock: Any) -> Any:
    """A clock at half the speed."""
    return lambda: type(clock())(clock() / 2)


class LateWriter(Honest):
    """Returns immediately; a thread changes the detections later."""

    def finish(self, outputs: int, sizes: Tensor) -> Detections:
        detections = super().finish(outputs, sizes)
        threading.Timer(0.02, lambda: detections.scores.fill_(0.9)).start()
        return detections


class Raising(Honest):
    def infer(self, batch: int) -> int:
        raise ArithmeticError("the candidate failed\nfor a reason")


class Blind(Honest):
    """Scores become NaN after five calls."""

    def finish(self, outputs: int, sizes: Tensor) -> Detections:
        detections = super().finish(outputs, sizes)
        return detections._replace(scores=detections.scores / 0 * 0) if self.calls > 5 else detections


class Shifting(Honest):
    """Every call returns one more box."""

    def finish(self, outputs: int, sizes: Tensor) -> Detections:
        shape = (outputs, self.calls)
        return Detections(torch.zeros(*shape, 4), torch.zeros(shape), torch.zeros(shape, dtype=torch.int64))


class Dying(Honest):
    def infer(self, batch: int) -> int:
        os._exit(3)


class Leaving(Honest):
    def infer(self, batch: int) -> int:
        raise SystemExit(4)


class Hanging(Honest):
    def infer(self, batch: int) -> int:
        time.sleep(600)
        return batch


class Reporting(Honest):
    """Says what it does while it is made."""

    def __init__(self) -> None:
        super().__init__()
        for line in ("exports", "quantizes"):
            report(line)


class Stubborn(Hanging):
    """Hangs and ignores signals, as does its child process."""

    def __init__(self, numbers: Path) -> None:
        super().__init__()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self.child = Forking(numbers, daemon=True)


class Chatty(Honest):
    def infer(self, batch: int) -> int:
        print("a candidate prints")
        return super().infer(batch)


class InStages(Honest):
    """Two stages whose composition is `infer`; `extra` seconds make the first one slower than in `infer`."""

    def __init__(self, extra: float = 0.0) -> None:
        super().__init__(0.01)
        self.extra = extra

    def stages(self) -> Any:
        return ("half", self._half(0.005 + self.extra)), ("rest", self._half(0.005))

    def infer(self, batch: int) -> int:
        return self._half(0.005)(self._half(0.005)(batch))

    def _half(self, seconds: float) -> Any:
        def stage(batch: int) -> int:
            busy_wait(seconds)
            return batch

        return stage


def _work() -> None:
    content = bytes(2**20)
    while time.thread_time() < 0.02:
        hashlib.sha256(content)


def _spin() -> None:
    while True:
        busy_wait(1.0)
