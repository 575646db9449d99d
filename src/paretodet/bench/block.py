"""A block: a few candidates are loaded at the same time and measured in random order, one at a time."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from paretodet.bench.bursts import headline_samples, is_clean
from paretodet.bench.candidate import Image
from paretodet.bench.disturbance_policy import DisturbancePolicy, waiting_phase
from paretodet.bench.job import Job, Plan
from paretodet.bench.memory import free_mib, ran_out_of_memory
from paretodet.bench.process import Worker, WorkerError
from paretodet.records.roofline import LayerWork

Notify = Callable[[str, str], None]  # (name of the job, phase); called between bursts only


@dataclass(kw_only=True, eq=False)
class MeasurementState:
    """A job and what its processes have measured. `sampled` replaces the plan's sampled time per process."""

    job: Job
    images: Sequence[Image]
    sampled: float | None = None
    raw: list[dict[str, Any]] = field(default_factory=list)
    layers: tuple[LayerWork, ...] = ()
    error: str | None = None

    @property
    def medians(self) -> list[float]:
        """The median of each process that counts, ms."""
        return [float(np.median(samples)) for samples in headline_samples(self.raw)]

    def min_processes(self, plan: Plan) -> int:
        """The number of processes to measure before the interval is considered; no further one after an error."""
        if self.error is not None:
            return len(self.raw)
        is_slow = bool(self.raw) and float(np.median(self.medians)) > 1000 * plan.slow_call
        return plan.slow_processes if is_slow else plan.processes

    def is_final(self, plan: Plan, elapsed: float) -> bool:
        """Whether no further round may follow, `elapsed` seconds after the start of the run."""
        over_budget = plan.budget is not None and elapsed > plan.budget
        return over_budget or self.error is not None or len(self.raw) >= plan.max_processes


def run_block(
    states: Sequence[MeasurementState],
    plan: Plan,
    random: np.random.Generator,
    notify: Notify,
    *,
    policy: DisturbancePolicy | None = None,
    max_loss: float = 0.0,
) -> list[MeasurementState]:
    """Measures one process per state: appends to `raw` or sets `error`. Returns the states that did not fit in memory.

    Each process may lose up to `max_loss` seconds to other processes of the machine. If memory runs out in a process
    while others are loaded, its state is measured again alone, because the others may be the cause.
    """
    policy = policy or DisturbancePolicy(patience=0.0)
    with ExitStack() as stack:
        started = _start(states, plan, stack, notify)
        loaded, postponed = _load([running for running in started if not running.has_failed], random)
        _BurstScheduler(plan=plan, random=random, max_loss=max_loss, policy=policy).run(loaded)
    for state in [running.state for running in started if running.has_failed and running.state.error is None]:
        run_block([state], plan, random, notify, policy=policy, max_loss=max_loss)
    return postponed


@dataclass(kw_only=True, eq=False)
class RunningWorker:
    """A worker of this block, and the state that its measurements are added to."""

    state: MeasurementState
    worker: Worker
    notify_job: Notify
    has_company: bool  # whether others are loaded too
    has_failed: bool = False
    record: dict[str, Any] = field(default_factory=lambda: {"bursts": []})
    lost: float = 0.0  # s, to other processes

    def is_finished(self, plan: Plan, max_loss: float) -> bool:
        """Whether it has its clean time; or has lost `max_loss` and sampled as long in clean and disturbed bursts."""
        wanted = plan.sampled if self.state.sampled is None else self.state.sampled
        bursts = self.record["bursts"]
        clean, total = (sum(b["seconds"] for b in some) for some in (filter(is_clean, bursts), bursts))
        return clean >= wanted or (total >= wanted and self.lost >= max_loss)

    def ask(self, command: str, *args: Any) -> dict[str, Any] | None:
        """The answer; None after an error, as in `fail`."""
        try:
            return self.worker.ask(command, *args)
        except WorkerError as error:
            self.fail(error)
            return None

    def fail(self, error: WorkerError) -> None:
        """Ends the worker. The error is that of the state, unless memory ran out and others are loaded."""
        self.has_failed = True
        self.worker.stop()
        if not (self.has_company and ran_out_of_memory(str(error))):
            self.state.error = str(error)
            self.notify("error")

    def notify_busy(self, name: str, load: float) -> None:
        """Remembers which process uses how much of a core while the worker waits."""
        waited = self.record.setdefault("waited_for", {})
        waited[name] = round(waited.get(name, 0.0) + load, 3)
        self.notify(waiting_phase(name, load))

    def notify(self, phase: str) -> None:
        self.notify_job(self.state.job.name, phase)


def _start(states: Sequence[MeasurementState], plan: Plan, stack: ExitStack, notify: Notify) -> list[RunningWorker]:
    """Starts all processes. They import their runtimes concurrently, because nothing is timed yet."""
    workers = []
    for state in states:
        notify(state.job.name, "start")
        try:
            worker = stack.enter_context(Worker(state.job, plan, partial(notify, state.job.name)))
            has_company = len(states) > 1
            workers.append(RunningWorker(state=state, worker=worker, notify_job=notify, has_company=has_company))
        except WorkerError as error:
            state.error = str(error)
            notify(state.job.name, "error")
    for running in workers:
        try:
            running.worker.ready()
        except WorkerError as error:
            running.fail(error)
    return workers


def _load(
    workers: list[RunningWorker], random: np.random.Generator
) -> tuple[list[RunningWorker], list[MeasurementState]]:
    """Loads one after the other until half of the free memory is used; at least one is loaded."""
    free = free_mib()
    loaded: list[RunningWorker] = []
    postponed: list[MeasurementState] = []
    for running in _shuffled(workers, random):
        if loaded and free_mib() < free / 2:
            running.worker.stop()
            postponed.append(running.state)
            continue
        running.notify("load")
        facts = running.state.raw[0]["facts"] if running.state.raw else None
        if (answer := running.ask("load", running.state.images, facts)) is not None:
            running.state.layers = answer.pop("layers", ()) or running.state.layers
            running.record.update(answer)
            loaded.append(running)
    return loaded, postponed


@dataclass(frozen=True, kw_only=True)
class _BurstScheduler:
    """Runs bursts of several workers in turn, and waits if other processes disturb them."""

    plan: Plan
    random: np.random.Generator
    max_loss: float
    policy: DisturbancePolicy

    def run(self, workers: list[RunningWorker]) -> None:
        """One burst each, in a new random order every time, until every worker is finished."""
        while workers:
            for running in _shuffled(workers, self.random):
                self._burst(running)
            workers = [running for running in workers if not running.has_failed]
            finished = [running for running in workers if running.is_finished(self.plan, self.max_loss)]
            for running in finished:
                _close(running)
            workers = [running for running in workers if running not in finished]

    def _burst(self, running: RunningWorker) -> None:
        running.lost += self.policy.wait(self.max_loss - running.lost, running.notify_busy)
        running.notify("burst")
        if (answer := running.ask("burst", self.policy.use_priority)) is not None:
            running.lost += self.policy.record(answer)
            running.record["bursts"].append(answer)


def _close(running: RunningWorker) -> None:
    has_stages = any(process["stages_ms"] for process in running.state.raw)
    if (answer := running.ask("close", not has_stages)) is not None:
        running.state.raw.append({**running.record, **answer})
        running.worker.stop()
        running.notify("done")


def _shuffled(workers: list[RunningWorker], random: np.random.Generator) -> list[RunningWorker]:
    return [workers[index] for index in random.permutation(len(workers))]
