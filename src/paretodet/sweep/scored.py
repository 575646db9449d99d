"""Accuracy measured on the user's labels, for the artefact that is timed, before it is timed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from paretodet.bench.job import Job, Plan, Progress
from paretodet.bench.process import Worker, WorkerError
from paretodet.data.instances import Instances

DAY = 86_400.0  # s: a whole validation set of a slow detector is no hang


def scored(
    job: Job,
    labels: Instances,
    *,
    published: dict[str, Any],
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Job:
    """The job with `ap` and `ap50` measured in a fresh process, and `published`, a row's accuracy fields, beside them.

    `mask_ap` and `mask_ap50` are measured where the candidate makes masks and the labels hold some. The split is the
    labels' name and the first 8 digits of their SHA-256. Raises ValueError where the candidate fails on them.
    """
    split = f"{labels.name}@{labels.sha256[:8]}"
    on_progress(Progress(name=job.name, phase="accuracy", done=0, total=0, left=None))
    found = _found(job, labels)
    left_out = f", {len(found['skipped'])} of another size left out" if found["skipped"] else ""
    about = {
        "ap": found["ap"],
        "ap50": found["ap50"],
        "mask_ap": found.get("mask_ap"),
        "mask_ap50": found.get("mask_ap50"),
        "ap_measured": True,
        "ap_split": split,
        "ap_source": f"measured here on {found['images']} images{left_out}",
        "published_ap": published.get("ap"),
        "published_ap50": published.get("ap50"),
        "published_split": published.get("ap_split"),
    }
    return replace(job, about=about, recipe=job.recipe | {"scored_on": split})


def _found(job: Job, labels: Instances) -> dict[str, Any]:
    try:
        with Worker(job, Plan(timeout=DAY)) as worker:
            worker.ready()
            return worker.ask("accuracy", labels.truth, labels.folder.resolve())
    except WorkerError as problem:
        raise ValueError(f"{job.name} on {labels.name}: {problem}") from None
