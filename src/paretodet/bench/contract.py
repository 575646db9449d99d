"""What a candidate must not do: return the impossible, change its mind, return before its work is done, go on working
while it should wait, or falsify a clock. `conduct.py` holds what it must not do to how its process is run.
"""

import os
import threading
import time
from collections.abc import Mapping, Sequence
from inspect import isbuiltin
from statistics import median
from time import process_time, sleep, thread_time
from typing import Any, NamedTuple, Self

import psutil
import torch
from torch import Tensor

from paretodet.bench import clock
from paretodet.bench.signals import plain_name, threads
from paretodet.types import Detections

SETTLE = 0.05  # s to look at a candidate after its last call, at least ...
SETTLE_LIMIT = 0.3  # ... and at most
IDLE = 0.010  # s of CPU that an honest process may use while settling: allocators and threads going to sleep
RESTING = 0.1  # of a core that an honest process may use while nothing is asked of it
SPINS = 0.9  # of the time looked at: a thread that worked so long does not wait, it spins
STEP = 0.001  # s by which clocks of two processes may differ about one moment
ON_THE_WAY = 0.02  # s that a request and its answer may take between two processes, and the processes to wake up ...
ASTRAY = 0.02  # ... and the share of a burst that may be lost beside it
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


class ContractError(RuntimeError):
    """A candidate broke a law; the message is the sentence for its row."""


class Outputs:
    """Checks every call's detections: their type, shape and numbers, and that the shape never changes."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.shapes: tuple[Any, ...] | None = None

    def check(self, detections: Detections) -> None:
        """Raises GuestError with the first law that is broken."""
        if not isinstance(detections, Detections):
            raise ContractError(f"finish returned {type(detections).__name__}, not Detections")
        shapes = tuple(None if field is None else tuple(field.shape) for field in detections)
        self._check_shapes(shapes, detections.scores.ndim)
        for name, field in zip(Detections._fields, detections, strict=True):
            self._check_field(name, field)

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
            raise ContractError(f"{name} holds NaN")


class Worked(NamedTuple):
    """What a process did beside the bench's own thread while it should have waited."""

    seconds: float  # of CPU
    who: str  # "2 spinning threads of its process", "its child process sleep"; "its process" where it is not told


class Background:
    """CPU time of this process's other threads and of its children, from now on."""

    def __init__(self) -> None:
        self._began, self._spent, self._threads = clock.now(), _background_cpu(), _by_thread()
        self._ended, self._children = 0.0, dict[str, float]()

    def with_children(self) -> Self:
        """Children's time counts from here: to find them takes a moment that a returning call must not be late by."""
        self._ended, self._children = _ended_children(), _by_child()
        return self

    def worked(self) -> Worked:
        """What they have used since."""
        wall, spent, threads = clock.now() - self._began, _background_cpu(), _by_thread()
        ended, children = _ended_children(), _by_child()
        by_children = ended + sum(children.values()) - self._ended - sum(self._children.values())
        who = _who(_more(self._threads, threads), _more(self._children, children), wall)
        return Worked(max(0.0, spent - self._spent + by_children), who)


class BackgroundWork:
    """What a process does after its last call has returned. An honest candidate is idle by then: its detections are
    in host memory and nothing else was asked of it. Make one at once when the call returns, then `settle`.
    """

    def __init__(self, detections: Detections) -> None:
        self._background = Background()
        self._detections = detections
        self._seen = [None if field is None else field.clone() for field in detections]
        self.who = "its process"

    def settle(self, call: float) -> float:
        """Waits about as long as one call of `call` seconds.

        Returns the CPU seconds that other threads and children have used since the call returned; `who` names them.
        Raises GuestError when the detections it had returned have changed.
        """
        background = self._background.with_children()
        sleep(min(max(call, SETTLE), SETTLE_LIMIT))
        worked = background.worked()
        for name, first, now in zip(Detections._fields, self._seen, self._detections, strict=True):
            if first is not None and now is not None and not torch.equal(first, now):
                raise ContractError(f"returned before its work was done: {name} changed after finish had returned")
        self.who = worked.who
        return worked.seconds


