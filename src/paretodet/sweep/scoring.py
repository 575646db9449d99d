"""Measures the accuracy of an artifact on the user's labels, before the same artifact is timed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from paretodet.bench.accuracy import CocoResults, collect_results, score_results
from paretodet.bench.job import Job, Plan, Progress, ProgressReporter
from paretodet.bench.process import Worker, WorkerError
from paretodet.evaluation.ground_truth import GroundTruth
from paretodet.records.measurement import published_fields


def mark_scored(job: Job, labels: GroundTruth) -> Job:
    """The job with the split in its recipe, as `score_job` returns it: a resumed run then finds its finished rows."""
    return replace(job, recipe=job.recipe | {"scored_on": _split(labels)})


def score_job(
    job: Job,
    labels: GroundTruth,
    *,
    published: dict[str, Any],
    on_progress: Callable[[Progress], None] = lambda progress: None,
    notify: Callable[[str], None] = lambda message: None,
) -> Job:
    """The job with `ap` and `ap50` measured in a fresh process, next to the `published` accuracy fields of a row.

    `mask_ap` and `mask_ap50` are measured if the candidate predicts masks and the labels contain some. The split is
    the name of the labels and the first 8 digits of their SHA-256. If the candidate fails, the job has no accuracy,
    and `notify` receives the reason.
    """
    about = published_fields(published)
    reporter = ProgressReporter(job.name, "accuracy", len(labels.labels), on_progress)
    try:
        accuracy = score_results(_results(job, labels, reporter))
    except WorkerError as error:
        notify(f"{job.name} has no accuracy on {labels.name}: {error}")
        return replace(mark_scored(job, labels), about=about | {"ap_source": f"not measured: {error}"})
    skipped = f", {len(accuracy.skipped)} unreadable or of another size left out" if accuracy.skipped else ""
    about |= {
        "ap": accuracy.boxes.ap,
        "ap50": accuracy.boxes.ap50,
        "mask_ap": accuracy.masks and accuracy.masks.ap,
        "mask_ap50": accuracy.masks and accuracy.masks.ap50,
        "ap_measured": True,
        "ap_split": _split(labels),
        "ap_source": f"measured here on {accuracy.images} images{skipped}",
    }
    return replace(mark_scored(job, labels), about=about)


def _split(labels: GroundTruth) -> str:
    return f"{labels.name}@{labels.sha256[:8]}"


def _results(job: Job, labels: GroundTruth, reporter: ProgressReporter) -> CocoResults:
    truth = replace(labels.labels, folder=labels.labels.folder.resolve())
    with Worker(job, Plan(), reporter.report) as worker:
        worker.ready()
        return collect_results(
            truth,
            lambda image: worker.ask("detect", image, truth.categories)["results"],
            on_image=reporter,
        )
