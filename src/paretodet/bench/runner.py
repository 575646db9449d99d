"""Fair turns: fresh processes spread over the run, one of them working at a time."""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from paretodet.bench.block import Case, run_block
from paretodet.bench.candidate import Image
from paretodet.bench.job import Job, Plan, Progress
from paretodet.bench.photographs import DRAWN, draw
from paretodet.bench.record import Measurement
from paretodet.bench.reference import Reference
from paretodet.bench.selftest import selftest
from paretodet.bench.summary import row
from paretodet.images import read_image

Listener = Callable[[Progress], None]


def measure(
    jobs: Sequence[Job],
    *,
    plan: Plan | None = None,
    resolution_pct: float | None = None,
    run: str | None = None,
    on_progress: Listener = lambda progress: None,
) -> Iterator[Measurement]:
    """Every job's row, handed over as soon as it is finished, so that an interruption keeps what there is.

    Jobs are taken in groups of `plan.group`; within a group every round gives each candidate one more fresh process,
    so that its processes are spread over the group's time. `until_pct` is looked at after whole rounds only.
    Without `resolution_pct` the self-test runs first. A candidate that fails becomes an error row; the run goes on.
    Raises `SelfTestError` where clock or machine cannot be trusted, ValueError for an image that cannot be read.
    """
    state = _Run(jobs, plan or Plan(), run or uuid.uuid4().hex[:12], on_progress)
    return state.rows(resolution_pct)


class _Run:
    """What a run knows while it goes on."""

    def __init__(self, jobs: Sequence[Job], plan: Plan, run: str, on_progress: Listener) -> None:
        self.plan, self.run, self.on_progress = plan, run, on_progress
        self.random = np.random.default_rng(plan.seed)
        seen: dict[object, list[Image]] = {}
        self.cases = [Case(job=job, images=_images(job, plan, seen)) for job in jobs]
        self.reference_images = draw(plan.seed, 1)

    def rows(self, resolution_pct: float | None) -> Iterator[Measurement]:
        if resolution_pct is None:
            resolution_pct = selftest(self.plan, self.notify).resolution_pct
        self.began = time.monotonic()
        for start in range(0, len(self.cases), self.plan.group):
            for case in self._group(self.cases[start : start + self.plan.group]):
                yield row(case, self.plan, run=self.run, resolution_pct=resolution_pct)

    def _group(self, cases: list[Case]) -> Iterator[Case]:
        """Rounds until nothing is left to measure; each case as it finishes."""
        while cases:
            self._round(cases)
            finished = [case for case in cases if case.finished(self.plan, time.monotonic() - self.began)]
            yield from finished
            cases = [case for case in cases if case not in finished]

    def _round(self, cases: list[Case]) -> None:
        """One fresh process for every case, block by block in random order."""
        waiting = [cases[place] for place in self.random.permutation(len(cases))]
        while waiting:
            blocks = -(-len(waiting) // self.plan.block)
            size = -(-len(waiting) // blocks)
            waiting = self._block(waiting[:size]) + waiting[size:]

    def _block(self, cases: list[Case]) -> list[Case]:
        """A block with the reference in it; what the reference took is written beside every process of the block."""
        reference = Case(job=Job(name=Reference.name, make=Reference), images=self.reference_images)
        before = [len(case.raw) for case in cases]
        left = run_block([reference, *cases], self.plan, self.random, self.notify)
        for case, had in zip(cases, before, strict=True):
            for process in case.raw[had:]:
                process["reference_ms"] = reference.medians[0] if reference.raw else None
        return [case for case in left if case is not reference]

    def notify(self, name: str, phase: str) -> None:
        """Tells the listener how far the run is."""
        done = sum(len(case.raw) for case in self.cases)
        total = sum(max(len(case.raw), case.wanted(self.plan)) for case in self.cases)
        left = (time.monotonic() - self.began) / done * (total - done) if done else None
        self.on_progress(Progress(name=name, phase=phase, done=done, total=total, left=left))


def _images(job: Job, plan: Plan, seen: dict[object, list[Image]]) -> list[Image]:
    """The first images of a job, as many as its batches can hold; read or drawn once for all jobs."""
    wanted = job.images[: DRAWN * job.batch]
    if wanted not in seen:
        seen[wanted] = [read_image(path) for path in wanted] if wanted else draw(plan.seed)
    return seen[wanted]