def check_settled(used: Sequence[float], call: float, *, who: str = "its process") -> None:
    """Raises GuestError when the process went on working after most bursts: over 10 ms and over 10 % of a call."""
    worst = sorted(used)[len(used) // 2] if used else 0.0
    if worst > max(IDLE, 0.1 * min(call, SETTLE_LIMIT)):
        raise ContractError(
            f"returned before its work was done: {who} used {1000 * worst:.0f} ms of CPU after the last call"
        )


def check_rest(rests: Sequence[tuple[float, Worked]]) -> None:
    """Raises GuestError when the process worked during most of the times (their seconds, what it did) in which nothing
    was asked of it: it takes CPU from whoever is measured then.
    """
    shares = [(worked.seconds / wall, worked.who) for wall, worked in rests if wall > SETTLE]
    share, who = sorted(shares)[len(shares) // 2] if shares else (0.0, "")
    if share > RESTING:
        raise ContractError(f"kept working: {who} used {100 * share:.0f} % of a core while nothing was asked of it")


def check_clock(worker: Sequence[float], parent: Sequence[float]) -> None:
    """Raises GuestError when a process's clock contradicts its parent's.

    Each pair of numbers is one command's seconds: as the process timed it, from reading the request to its answer, and
    as the parent did, from sending it to holding the answer. The parent's are longer, always, by the time on the way
    and until both processes have a CPU: a few milliseconds where the machine is free. So give clean bursts alone. A
    process that claims more than its parent saw, once, or that in the middle of them leaves more than 20 ms and 2 %
    unexplained, has another clock.
    """
    pairs = list(zip(worker, parent, strict=True))
    if not pairs:
        return
    claimed, seen = max(pairs, key=lambda pair: pair[0] - pair[1])
    if claimed <= seen + STEP:
        claimed, seen = median(worker), median(parent)
        lost = median(theirs - own for own, theirs in pairs)
        if lost <= ON_THE_WAY + ASTRAY * seen:
            return
    raise ContractError(f"clock: its process says {claimed:.3f} s for what took {seen:.3f} s")


def check_clocks() -> None:
    """Raises GuestError where a function that tells the time has been replaced in this process."""
    for place, name, own in CLOCKS:
        if getattr(place, name, None) is not own or (place is time and not isbuiltin(own)):
            raise ContractError(f"clock: {place.__name__}.{name} was replaced in the candidate's process")


def _background_cpu() -> float:
    """CPU seconds of this process's other threads: this one is the bench's own."""
    return process_time() - thread_time()


def _ended_children() -> float:
    past = os.times()
    return past.children_user + past.children_system


def _by_thread() -> dict[str, float]:
    own = threading.get_native_id()
    return {str(task): times.ran for task, times in threads().items() if task != own}


def _by_child() -> dict[str, float]:
    found = {}
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
            found[f"{plain_name(child.name())} {child.pid}"] = times.user + times.system
        except psutil.Error:  # it has ended
            continue
    return found


def _more(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """Who has used more since, and how much."""
    used = {each: spent - before.get(each, 0.0) for each, spent in now.items()}
    return {each: spent for each, spent in used.items() if spent > 0}


def _who(by_thread: Mapping[str, float], by_child: Mapping[str, float], wall: float) -> str:
    """Those that worked for a tenth of the time, in words."""
    busy = [spent for spent in by_thread.values() if spent > RESTING * wall]
    spinning = "spinning " * (bool(busy) and min(busy) > SPINS * wall)
    children = sorted({each.partition(" ")[0] for each, spent in by_child.items() if spent > RESTING * wall})
    said = [f"{_counted(len(busy), f'{spinning}thread')} of its process"] if busy else []
    said += [f"its child process {name}" for name in children]
    return " and ".join(said) or "its process"


def _counted(count: int, noun: str) -> str:
    return f"a {noun}" if count == 1 else f"{count} {noun}s"
