"""Measures candidates by name: expands settings, reads images and labels, and keeps the rows in a store."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from paretodet.bench import runner
from paretodet.bench.job import Job, Plan, Progress
from paretodet.bench.synthetic_images import IMAGE_COUNT
from paretodet.config import CandidateConfig
from paretodet.evaluation.ground_truth import GroundTruth, check_inputs, read_ground_truth
from paretodet.media.photographs import Photographs, photographs
from paretodet.opening import job, refused_job
from paretodet.records.measurement import Measurement
from paretodet.records.store import Store
from paretodet.sources.table import check, published_accuracy, resolved
from paretodet.sweep.executions import executions
from paretodet.sweep.grid import grid
from paretodet.sweep.measuring import measure_into
from paretodet.sweep.scoring import mark_scored, score_job

ImageFiles = Path | str | Sequence[Path | str]
Subject = str | Path | CandidateConfig | Job
Listener = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is measured, on which images, and the labels that accuracy is measured on."""

    jobs: tuple[Job, ...]
    photographs: Photographs
    labels: GroundTruth | None
    skipped: tuple[str, ...]  # a sentence for every image or label that cannot be used

    @property
    def measured(self) -> tuple[Job, ...]:
        """The jobs that can run on this machine."""
        return tuple(job for job in self.jobs if job.refused is None)


def measure(
    candidates: Subject | Iterable[Subject],
    *,
    images: ImageFiles | None = None,
    data: Path | str | None = None,
    split: str | None = None,
    image_root: Path | str | None = None,
    store: Store | Path | str | None = None,
    plan: Plan | None = None,
    on_progress: Listener = lambda progress: None,
    notify: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Measurement]:
    """Measures latency, memory and work of candidates on this machine, and yields each row when it is finished.

    A candidate is a name, a `CandidateConfig` with options, or a `Job` for code of your own; `candidates` may be one
    alone. Latency is measured on `images`, a folder or files, by default on those that `photographs` finds; a `Job` has
    its own. With `data`, labels in any supported format, AP is measured too, and the images are those of
    the labels. With a `store`, every row is committed before it is yielded, and an interrupted run continues. `notify`
    receives sentences for the user.

    Each candidate runs in fresh processes, which import the main module: call this under `if __name__ == "__main__"`.
    Raises ValueError for an unknown name, an input that cannot be read or that would have no effect (`images` beside
    `data`), SelfTestError if the clock of this machine cannot be trusted.

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
    proposals: Sequence[int] = (),
    sizes: Sequence[tuple[int, int]] = (),
    scores: Sequence[float] = (),
    runtimes: Sequence[str] = (),
    precisions: Sequence[str] = (),
    calibration: Path | None = None,
    notify: Callable[[str], None] = lambda sentence: None,
    **options: Any,
) -> tuple[CandidateConfig | Job, ...]:
    """Every candidate at every combination of the listed values. `options` are further fields of `CandidateConfig`.

    `runtimes` and `precisions` may be ("all",): those that can run a candidate on this machine. `calibration` is a
    folder of images for those in int8. What cannot run is a job whose row is an error, and `notify` receives a sentence
    for every reason. Raises UnknownName with the nearest names, ValueError if no candidate has proposals and some are
    listed, and what `executions` raises.
    """
    configs = [resolved(CandidateConfig(name=check(name), **options)) for name in names]
    listed = grid(configs, proposals=proposals, sizes=sizes, scores=scores)
    expanded = executions(listed, runtimes=runtimes, precisions=precisions, calibration=calibration)
    for sentence in expanded.left_out:
        notify(f"Not measured: {sentence}.")
    return *expanded.configs, *(refused_job(refusal.config, refusal.error) for refusal in expanded.refused)


def set_up(
    candidates: Subject | Iterable[Subject],
    *,
    images: ImageFiles | None = None,
    data: Path | str | None = None,
    split: str | None = None,
    image_root: Path | str | None = None,
    only_trained: bool = False,
) -> Setup:
    """Reads images and labels, and makes a job of every candidate.

    With `only_trained`, the labels score only candidates whose weights are files, and latency is measured on `images`.
    Raises ValueError as `measure` does.
    """
    check_inputs(images, data, split, image_root)
    every = [_checked(each) for each in several(candidates)]
    labels = read_ground_truth(data, split=split, images=image_root) if data else None
    batch = max((each.batch for each in every), default=1)
    found = photographs(labels.files if labels and not only_trained else images, limit=IMAGE_COUNT * batch)
    jobs = [_job(each, found.paths) for each in every]
    return Setup(
        jobs=tuple(
            mark_scored(each, labels) if labels and (each.recipe.get("weights") or not only_trained) else each
            for each in jobs
        ),
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
    first = partial(_scored, setup.labels, on_progress=on_progress, notify=notify)
    if store is None:
        return runner.measure([first(each) for each in setup.jobs], plan=plan, on_progress=on_progress)
    kept = store if isinstance(store, Store) else Store(store, notify=notify)
    return measure_into(kept, setup.jobs, plan=plan, prepare=first, on_progress=on_progress)


def several(candidates: Subject | Iterable[Subject]) -> Iterable[Subject]:
    """The candidates, of which one alone may be given."""
    return [candidates] if isinstance(candidates, str | Path | CandidateConfig | Job) else candidates


def _checked(candidate: Subject) -> CandidateConfig | Job:
    """Raises UnknownName or ValueError if the name can stand for nothing."""
    if isinstance(candidate, Job):
        return candidate
    config = candidate if isinstance(candidate, CandidateConfig) else CandidateConfig(name=str(candidate))
    check(config.name)
    return config


def _job(candidate: CandidateConfig | Job, images: tuple[Path, ...]) -> Job:
    if not isinstance(candidate, Job):
        return job(candidate, images=images)
    return replace(candidate, images=images) if candidate.refused else candidate


def _scored(labels: GroundTruth | None, job: Job, **callbacks: Any) -> Job:
    """The job with its AP on the labels, if it is marked as scored on them and can run."""
    if labels is None or job.refused or "scored_on" not in job.recipe:
        return job
    stated = job.about.keys() & {"ap", "published_ap"} and not job.about.get("ap_measured")
    published = job.about if stated else published_accuracy(job.name)
    return score_job(job, labels, published=published, **callbacks)
