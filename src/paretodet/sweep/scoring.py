"""Measures the accuracy of an artifact on the user's labels, before the same artifact is timed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from paretodet.bench.accuracy import Accuracy, CocoResults, collect_results, score_results
from paretodet.bench.job import Job, Plan, Progress, ProgressReporter
from paretodet.bench.process import Worker, WorkerError
from paretodet.evaluation.ground_truth import GroundTruth
from paretodet.records.measurement import GAINS, published_fields


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
    """The job with all GAINS measured in a fresh process, next to the `published` accuracy fields of a row.

    Those of masks are measured if the candidate predicts masks and the labels contain some. The split is
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
        **{gain: _gain(accuracy, gain) for gain in GAINS},
        "ap_measured": True,
        "ap_split": _split(labels),
        "ap_source": f"measured here on {accuracy.images} images{skipped}",
    }
    return replace(mark_scored(job, labels), about=about)


def _gain(accuracy: Accuracy, name: str) -> float | None:
    """The score of a row's field: of masks for `mask_ap`, None without any."""
    of_masks = name.removeprefix("mask_")
    scores = accuracy.boxes if of_masks == name else accuracy.masks
    return getattr(scores, of_masks) if scores else None


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
