"""Fair turns: fresh processes spread over the run, one of them working at a time."""

import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from paretodet.bench.block import MeasurementState, run_block
from paretodet.bench.candidate import Image
from paretodet.bench.job import Job, Plan, Progress
from paretodet.bench.process import preload
from paretodet.bench.reference import Reference
from paretodet.bench.selftest import selftest
from paretodet.bench.summary import row
from paretodet.bench.surroundings import Surroundings
from paretodet.bench.synthetic_images import DRAWN, draw
from paretodet.images import read_image
from paretodet.records.measurement import Measurement
from paretodet.records.statistics import half_pct

Listener = Callable[[Progress], None]
Matters = Callable[[Sequence[Measurement], float], Collection[str]]
REFERENCE_S = 0.3  # sampled time of the reference candidate in a block


def wide(rows: Sequence[Measurement], until_pct: float) -> set[str]:
    """Ids of the rows whose interval is wider than asked for: half of it in percent, on the log scale."""
    return {row.id for row in rows if half_pct(row) > until_pct}


def measure(
    jobs: Sequence[Job],
    *,
    plan: Plan | None = None,
    resolution_pct: float | None = None,
    run: str | None = None,
    matters: Matters = wide,
    on_progress: Listener = lambda progress: None,
) -> Iterator[Measurement]:
    """Every job's row, handed over as soon as it is finished, so that an interruption keeps what there is.

    Jobs are taken in groups of `plan.group`; within a group every round gives each candidate one more process, so that
    its processes are spread over the group's time. After whole rounds `matters` is asked, with all rows of the run as
    they are then and `plan.until_pct`, for the ids of those whose interval is still too wide; these go on.
    Without `resolution_pct` the self-test runs first. A candidate that fails becomes an error row; the run goes on.
    Raises `SelfTestError` where clock or machine cannot be trusted, ValueError for an image that cannot be read.
    """
    state = _RunState(jobs, plan or Plan(), run or uuid.uuid4().hex[:12], matters, on_progress)
    return state.rows(resolution_pct)


class _RunState:
    """What a run knows while it goes on."""

    def __init__(self, jobs: Sequence[Job], plan: Plan, run: str, matters: Matters, on_progress: Listener) -> None:
        self.plan, self.run, self.matters, self.on_progress = plan, run, matters, on_progress
        self.random = np.random.default_rng(plan.seed)
        seen: dict[object, list[Image]] = {}
        self.cases = [MeasurementState(job=job, images=_images(job, plan, seen)) for job in jobs]
        self.reference_images = draw(plan.seed, 1)
        self.around = Surroundings(patience=plan.patience)
        self.done: list[Measurement] = []
        preload(jobs)

    def rows(self, resolution_pct: float | None) -> Iterator[Measurement]:
        if resolution_pct is None:
            resolution_pct = selftest(self.plan, self.notify).resolution_pct
        self.began, self.resolution_pct = time.monotonic(), resolution_pct
        for start in range(0, len(self.cases), self.plan.group):
            yield from self._group(self.cases[start : start + self.plan.group])

    def _group(self, cases: list[MeasurementState]) -> Iterator[Measurement]:
        """Rounds until nothing is left to measure; each row as it is finished."""
        waiting = cases
        while cases:
            self._round(waiting)
            waiting = [case for case in cases if len(case.raw) < case.wanted(self.plan)]
            if waiting:
                continue
            now = {id(case): self._row(case) for case in cases}
            ids = self.matters([*self.done, *now.values()], self.plan.until_pct)
            spent = time.monotonic() - self.began
            waiting = [case for case in cases if now[id(case)].id in ids and not case.enough(self.plan, spent)]
            over = [now[id(case)] for case in cases if case not in waiting]
            self.done += over
            yield from over
            cases = waiting

    def _row(self, case: MeasurementState) -> Measurement:
        return row(case, self.plan, run=self.run, resolution_pct=self.resolution_pct)

    def _round(self, cases: list[MeasurementState]) -> None:
        """One fresh process for every case, block by block in random order."""
        waiting = [cases[place] for place in self.random.permutation(len(cases))]
        while waiting:
            blocks = -(-len(waiting) // self.plan.block)
            size = -(-len(waiting) // blocks)
            waiting = self._block(waiting[:size]) + waiting[size:]

    def _block(self, cases: list[MeasurementState]) -> list[MeasurementState]:
        """A block with the reference in it; what the reference took is written beside every process of the block."""
        job = Job(name=Reference.name, make=Reference)
        reference = MeasurementState(job=job, images=self.reference_images, sampled=REFERENCE_S)
        before = [len(case.raw) for case in cases]
        share = self.around.share(self._processes_left() + 1)
        left = run_block(
            [reference, *cases], self.plan, self.random, self.notify, surroundings=self.around, share=share
        )
        for case, had in zip(cases, before, strict=True):
            for process in case.raw[had:]:
                process.update(_reference(reference))
        return [case for case in left if case is not reference]

    def _processes_left(self) -> int:
        return sum(max(0, case.wanted(self.plan) - len(case.raw)) for case in self.cases)

    def notify(self, name: str, phase: str) -> None:
        """Tells the listener how far the run is."""
        done, to_come = sum(len(case.raw) for case in self.cases), self._processes_left()
        left = (time.monotonic() - self.began) / done * to_come if done else None
        self.on_progress(Progress(name=name, phase=phase, done=done, total=done + to_come, left=left))


def _reference(case: MeasurementState) -> dict[str, float | None]:
    """What the reference candidate took in a block, as a whole and for its copy of memory."""
    if not case.raw:
        return {"reference_ms": None, "reference_stream_ms": None}
    stages = case.raw[0]["stages_ms"] or {}
    stream = float(np.median(stages["stream"])) if "stream" in stages else None
    return {"reference_ms": case.medians[0], "reference_stream_ms": stream}


def _images(job: Job, plan: Plan, seen: dict[object, list[Image]]) -> list[Image]:
    """The first images of a job, as many as its batches can hold; read or drawn once for all jobs."""
    wanted = job.images[: DRAWN * job.batch]
    if wanted not in seen:
        seen[wanted] = [read_image(path) for path in wanted] if wanted else draw(plan.seed)
    return seen[wanted]
