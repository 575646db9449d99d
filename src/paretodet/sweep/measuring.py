"""Measures into a store: every row is committed before it is shown, and an interrupted run resumes where it stopped."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from paretodet.bench.job import Job, Plan, Progress
from paretodet.bench.machine import facts, fingerprint, versions
from paretodet.bench.runner import measure
from paretodet.frontier.refinement import rows_to_refine
from paretodet.reading import sha256
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import job_key
from paretodet.records.store import Store
from paretodet.sweep.read import open_store


def measure_into(
    store: Store,
    jobs: Sequence[Job],
    *,
    plan: Plan,
    prepare: Callable[[Job], Job] = lambda job: job,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Iterator[Measurement]:
    """The rows of a run: first those of an interrupted run with the same jobs, images, plan and versions, then new
    ones. `prepare` is called for the jobs without a row; what it returns is measured.
    """
    images = [_content_hash(paths) for paths in dict.fromkeys(job.images for job in jobs)]
    request = {
        "plan": asdict(plan),
        "jobs": [job.recipe for job in jobs],
        "pictures": images,  # the key under which older stores have an unfinished run
        "versions": versions(),
    }
    run = store.open_run(request, machine=fingerprint(facts()))
    finished = store.finished(run)
    yield from store.rows(run=run)
    remaining = [prepare(job) for job in jobs if job_key(job.name, job.recipe) not in finished]
    refine = rows_to_refine
    for row in measure(remaining, plan=plan, run=run, needs_more=refine, on_progress=on_progress) if remaining else ():
        store.append(row)
        yield row
    store.close_run(run)


def _content_hash(paths: Sequence[Path]) -> str:
    return hashlib.sha256("".join(map(sha256, paths)).encode()).hexdigest()


def measure_once(
    target: str | Path, job: Job, *, plan: Plan, on_progress: Callable[[Progress], None] = lambda progress: None
) -> Measurement:
    """Measures one row and commits it to the store. A JSON Lines file is read-only: the row is not added to it."""
    (row,) = measure([job], plan=plan, on_progress=on_progress)
    if not str(target).endswith(".jsonl"):
        open_store(target).append(row)
    return row
