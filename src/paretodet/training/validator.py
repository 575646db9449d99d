"""Validation of checkpoints as they are on disk: accuracy on validation images, and drawings of some of them."""

import hashlib
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from paretodet.bench.accuracy import (
    Accuracy,
    CocoResults,
    category_ids,
    collect_results,
    detect_image,
    label_names,
    score_results,
)
from paretodet.bench.candidate import Candidate
from paretodet.images import read_image
from paretodet.labels.model import Labels
from paretodet.media.draw import MIN_DRAWN_SCORE, draw, mark_drawings
from paretodet.media.draw import LabeledBox as Item
from paretodet.training.log import Tracker
from paretodet.training.loop import Event, Saved, Started

Row = dict[str, Any]
MAX_NAME = 200  # bytes of a sample's file name: file systems allow 255, and a suffix is added


class ValidationResult(NamedTuple):
    """The accuracy of a checkpoint."""

    step: int
    path: Path
    accuracy: Accuracy

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics that have a value, with the names that `evaluate` uses."""
        boxes, masks = self.accuracy.boxes._asdict(), self.accuracy.masks
        mask_metrics = {} if masks is None else {f"mask_{name}": value for name, value in masks._asdict().items()}
        return {f"val/{name}": value for name, value in (boxes | mask_metrics).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class ValidationProgress:
    """`done` of `total` images are validated."""

    step: int
    done: int
    total: int


@dataclass(kw_only=True)
class Validator:
    """A listener of the training loop: scores checkpoints on `ground_truth`, and draws samples into `folder`.

    An image that cannot be read, or whose size is not the labeled one, is left out.
    """

    open_checkpoint: Callable[[Path], Candidate]
    ground_truth: Labels
    folder: Path
    trackers: Sequence[Tracker]
    validated: set[int]  # updates whose checkpoints were validated before
    on_result: Callable[[ValidationResult], None]
    on_progress: Callable[[ValidationProgress], None]
    max_samples: int = 6
    is_due: Callable[[int], bool] = lambda step: True  # whether the checkpoint of an update is validated

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):  # later updates are made again
            self.validated = {step for step in self.validated if step <= event.step}
        path = event.path if isinstance(event, Saved) else event.resumed if isinstance(event, Started) else None
        if path is not None and event.step not in self.validated and self.is_due(event.step):
            self._validate(event.step, path)

    def _validate(self, step: int, path: Path) -> None:
        candidate, total = self.open_checkpoint(path), len(self.ground_truth)
        ids = category_ids(label_names(candidate, None), self.ground_truth.categories)

        def on_image(done: int) -> None:
            self.on_progress(ValidationProgress(step=step, done=done, total=total))

        results = collect_results(
            self.ground_truth, lambda image: detect_image(candidate, image, ids), on_image=on_image
        )
        result = ValidationResult(step, path, score_results(results))
        self.validated.add(step)
        self._draw_samples(step, results)
        self.on_result(result)
        for tracker in self.trackers:  # last: after a crash before this, the checkpoint is validated again
            tracker.scalars(step, result.metrics)

    def _draw_samples(self, step: int, results: CocoResults) -> None:
        categories = sorted(results.truth.categories.items())
        labels = {key: (number, name) for number, (key, name) in enumerate(categories)}
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            mark_drawings(self.folder)
        folder = self.folder / f"step-{step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        images = [results.truth.image(index) for index in range(min(self.max_samples, len(results.truth)))]
        files = [image.name for image in images]
        for image in images:
            rows = [row for row in results.rows if row["image_id"] == image.key and row["score"] >= MIN_DRAWN_SCORE]
            drawn = draw(read_image(image.file), [_item(row, labels) for row in rows])
            name = sample_name(image.name, files)
            drawn.save(folder / f"{name}.jpg", quality=90)
            for tracker in self.trackers:
                tracker.image(step, f"samples/{name}", np.asarray(drawn))


def sample_name(file_name: str, others: Collection[str] = ()) -> str:
    """A flat name for the drawing of an image whose file name may have folders, or be absolute.

    It ends in a hash if it is too long, or if one of the `others` would get the same name.
    """
    name = _flat(file_name)
    encoded = os.fsencode(name)
    if len(encoded) <= MAX_NAME and all(_flat(other) != name for other in others if other != file_name):
        return name
    suffix = "-" + hashlib.sha256(os.fsencode(file_name)).hexdigest()[:8]
    return encoded[len(suffix) - MAX_NAME :].decode(errors="ignore") + suffix


def _flat(file_name: str) -> str:
    path = Path(file_name)
    return "-".join(path.relative_to(path.anchor).with_suffix("").parts)


def _item(row: Row, labels: dict[int, tuple[int, str]]) -> Item:
    x, y, width, height = row["bbox"]
    number, label = labels[row["category_id"]]
    return Item(
        label=label,
        number=number,
        score=row["score"],
        box=(x, y, x + width, y + height),
        segmentation=row.get("segmentation"),
    )
