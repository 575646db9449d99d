"""A block: a few candidates alive at the same time, one of them working, in random turns."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from paretodet.bench.candidate import Image
from paretodet.bench.clean import headline, is_clean
from paretodet.bench.job import Job, Plan
from paretodet.bench.memory import free_mib
from paretodet.bench.process import Worker, WorkerError
from paretodet.bench.surroundings import Surroundings

Notify = Callable[[str, str], None]  # (job's name, phase), called between bursts only


@dataclass(kw_only=True, eq=False)
class MeasurementState:
    """A job and what its processes have brought so far. `sampled` is for a case that needs less than the plan says."""

    job: Job
    images: Sequence[Image]
    sampled: float | None = None
    raw: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None

    @property
    def medians(self) -> list[float]:
        """Of every process that counts, ms."""
        return [float(np.median(samples)) for samples in headline(self.raw)]

    def wanted(self, plan: Plan) -> int:
        """Processes to measure before the interval is looked at; none more after an error."""
        if self.error is not None:
            return len(self.raw)
        slow = bool(self.raw) and float(np.median(self.medians)) > 1000 * plan.slow_call
        return plan.slow_processes if slow else plan.processes

    def enough(self, plan: Plan, spent: float) -> bool:
        """Whether no interval could call for a further round, `spent` seconds into the run."""
        over = plan.budget is not None and spent > plan.budget
        return over or self.error is not None or len(self.raw) >= plan.max_processes


def run_block(
    cases: Sequence[MeasurementState],
    plan: Plan,
    random: np.random.Generator,
    notify: Notify,
    *,
    surroundings: Surroundings | None = None,
    share: float = 0.0,
) -> list[MeasurementState]:
    """One process for every case: adds to `raw`, or sets `error`. Returns the cases there was no memory for.

    Each process may lose up to `share` seconds to other work.
    """
    with ExitStack() as stack:
        workers = _start(cases, plan, stack, notify)
        loaded, left = _load(workers, random)
        turns = _BurstTurns(plan=plan, random=random, share=share, around=surroundings or Surroundings(patience=0.0))
        turns.take(loaded)
    return left


@dataclass(kw_only=True, eq=False)
class RunningWorker:
    """A case with its worker in this block."""

    case: MeasurementState
    worker: Worker
    notify: Notify
    seen: dict[str, Any] = field(default_factory=lambda: {"bursts": []})
    lost: float = 0.0  # s, to other work

    def finished(self, plan: Plan, share: float) -> bool:
        """Whether it has its clean time, or lost its share of patience and sampled as long all the same."""
        wanted = plan.sampled if self.case.sampled is None else self.case.sampled
        bursts = self.seen["bursts"]
        clean, every = (sum(b["seconds"] for b in kept) for kept in (filter(is_clean, bursts), bursts))
        return clean >= wanted or (every >= wanted and self.lost >= share)

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


def _start(cases: Sequence[MeasurementState], plan: Plan, stack: ExitStack, notify: Notify) -> list[RunningWorker]:
    """Starts every process; they import their runtimes side by side, for nothing is timed yet."""
    seats = []
    for case in cases:
        notify(case.job.name, "start")
        try:
            worker = stack.enter_context(Worker(case.job, plan))
            seats.append(RunningWorker(case=case, worker=worker, notify=notify))
        except WorkerError as problem:
            case.error = str(problem)
            notify(case.job.name, "error")
    return [seat for seat in seats if _ready(seat)]


def _ready(seat: RunningWorker) -> bool:
    try:
        seat.worker.ready()
    except WorkerError as problem:
        seat.fail(problem)
    return seat.case.error is None


def _load(
    seats: list[RunningWorker], random: np.random.Generator
) -> tuple[list[RunningWorker], list[MeasurementState]]:
    """Loads one after the other until half of the free memory is gone; at least one is loaded."""
    free = free_mib()
    loaded: list[RunningWorker] = []
    left: list[MeasurementState] = []
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


@dataclass(frozen=True, kw_only=True)
class _BurstTurns:
    """Bursts in turn, with how a disturbed machine is waited for."""

    plan: Plan
    random: np.random.Generator
    share: float
    around: Surroundings

    def take(self, seats: list[RunningWorker]) -> None:
        """A burst each, in a new order every time, until each has sampled enough."""
        while seats:
            for seat in _shuffled(seats, self.random):
                self._burst(seat)
            seats = [seat for seat in seats if seat.case.error is None]
            done = [seat for seat in seats if seat.finished(self.plan, self.share)]
            for seat in done:
                _close(seat)
            seats = [seat for seat in seats if seat not in done]

    def _burst(self, seat: RunningWorker) -> None:
        seat.lost += self.around.wait(self.share - seat.lost, seat.tell)
        seat.tell("burst")
        if (answer := seat.ask("burst", self.around.raised)) is not None:
            seat.lost += self.around.after(answer)
            seat.seen["bursts"].append(answer)


def _close(seat: RunningWorker) -> None:
    staged = any(process["stages_ms"] for process in seat.case.raw)
    if (answer := seat.ask("close", not staged)) is not None:
        seat.case.raw.append({**seat.seen, **answer})
        seat.worker.stop()
        seat.tell("done")


def _shuffled(seats: list[RunningWorker], random: np.random.Generator) -> list[RunningWorker]:
    return [seats[place] for place in random.permutation(len(seats))]
