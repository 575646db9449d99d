"""Accuracy measured on the user's labels, for the artefact that is timed, before it is timed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from paretodet.bench.accuracy import CocoResults, gathered, tally
from paretodet.bench.job import Job, Plan, Progress, ProgressReporter
from paretodet.bench.process import Worker, WorkerError
from paretodet.evaluation.ground_truth import GroundTruth


def to_score(job: Job, labels: GroundTruth) -> Job:
    """The job as it will be known once it is scored: told before, so that a run goes on without scoring again."""
    return replace(job, recipe=job.recipe | {"scored_on": _split(labels)})


def scored(
    job: Job,
    labels: GroundTruth,
    *,
    published: dict[str, Any],
    on_progress: Callable[[Progress], None] = lambda progress: None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Job:
    """The job with `ap` and `ap50` measured in a fresh process, and `published`, a row's accuracy fields, beside them.

    `mask_ap` and `mask_ap50` are measured where the candidate makes masks and the labels hold some. The split is the
    labels' name and the first 8 digits of their SHA-256. A candidate that fails on them has no accuracy, which `tell`
    hears: others are measured all the same.
    """
    known = {
        "published_ap": published.get("ap"),
        "published_ap50": published.get("ap50"),
        "published_split": published.get("ap_split"),
    }
    try:
        found = tally(_found(job, labels, ProgressReporter(job.name, "accuracy", len(labels.labels), on_progress)))
    except WorkerError as problem:
        tell(f"{job.name} has no accuracy on {labels.name}: {problem}")
        return replace(to_score(job, labels), about=known | {"ap_source": f"not measured: {problem}"})
    left_out = f", {len(found.skipped)} unreadable or of another size left out" if found.skipped else ""
    about = known | {
        "ap": found.boxes.ap,
        "ap50": found.boxes.ap50,
        "mask_ap": found.masks and found.masks.ap,
        "mask_ap50": found.masks and found.masks.ap50,
        "ap_measured": True,
        "ap_split": _split(labels),
        "ap_source": f"measured here on {found.images} images{left_out}",
    }
    return replace(to_score(job, labels), about=about)


def _split(labels: GroundTruth) -> str:
    return f"{labels.name}@{labels.sha256[:8]}"


def _found(job: Job, labels: GroundTruth, heard: ProgressReporter) -> CocoResults:
    truth = replace(labels.labels, folder=labels.labels.folder.resolve())
    with Worker(job, Plan()) as worker:
        worker.ready()
        return gathered(truth, lambda image: worker.ask("look", image, truth.categories)["seen"], on_image=heard)
