"""What a candidate must not do: return invalid detections, change their shape, return before its work is done, work
while it is idle, or manipulate a clock. `scheduling.py` checks its cores and its priority.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from inspect import isbuiltin
from statistics import median
from time import process_time, sleep, thread_time
from typing import Any, NamedTuple, Self

import psutil
import torch
from torch import Tensor

from paretodet.bench import clock
from paretodet.bench.cpu_usage import ended_children_cpu, living_children_cpu, plain_name, thread_times
from paretodet.errors import ErrorId, WithId
from paretodet.types import Detections

MIN_WAIT = 0.05  # s for which a candidate is observed after its last call, at least ...
MAX_WAIT = 0.3  # ... and at most
MAX_CPU_AFTER_CALL = 0.010  # s of CPU that allocators and threads may use after a call
MAX_IDLE_LOAD = 0.1  # of a core that a process may use between two requests
SPINNING = 0.9  # a thread that uses this share of a core while it should wait is spinning
CLOCK_STEP = 0.001  # s by which the clocks of two processes may differ
MAX_LATENCY = 0.02  # s that a request and its answer may take between two processes, waking up included ...
MAX_LOST_SHARE = 0.02  # ... and the share of a burst that may be lost in addition
TIME = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
CLOCKS = tuple(
    (place, name, getattr(place, name))
    for place, names in (
        (time, (*TIME, *(f"{name}_ns" for name in TIME))),
        (clock, ("now", "perf_counter", "perf_counter_ns")),
        (clock.Clock, ("time", "call", "stages", "wait")),
    )
    for name in names
)


class ContractError(WithId, RuntimeError):
    """A candidate broke a rule; the message is the sentence for its row."""

    def __init__(self, message: str, id: ErrorId = "contract-broken") -> None:
        super().__init__(message, id)


class OutputCheck:
    """Checks the type, shapes and numbers of every call's detections, and that the shapes do not change."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.shapes: tuple[Any, ...] | None = None

    def check(self, detections: Detections) -> None:
        """Raises ContractError with the first rule that is broken."""
        self.check_form(detections)
        for name, field in zip(Detections._fields, detections, strict=True):
            self._check_field(name, field)

    def check_form(self, detections: Detections) -> None:
        """The same for the type and the shapes alone."""
        _check_type(detections)
        shapes = tuple(None if field is None else tuple(field.shape) for field in detections)
        self._check_shapes(shapes, detections.scores.ndim)

    def _check_shapes(self, shapes: tuple[Any, ...], ndim: int) -> None:
        if ndim != 2 or shapes[0] != (*shapes[1], 4) or shapes[2] != shapes[1] or shapes[1][0] != self.batch:
            raise ContractError(
                f"boxes {shapes[0]}, scores {shapes[1]}, labels {shapes[2]} are not [B, D, 4], [B, D], [B, D] "
                f"with B = {self.batch}"
            )
        if self.shapes is not None and shapes != self.shapes:
            raise ContractError(f"the shape of the outputs changed between calls: {self.shapes} became {shapes}")
        self.shapes = shapes

    def _check_field(self, name: str, field: Tensor | None) -> None:
        if field is None:
            return
        if field.device.type != "cpu":
            raise ContractError(f"{name} is on {field.device}, not in host memory")
        if field.is_floating_point() and bool(torch.isnan(field).any()):
            raise ContractError(f"{name} contains NaN")


class BackgroundUsage(NamedTuple):
    """The CPU time of a process outside the bench's thread while it should have been idle."""

    seconds: float
    source: str  # "2 spinning threads of its process", "its child process sleep"; "its process" if unknown


class BackgroundCpu:
    """Measures the CPU time of this process's other threads and of its child processes from its creation on.

    With `spent`, the threads are measured from the moment at which `background_cpu` returned that.
    """

    def __init__(self, spent: float | None = None) -> None:
        self._start, self._spent = clock.now(), background_cpu() if spent is None else spent
        self._threads = _by_thread()
        self._ended, self._children = 0.0, dict[str, float]()

    def with_children(self) -> Self:
        """Counts child processes from now on. This is separate because listing them delays a call that returns."""
        self._ended, self._children = ended_children_cpu(), _by_child()
        return self

    def usage(self) -> BackgroundUsage:
        """What they have used so far."""
        wall, spent, threads = clock.now() - self._start, background_cpu(), _by_thread()
        ended, children = ended_children_cpu(), _by_child()
        by_children = ended + sum(children.values()) - self._ended - sum(self._children.values())
        source = _source(_increase(self._threads, threads), _increase(self._children, children), wall)
        return BackgroundUsage(max(0.0, spent - self._spent + by_children), source)


