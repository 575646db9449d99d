"""In place of the bench and of time: rows of made-up numbers at once, and a clock that only measurements advance."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from paretodet.bench.job import Job, Plan
from paretodet.bench.machine import facts, fingerprint, versions
from paretodet.frontier.searched import Configuration, SearchResult
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import job_key, with_id
from paretodet.records.store import Store
from paretodet.sweep.known import expected_rows, expected_seconds, features_of, kinds_of
from paretodet.sweep.searching import Search

SPEED = {"eager": 2e-8, "winograd": 1.5e-8}  # ms per multiply-add


class ToyBench:
    """Measures what `paretodet.searching.OneByOne` does. The work decides the latency, the runtime its speed.

    `change` alters a row before it is returned.
    """

    change: ClassVar[Callable[[Measurement], Measurement]] = staticmethod(lambda row: row)
    measured: ClassVar[list[str]] = []  # keys of jobs

    def __init__(self, jobs: Sequence[Job], *, plan: Plan, run: str, on_progress: Any) -> None:
        self.run = run

    def start(self) -> None:
        """There is no self-test."""

    def __call__(self, job: Job, *, patience: float, processes: int = 2) -> Measurement:
        self.measured.append(job_key(job.name, job.recipe))
        (known,) = expected_rows([job], {}, gain="ap", split=None)
        point = 3.0 + (known.macs or 1e9) * SPEED.get(known.runtime, 3e-8) * (0.9 if known.precision == "bf16" else 1)
        row = Measurement(
            id="",
            run=self.run,
            at=f"2030-01-01T00:00:00.{len(self.measured):06}+00:00",
            name=job.name,
            job=job.recipe,
            runtime=known.runtime,
            precision=known.precision,
            machine=fingerprint(facts()),
            machine_facts=facts(),
            versions=versions(),
            artefact=job_key(job.name, job.recipe),
            processes=processes,
            latency_ms_p50=point,
            latency_ms_p50_low=0.98 * point,
            latency_ms_p50_high=1.02 * point,
            memory_infer_mib=point / 2,
            threads=known.threads,
            macs=known.macs,
            **job.about,
        )
        return with_id(type(self).change(row))


class Clock:
    """Seconds that only measurements let pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def started(
    store: Store,
    jobs: list[Job],
    clock: Clock,
    *,
    minutes: float = 60.0,
    run: str = "of the search",
    estimates: bool = False,
    **more: Any,
) -> Search:
    rows = expected_rows(jobs, {}, gain="ap", split=None, estimates=estimates)
    empty = SearchResult(
        cost="latency_ms_p50",
        gain="ap",
        split="val",
        slack=0.0,
        configurations=tuple(Configuration(expected=row) for row in rows),
        features=features_of(rows),
        seconds=expected_seconds(rows, {}),
        kinds=kinds_of(rows),
    )
    return Search(jobs=jobs, empty=empty, store=store, run=run, budget=60 * minutes, began=clock(), clock=clock, **more)
