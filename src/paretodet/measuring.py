"""Measures candidates by name: expands settings, reads images and labels, and keeps the rows in a store."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from paretodet.bench import runner
from paretodet.bench.job import Job, Plan, Progress
from paretodet.bench.synthetic_images import DRAWN
from paretodet.data.ground_truth import Instances, pictured
from paretodet.data.images import Photographs, photographs
from paretodet.opening import CandidateConfig, accuracy, check, job
from paretodet.records.measurement import Measurement
from paretodet.records.store import Store
from paretodet.sweep.grid import Variant, grid
from paretodet.sweep.scored import scored, to_score
from paretodet.sweep.stored import measure_into

ImageFiles = Path | str | Sequence[Path | str]
Listener = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is measured, on which images, and the labels that accuracy is measured on."""

    jobs: tuple[Job, ...]
    photographs: Photographs
    labels: Instances | None
    skipped: tuple[str, ...]  # a sentence for every image or label that cannot be used


def measure(
    candidates: Iterable[str | CandidateConfig | Job],
    *,
    images: ImageFiles | None = None,
    data: Path | str | None = None,
    split: str | None = None,
    image_root: Path | None = None,
    store: Store | Path | str | None = None,
    plan: Plan | None = None,
    on_progress: Listener = lambda progress: None,
    notify: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Measurement]:
    """Measures latency, memory and work of candidates on this machine, and yields each row when it is finished.

    A candidate is a name, a `CandidateConfig` with options, or a `Job` for code of your own. Latency is measured on
    `images`, a folder or files, by default on those that `photographs` finds. With `data`, labels in COCO's, Pascal
    VOC's or YOLO's format, AP is measured too, and the images are those of the labels. With a `store`, every row is
    committed before it is yielded, and an interrupted run continues. `notify` receives sentences for the user.

    Each candidate runs in fresh processes, which import the main module: call this under `if __name__ == "__main__"`.
    Raises ValueError for an unknown name or an unreadable input, SelfTestError if clock or machine are too unsteady.

    >>> import paretodet
    >>> (row,) = paretodet.measure(["ssd-mobilenet_v1-300"], images="photo.jpg", store="measured.db")
    >>> row.latency_ms_p50 > 0, row.ap, row.ap_split
    (True, 18.8, 'test-dev')
    """
    setup = set_up(candidates, images=images, data=data, split=split, image_root=image_root)
    return run(setup, store=store, plan=plan or Plan(), on_progress=on_progress, notify=notify)


def expand(
    names: Iterable[str],
    *,
    weights: Path | None = None,
    proposals: Sequence[int] = (),
    sizes: Sequence[tuple[int, int]] = (),
    scores: Sequence[float] = (),
    **setting: Any,
) -> tuple[CandidateConfig, ...]:
    """Every candidate at every combination of the listed values. `setting` are further fields of `CandidateConfig`.

    Raises UnknownName with the nearest names, ValueError if no candidate has proposals and some are listed.
    """
    configs = [CandidateConfig(name=check(name), weights=weights).resolved() for name in names]
    variants = [Variant(name=each.name, weights=each.weights) for each in configs]
    every = grid(variants, proposals=proposals, sizes=sizes, scores=scores)
    return tuple(CandidateConfig(**vars(variant), **setting) for variant in every)


def set_up(
    candidates: Iterable[str | CandidateConfig | Job],
    *,
    images: ImageFiles | None = None,
    data: Path | str | None = None,
    split: str | None = None,
    image_root: Path | None = None,
) -> Setup:
    """Reads images and labels, and makes a job of every candidate. Raises ValueError as `measure` does."""
    every = [CandidateConfig(name=check(each)) if isinstance(each, str) else each for each in candidates]
    labels = pictured(data, split=split, images=image_root) if data else None
    batch = max((each.batch for each in every), default=1)
    found = photographs(labels.files if labels else images, limit=DRAWN * batch)
    jobs = [each if isinstance(each, Job) else job(each, images=found.paths) for each in every]
    return Setup(
        jobs=tuple(to_score(each, labels) if labels else each for each in jobs),
        photographs=found,
        labels=labels,
        skipped=(*(labels.skipped if labels else ()), *found.skipped),
    )


def run(
    setup: Setup,
    *,
    store: Store | Path | str | None,
    plan: Plan,
    on_progress: Listener = lambda progress: None,
    notify: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Measurement]:
    """Measures the jobs of a setup. See `measure`."""
    first = partial(_scored, setup.labels, on_progress=on_progress, tell=notify)
    if store is None:
        return runner.measure([first(each) for each in setup.jobs], plan=plan, on_progress=on_progress)
    kept = store if isinstance(store, Store) else Store(store, tell=notify)
    return measure_into(kept, setup.jobs, plan=plan, first=first, on_progress=on_progress)


def _scored(labels: Instances | None, job: Job, **callbacks: Any) -> Job:
    """The job with its AP on the labels, if there are any."""
    return job if labels is None else scored(job, labels, published=accuracy(job.name), **callbacks)
