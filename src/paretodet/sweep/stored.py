"""Measuring into a store: a row is committed before it is shown, an interrupted run goes on where it stopped."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from paretodet.bench.job import Job, Plan, Progress
from paretodet.bench.machine import facts, fingerprint, versions
from paretodet.bench.runner import measure
from paretodet.frontier.undecided import undecided
from paretodet.reading import sha256
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import job_key
from paretodet.records.store import Store
from paretodet.sweep.read import opened


def measure_into(
    store: Store,
    jobs: Sequence[Job],
    *,
    plan: Plan,
    first: Callable[[Job], Job] = lambda job: job,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Iterator[Measurement]:
    """The rows of a run: first those that an interrupted run of the same jobs, pictures, plan and versions left, then
    new ones. What `first` makes of a job is measured; jobs that have a row are spared it.
    """
    pictures = [_content(paths) for paths in dict.fromkeys(job.images for job in jobs)]
    asked = {
        "plan": asdict(plan),
        "jobs": [job.recipe for job in jobs],
        "pictures": pictures,
        "versions": versions(),
    }
    run = store.open_run(asked, machine=fingerprint(facts()))
    done = store.finished(run)
    yield from store.rows(run=run)
    left = [first(job) for job in jobs if job_key(job.name, job.recipe) not in done]
    for row in measure(left, plan=plan, run=run, matters=undecided, on_progress=on_progress) if left else ():
        store.append(row)
        yield row
    store.close_run(run)


def _content(paths: Sequence[Path]) -> str:
    return hashlib.sha256("".join(map(sha256, paths)).encode()).hexdigest()


def measure_once(
    target: str | Path, job: Job, *, plan: Plan, on_progress: Callable[[Progress], None] = lambda progress: None
) -> Measurement:
    """One new row, committed to the store; a file of JSON lines is only read, so there it is not kept."""
    (row,) = measure([job], plan=plan, on_progress=on_progress)
    if not str(target).endswith(".jsonl"):
        opened(target).append(row)
    return row
