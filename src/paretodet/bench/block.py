"""A block: a few candidates alive at the same time, one of them working, in random turns."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from paretodet.bench.candidate import Image
from paretodet.bench.job import Job, Plan
from paretodet.bench.memory import free_mib
from paretodet.bench.process import Worker, WorkerError
from paretodet.bench.statistics import interval

Notify = Callable[[str, str], None]  # (job's name, phase), called between bursts only


@dataclass(kw_only=True, eq=False)
class Case:
    """A job and what its processes have brought so far."""

    job: Job
    images: Sequence[Image]
    raw: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None

    @property
    def medians(self) -> list[float]:
        """Of every process, ms."""
        return [float(np.median(samples(process))) for process in self.raw]

    def wanted(self, plan: Plan) -> int:
        """Processes to measure before the interval is looked at; none more after an error."""
        if self.error is not None:
            return len(self.raw)
        slow = bool(self.raw) and float(np.median(self.medians)) > 1000 * plan.slow_call
        return plan.slow_processes if slow else plan.processes

    def finished(self, plan: Plan, spent: float) -> bool:
        """Whether no further round is needed, `spent` seconds into the run."""
        if len(self.raw) < self.wanted(plan):
            return False
        over = plan.budget is not None and spent > plan.budget
        enough = over or self.error is not None or len(self.raw) >= plan.max_processes
        return enough or interval(self.medians).half_pct <= plan.until_pct


def samples(process: dict[str, Any]) -> list[float]:
    """The headline's samples of one process, ms: infer + finish of every call but the first of each burst."""
    bursts = process["bursts"]
    return [a + b for burst in bursts for a, b in zip(burst["infer_ms"][1:], burst["finish_ms"][1:], strict=True)]


def run_block(cases: Sequence[Case], plan: Plan, random: np.random.Generator, notify: Notify) -> list[Case]:
    """One process for every case: adds to `raw`, or sets `error`. Returns the cases there was no memory for."""
    with ExitStack() as stack:
        workers = _start(cases, plan, stack, notify)
        loaded, left = _load(workers, random)
        _take_turns(loaded, plan, random)
    return left


@dataclass(kw_only=True, eq=False)
class _Seat:
    """A case with its worker in this block."""

    case: Case
    worker: Worker
    notify: Notify
    seen: dict[str, Any] = field(default_factory=lambda: {"bursts": []})

    @property
    def sampled(self) -> float:
        return float(sum(burst["seconds"] for burst in self.seen["bursts"]))

    def ask(self, command: str, *args: Any) -> dict[str, Any] | None:
        """The answer, or None after writing the error into the case."""
        try:
            return self.worker.ask(command, *args)
        except WorkerError as problem:
            self.fail(problem)
            return None

    def fail(self, problem: WorkerError) -> None:
        self.case.error = str(problem)
        self.worker.stop()
        self.tell("error")

    def tell(self, phase: str) -> None:
        self.notify(self.case.job.name, phase)


def _start(cases: Sequence[Case], plan: Plan, stack: ExitStack, notify: Notify) -> list[_Seat]:
    """Starts every process; they import their runtimes side by side, for nothing is timed yet."""
    seats = []
    for case in cases:
        notify(case.job.name, "start")
        try:
            worker = stack.enter_context(Worker(case.job, plan))
            seats.append(_Seat(case=case, worker=worker, notify=notify))
        except WorkerError as problem:
            case.error = str(problem)
            notify(case.job.name, "error")
    return [seat for seat in seats if _ready(seat)]


def _ready(seat: _Seat) -> bool:
    try:
        seat.worker.ready()
    except WorkerError as problem:
        seat.fail(problem)
    return seat.case.error is None


def _load(seats: list[_Seat], random: np.random.Generator) -> tuple[list[_Seat], list[Case]]:
    """Loads one after the other until half of the free memory is gone; at least one is loaded."""
    free = free_mib()
    loaded: list[_Seat] = []
    left: list[Case] = []
    for seat in _shuffled(seats, random):
        if loaded and free_mib() < free / 2:
            seat.worker.stop()
            left.append(seat.case)
            continue
        seat.tell("load")
        known = seat.case.raw[0]["facts"] if seat.case.raw else None
        if (answer := seat.ask("load", seat.case.images, known)) is not None:
            seat.seen.update(answer)
            loaded.append(seat)
    return loaded, left


def _take_turns(seats: list[_Seat], plan: Plan, random: np.random.Generator) -> None:
    """A burst each, in a new order every time, until each has sampled enough."""
    while seats:
        for seat in _shuffled(seats, random):
            seat.tell("burst")
            if (answer := seat.ask("burst")) is not None:
                seat.seen["bursts"].append(answer)
        seats = [seat for seat in seats if seat.case.error is None]
        for seat in seats:
            if seat.sampled >= plan.sampled:
                _close(seat)
        seats = [seat for seat in seats if seat.case.error is None and seat.sampled < plan.sampled]


def _close(seat: _Seat) -> None:
    if (answer := seat.ask("close")) is not None:
        seat.case.raw.append({**seat.seen, **answer})
        seat.worker.stop()
        seat.tell("done")


def _shuffled(seats: list[_Seat], random: np.random.Generator) -> list[_Seat]:
    return [seats[place] for place in random.permutation(len(seats))]