class PostCallCheck:
    """What a process does after its last call has returned.

    A correct candidate is idle then: its detections are in host memory and there is no other request. Create it after
    the call has returned, then call `wait`. Pass `spent`, what `background_cpu` returned immediately after the call, if
    there is anything between: the deferred work of a short call is done within milliseconds.
    """

    def __init__(self, detections: Detections, spent: float | None = None) -> None:
        self._background = BackgroundCpu(spent)
        _check_type(detections)
        self._detections = detections
        self._copy = [None if field is None else field.clone() for field in detections]
        self.source = "its process"

    def wait(self, call: float) -> float:
        """Waits about as long as one call of `call` seconds.

        Returns the CPU seconds that other threads and child processes have used since the call returned; `source`
        names them. Raises ContractError if the returned detections have changed.
        """
        background = self._background.with_children()
        sleep(min(max(call, MIN_WAIT), MAX_WAIT))
        usage = background.usage()
        for name, before, now in zip(Detections._fields, self._copy, self._detections, strict=True):
            if before is not None and now is not None and not torch.equal(before, now):
                raise ContractError(f"returned before its work was done: {name} changed after finish had returned")
        self.source = usage.source
        return usage.seconds


def check_idle_after_calls(used: Sequence[float], call: float, *, source: str = "its process") -> None:
    """Raises ContractError if, after most bursts, the process used over 10 ms and over 10 % of a call of CPU.

    Work that a call leaves behind is seen after every burst, because it is counted from the moment at which the call
    returned, unless other processes take the CPU. If that hides it with probability p from one burst, it hides it from
    half of n bursts with at most (4 p)^(n / 2). A disturbance that an honest process sees once is in the minority.
    """
    middle = sorted(used)[len(used) // 2] if used else 0.0
    if middle > max(MAX_CPU_AFTER_CALL, 0.1 * min(call, MAX_WAIT)):
        raise ContractError(
            f"returned before its work was done: {source} used {1000 * middle:.0f} ms of CPU after the last call"
        )


def check_idle_between_requests(idle: Sequence[tuple[float, BackgroundUsage]]) -> None:
    """Raises ContractError if the process worked during most of the idle times, given as (seconds, usage).

    Such work takes CPU time from the candidate that is measured at that time.
    """
    loads = [(usage.seconds / wall, usage.source) for wall, usage in idle if wall > MIN_WAIT]
    load, source = sorted(loads)[len(loads) // 2] if loads else (0.0, "")
    if load > MAX_IDLE_LOAD:
        raise ContractError(f"kept working: {source} used {100 * load:.0f} % of a core between two requests")


def check_clock(worker: Sequence[float], parent: Sequence[float]) -> None:
    """Raises ContractError if a process's clock contradicts its parent's.

    Each pair is the duration of one command: as measured by the process, from reading the request to its answer, and by
    the parent, from sending the request to receiving the answer. The parent's is always longer by the transfer and
    until both processes have a CPU, a few milliseconds on an idle machine; so pass clean bursts only. The clocks
    contradict if the process's duration is longer in any pair, or if at the median more than 20 ms and 2 % are missing.
    """
    pairs = list(zip(worker, parent, strict=True))
    if not pairs:
        return
    claimed, observed = max(pairs, key=lambda pair: pair[0] - pair[1])
    if claimed <= observed + CLOCK_STEP:
        claimed, observed = median(worker), median(parent)
        lost = median(of_parent - of_worker for of_worker, of_parent in pairs)
        if lost <= MAX_LATENCY + MAX_LOST_SHARE * observed:
            return
    raise ContractError(f"clock: its process measured {claimed:.3f} s for what took {observed:.3f} s")


def check_clocks() -> None:
    """Raises ContractError if a function that returns the time was replaced in this process."""
    for place, name, original in CLOCKS:
        if getattr(place, name, None) is not original or (place is time and not isbuiltin(original)):
            raise ContractError(f"clock: {place.__name__}.{name} was replaced in the candidate's process")


def background_cpu() -> float:
    """CPU seconds of this process's other threads so far; the calling thread is the bench's. Takes microseconds."""
    return process_time() - thread_time()


def _check_type(detections: object) -> None:
    if not isinstance(detections, Detections):
        raise ContractError(f"finish returned {type(detections).__name__}, not Detections")


def _by_thread() -> dict[str, float]:
    calling = threading.get_native_id()
    return {str(thread): times.ran for thread, times in thread_times().items() if thread != calling}


def _by_child() -> dict[str, float]:
    seconds = {}
    for child, spent in living_children_cpu():
        with suppress(psutil.Error):  # it has ended
            seconds[f"{plain_name(child.name())} {child.pid}"] = spent
    return seconds


def _increase(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """By name: how much has been used since, if anything."""
    used = {name: spent - before.get(name, 0.0) for name, spent in now.items()}
    return {name: spent for name, spent in used.items() if spent > 0}


def _source(by_thread: Mapping[str, float], by_child: Mapping[str, float], wall: float) -> str:
    """The threads and child processes that worked for a tenth of the time, in words."""
    busy = [spent for spent in by_thread.values() if spent > MAX_IDLE_LOAD * wall]
    spinning = "spinning " * (bool(busy) and min(busy) > SPINNING * wall)
    children = sorted({name.partition(" ")[0] for name, spent in by_child.items() if spent > MAX_IDLE_LOAD * wall})
    sources = [f"{_counted(len(busy), f'{spinning}thread')} of its process"] if busy else []
    sources += [f"its child process {name}" for name in children]
    return " and ".join(sources) or "its process"


def _counted(count: int, noun: str) -> str:
    return f"a {noun}" if count == 1 else f"{count} {noun}s"
