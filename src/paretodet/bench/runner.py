"""Measures jobs in fresh processes that are spread over the run; one of them works at a time."""

import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np

from paretodet.bench.block import MeasurementState, run_block
from paretodet.bench.candidate import Image
from paretodet.bench.disturbance_policy import DisturbancePolicy, waiting_phase
from paretodet.bench.job import Job, Plan, Progress
from paretodet.bench.process import Worker, WorkerError, preload, thread_count
from paretodet.bench.reference import Reference
from paretodet.bench.selftest import selftest
from paretodet.bench.summary import make_row
from paretodet.bench.synthetic_images import IMAGE_COUNT, draw_images
from paretodet.images import read_image
from paretodet.records.measurement import Measurement
from paretodet.records.roofline import Ceilings
from paretodet.records.statistics import half_pct

Listener = Callable[[Progress], None]
NeedsMore = Callable[[Sequence[Measurement], float], Collection[str]]
MAX_WAIT = 1.0  # s for a quiet moment, before the ceilings are measured
REFERENCE_S = 0.3  # sampled time of the reference candidate in a block


def wide_rows(rows: Sequence[Measurement], until_pct: float) -> set[str]:
    """Ids of the rows for which half of the interval, in percent on the log scale, is wider than `until_pct`."""
    return {row.id for row in rows if half_pct(row) > until_pct}


def measure(
    jobs: Sequence[Job],
    *,
    plan: Plan | None = None,
    resolution_pct: float | None = None,
    run: str | None = None,
    needs_more: NeedsMore = wide_rows,
    on_progress: Listener = lambda progress: None,
) -> Iterator[Measurement]:
    """Yields every job's row as soon as it is finished, so that an interruption loses no finished row.

    Jobs are measured in groups of `plan.group`; in a group every round measures one more process per candidate, which
    spreads a candidate's processes over the time of the group. After the first rounds `needs_more` is called with all
    rows of the run so far and `plan.until_pct`; it returns the ids of the rows that need another process. Without
    `resolution_pct` the self-test runs first, and the machine's ceilings are measured for the rows. A candidate that
    fails becomes an error row, and the run continues. Raises `SelfTestError` if the clock cannot be trusted, ValueError
    if an image cannot be read.
    """
    preload(job for job in jobs if job.refused is None)
    state = _RunState(jobs, plan or Plan(), run or uuid.uuid4().hex[:12], needs_more, on_progress)
    state.with_ceilings = resolution_pct is None
    return state.rows(resolution_pct)


class OneByOne:
    """Measures any of `jobs` when it is called with it, all in one run.

    `start` runs the self-test, which comes before the first measurement. The machine's ceilings are measured once.
    Raises what `measure` raises.
    """

    def __init__(self, jobs: Sequence[Job], *, plan: Plan, run: str, on_progress: Listener) -> None:
        self._plan, self._run, self._on_progress = plan, run, on_progress
        self._resolution_pct: float | None = None
        self._ceilings: dict[tuple[str, int], Ceilings | None] = {}
        preload(job for job in jobs if job.refused is None)

    def start(self) -> None:
        """Runs the self-test of clock and machine, once."""
        if self._resolution_pct is None:
            self._resolution_pct = selftest(self._plan, self._state([], 0.0, 2).notify).resolution_pct

    def __call__(self, job: Job, *, patience: float, processes: int) -> Measurement:
        """The row of a job over this many processes, whose measurement may lose `patience` seconds to other work."""
        self.start()
        (row,) = self._state([job], patience, processes).rows(self._resolution_pct)
        return row

    def _state(self, jobs: Sequence[Job], patience: float, processes: int) -> "_RunState":
        counts = dict.fromkeys(("processes", "slow_processes", "max_processes"), processes)
        plan = replace(self._plan, patience=patience, **counts)
        state = _RunState(jobs, plan, self._run, wide_rows, self._on_progress)
        state.ceilings = self._ceilings
        return state


