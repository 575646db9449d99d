"""Measures into a store: every row is committed before it is shown, and an interrupted run resumes where it stopped."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from paretodet.bench.job import Job, Plan, Progress
from paretodet.bench.machine import facts, fingerprint, versions
from paretodet.bench.runner import measure
from paretodet.errors import InputError
from paretodet.frontier.refinement import rows_to_refine
from paretodet.reading import sha256
from paretodet.records.location import is_lines
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import job_key
from paretodet.records.store import DEFAULT, Store
from paretodet.sweep.read import open_store
from paretodet.writing import held, sweep


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

    Raises InputError if another process is measuring the same run, which would measure it twice.
    """
    images = [content_hash(paths) for paths in dict.fromkeys(job.images for job in jobs)]
    request = {
        "plan": asdict(plan),
        "jobs": list(map(_request, jobs)),
        "pictures": images,  # the key under which older stores have an unfinished run
        "versions": versions(),
    }
    run = store.open_run(request, machine=fingerprint(facts()))
    with only_process(store, run):
        finished = store.finished(run)
        yield from store.rows(run=run)
        remaining = [prepare(job) for job in jobs if job_key(job.name, job.recipe) not in finished]
        if remaining:
            for row in measure(remaining, plan=plan, run=run, needs_more=rows_to_refine, on_progress=on_progress):
                store.append(row)
                yield row
        store.close_run(run)


def _request(job: Job) -> dict[str, Any]:
    """What is measured: a job that was not made of a name states nothing in its recipe."""
    if "name" in job.recipe:
        return job.recipe
    return {"name": job.name, "batch": job.batch, "threads": job.threads, **job.recipe}


@contextmanager
def only_process(store: Store, run: str) -> Iterator[None]:
    """Holds the lock of a run, next to a store that is a file. It ends with this process, even if that is killed.

    A store in PostgreSQL has the lock itself, so that of two machines with equal hardware one measures the run.
    """
    folder = store.file.parent if store.file else Path(tempfile.gettempdir())
    number = hashlib.sha256(run.encode()).hexdigest()[:32]
    busy = f"store: another process is measuring the same into {store.name}; wait until it ends, or name another store"
    sweep(folder)  # removes what killed processes left
    with held(folder / f".measure.{number}.run.lock", busy=busy, id="run-busy"), store.only_process(run) as alone:
        if not alone:
            raise InputError(busy, "run-busy")
        yield


def content_hash(paths: Sequence[Path]) -> str:
    return hashlib.sha256("".join(map(sha256, paths)).encode()).hexdigest()


def measure_once(
    target: str | Path, job: Job, *, plan: Plan, on_progress: Callable[[Progress], None] = lambda progress: None
) -> Measurement:
    """Measures one row and commits it to the store that `goes_to` names."""
    store = Store(goes_to(target)) if is_lines(target) else open_store(target)
    (row,) = measure([job], plan=plan, on_progress=on_progress)
    store.append(row)
    return row


def goes_to(target: str | Path) -> str | Path:
    """The store of a row that is measured beside those of `target`: the default one if that is a read-only file."""
    return DEFAULT if is_lines(target) else target
