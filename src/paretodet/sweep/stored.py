"""Measuring into a store: a row is committed before it is shown, an interrupted run goes on where it stopped."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from paretodet.bench.compare import latest
from paretodet.bench.job import Job, Plan, Progress
from paretodet.bench.machine import facts, fingerprint, versions
from paretodet.bench.record import Measurement
from paretodet.bench.runner import measure
from paretodet.bench.seal import job_key
from paretodet.bench.store import Store
from paretodet.frontier.undecided import undecided
from paretodet.reading import sha256


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


def read_rows(target: str | Path, *, run: str | None = None) -> tuple[Measurement, ...]:
    """The newest row of everything in a store, or in a file of JSON lines; all of one run where it is given.

    Raises ValueError where there is none.
    """
    with _opened(target) as store:
        rows = store.rows()
    found = tuple(row for row in rows if row.run.startswith(run)) if run else latest(rows)
    if not found:
        raise ValueError(f"{target}: no rows{f' of a run {run!r}' if run else ''}; `paretodet measure` makes some")
    return found


def row_of(target: str | Path, prefix: str) -> Measurement:
    """The row whose id begins so. Raises LookupError with the nearest ids."""
    with _opened(target) as store:
        return store.get(prefix)


def measure_once(
    target: str | Path, job: Job, *, plan: Plan, on_progress: Callable[[Progress], None] = lambda progress: None
) -> Measurement:
    """One new row, committed to the store; a file of JSON lines is only read, so there it is not kept."""
    (row,) = measure([job], plan=plan, on_progress=on_progress)
    with _opened(target) as store:
        store.append(row)
    return row


@contextmanager
def _opened(target: str | Path) -> Iterator[Store]:
    """A store; a file of JSON lines is one for as long as the context lasts."""
    if "://" not in str(target) and not Path(target).exists():
        raise ValueError(f"{target}: no such store; `paretodet measure` makes one")
    if not str(target).endswith(".jsonl"):
        yield Store(target)
        return
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "rows.db")
        store.import_jsonl(target)
        yield store