class _RunState:
    """The state of a run."""

    def __init__(self, jobs: Sequence[Job], plan: Plan, run: str, needs_more: NeedsMore, on_progress: Listener) -> None:
        self.plan, self.run, self.needs_more, self.on_progress = plan, run, needs_more, on_progress
        self.random = np.random.default_rng(plan.seed)
        cache: dict[object, list[Image]] = {}
        self.states = [MeasurementState(job=job, images=_images(job, plan, cache), error=job.refused) for job in jobs]
        self.reference_images = draw_images(plan.seed, 1)
        self.policy = DisturbancePolicy(patience=plan.patience)
        self.finished: list[Measurement] = []
        self.ceilings: dict[tuple[str, int], Ceilings | None] = {}  # by device and number of threads
        self.with_ceilings = True

    def rows(self, resolution_pct: float | None) -> Iterator[Measurement]:
        if resolution_pct is None:
            resolution_pct = selftest(self.plan, self.notify).resolution_pct
        self.start, self.resolution_pct = time.monotonic(), resolution_pct
        for first in range(0, len(self.states), self.plan.group):
            yield from self._group(self.states[first : first + self.plan.group])

    def _group(self, states: list[MeasurementState]) -> Iterator[Measurement]:
        """Measures rounds until no state needs more processes; yields each row when it is finished."""
        remaining = [state for state in states if state.error is None]
        while states:
            self._round(remaining)
            remaining = [state for state in states if len(state.raw) < state.min_processes(self.plan)]
            if remaining:
                continue
            rows = {id(state): self._row(state) for state in states}
            ids = self.needs_more([*self.finished, *rows.values()], self.plan.until_pct)
            elapsed = time.monotonic() - self.start
            remaining = [s for s in states if rows[id(s)].id in ids and not s.is_final(self.plan, elapsed)]
            finished = [rows[id(state)] for state in states if state not in remaining]
            self.finished += finished
            yield from finished
            states = remaining

    def _row(self, state: MeasurementState) -> Measurement:
        ceilings = self._ceilings(state) if self.with_ceilings and state.raw else None
        return make_row(state, self.plan, run=self.run, resolution_pct=self.resolution_pct, ceilings=ceilings)

    def _ceilings(self, state: MeasurementState) -> Ceilings | None:
        """Of the job's device with its threads, measured when they are first needed: then no candidate is loaded."""
        key = (state.raw[0]["facts"]["device"], thread_count(state.job))
        if key not in self.ceilings:
            self.policy.wait(MAX_WAIT, lambda *busy: self.notify(state.job.name, waiting_phase(*busy)))
            self.ceilings[key] = ceilings_of(*key, self.plan)
        return self.ceilings[key]

    def _round(self, states: list[MeasurementState]) -> None:
        """Measures one fresh process per state, block by block in random order."""
        remaining = [states[index] for index in self.random.permutation(len(states))]
        while remaining:
            blocks = -(-len(remaining) // self.plan.block)
            size = -(-len(remaining) // blocks)
            remaining = self._block(remaining[:size]) + remaining[size:]

    def _block(self, states: list[MeasurementState]) -> list[MeasurementState]:
        """Measures a block together with the reference, whose times are added to every process of the block."""
        job = Job(name=Reference.name, make=Reference)
        reference = MeasurementState(job=job, images=self.reference_images, sampled=REFERENCE_S)
        counts = [len(state.raw) for state in states]
        max_loss = self.policy.share(self._remaining_processes() + 1)
        postponed = run_block(
            [reference, *states], self.plan, self.random, self.notify, policy=self.policy, max_loss=max_loss
        )
        for state, count in zip(states, counts, strict=True):
            for process in state.raw[count:]:
                process.update(_reference_times(reference))
        return [state for state in postponed if state is not reference]

    def _remaining_processes(self) -> int:
        return sum(max(0, state.min_processes(self.plan) - len(state.raw)) for state in self.states)

    def notify(self, name: str, phase: str) -> None:
        """Sends the progress of the run to the listener."""
        done, remaining = sum(len(state.raw) for state in self.states), self._remaining_processes()
        left = (time.monotonic() - self.start) / done * remaining if done else None
        self.on_progress(Progress(name=name, phase=phase, done=done, total=done + remaining, left=left))


def ceilings_of(device: str, threads: int, plan: Plan) -> Ceilings | None:
    """The machine's ceilings, measured in a process of their own; None if that fails."""
    job = Job(name="ceilings", make=Reference, threads=threads)
    try:
        with Worker(job, plan) as worker:
            worker.ready()
            return worker.ask("ceilings", device)["ceilings"] or None
    except WorkerError:
        return None


def _reference_times(state: MeasurementState) -> dict[str, float | None]:
    """The time of the reference candidate in a block, in total and for its copy of memory."""
    if not state.raw:
        return {"reference_ms": None, "reference_stream_ms": None}
    stages = state.raw[0]["stages_ms"] or {}
    stream = float(np.median(stages["stream"])) if "stream" in stages else None
    return {"reference_ms": state.medians[0], "reference_stream_ms": stream}


def _images(job: Job, plan: Plan, cache: dict[object, list[Image]]) -> list[Image]:
    """`images_of`, read or drawn once for all jobs."""
    paths = job.images[: IMAGE_COUNT * job.batch]
    if paths not in cache:
        cache[paths] = images_of(job, plan)
    return cache[paths]


def images_of(job: Job, plan: Plan) -> list[Image]:
    """As many of a job's images as its batches can hold. Raises ValueError if one cannot be read."""
    paths = job.images[: IMAGE_COUNT * job.batch]
    return [read_image(path) for path in paths] if paths else draw_images(plan.seed)
