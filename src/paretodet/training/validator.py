"""Every checkpoint judged as it lies on the disk: its accuracy on images that are not learned, and some drawn."""

import hashlib
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from paretodet.bench.accuracy import Accuracy, CocoResults, category_ids, gathered, look, names, tally
from paretodet.bench.candidate import Candidate
from paretodet.images import read_image
from paretodet.labels.model import Labels
from paretodet.media.draw import DRAWN_FROM, draw
from paretodet.media.draw import LabeledBox as Item
from paretodet.training.log import Tracker
from paretodet.training.loop import Event, Saved, Started

Row = dict[str, Any]
LONGEST = 200  # bytes of a drawing's name: file systems allow 255, and an ending comes after it


class ValidationResult(NamedTuple):
    """A checkpoint and what it is worth."""

    step: int
    path: Path
    accuracy: Accuracy

    @property
    def numbers(self) -> dict[str, float]:
        """What is known, by the names that `evaluate` uses."""
        boxes, masks = self.accuracy.boxes._asdict(), self.accuracy.masks
        outlines = {} if masks is None else {f"mask_{name}": value for name, value in masks._asdict().items()}
        return {f"val/{name}": value for name, value in (boxes | outlines).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class ValidationProgress:
    """`done` of `total` images are judged."""

    step: int
    done: int
    total: int


@dataclass
class Validator:
    """A listener: scores checkpoints on `truth` and draws the first ones into
    `folder`. An image that cannot be read, or is of another size than its labels say, is left out.

    `open_` makes a candidate of a checkpoint; `seen` are the steps judged before, `due` are those to judge. `heard` is
    told of each checkpoint, `listener` of each image.
    """

    open_: Callable[[Path], Candidate]
    truth: Labels
    folder: Path
    trackers: Sequence[Tracker]
    seen: set[int]
    heard: Callable[[ValidationResult], None]
    listener: Callable[[ValidationProgress], None]
    drawn: int = 6
    due: Callable[[int], bool] = lambda step: True

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):  # what came after the checkpoint is forgotten everywhere
            self.seen = {step for step in self.seen if step <= event.step}
        path = event.path if isinstance(event, Saved) else event.resumed if isinstance(event, Started) else None
        if path is not None and event.step not in self.seen and self.due(event.step):
            self._judge(event.step, path)

    def _judge(self, step: int, path: Path) -> None:
        candidate, total = self.open_(path), len(self.truth)
        ids = category_ids(names(candidate, None), self.truth.categories)

        def hear(done: int) -> None:
            self.listener(ValidationProgress(step=step, done=done, total=total))

        found = gathered(self.truth, lambda image: look(candidate, image, ids), on_image=hear)
        judged = ValidationResult(step, path, tally(found))
        self.seen.add(step)
        self._show(step, found)
        self.heard(judged)
        for tracker in self.trackers:  # the last: where a crash comes before, the checkpoint is judged again
            tracker.numbers(step, judged.numbers)

    def _show(self, step: int, found: CocoResults) -> None:
        called = {key: (number, name) for number, (key, name) in enumerate(sorted(found.truth.categories.items()))}
        folder = self.folder / f"step-{step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        images = [found.truth.image(index) for index in range(min(self.drawn, len(found.truth)))]
        files = [image.name for image in images]
        for image in images:
            rows = [row for row in found.rows if row["image_id"] == image.key and row["score"] >= DRAWN_FROM]
            drawn = draw(read_image(image.file), [_item(row, called) for row in rows])
            name = drawn_as(image.name, files)
            drawn.save(folder / f"{name}.jpg", quality=90)
            for tracker in self.trackers:
                tracker.picture(step, f"samples/{name}", np.asarray(drawn))


def drawn_as(file_name: str, others: Collection[str] = ()) -> str:
    """A name of its own for an image's drawing, whatever folders, even a root, its own has. It ends in a hash where it
    is too long, or one of the `others` would be called the same.
    """
    name = _joined(file_name)
    written = os.fsencode(name)
    if len(written) <= LONGEST and all(_joined(other) != name for other in others if other != file_name):
        return name
    ending = "-" + hashlib.sha256(os.fsencode(file_name)).hexdigest()[:8]
    return written[len(ending) - LONGEST :].decode(errors="ignore") + ending


def _joined(file_name: str) -> str:
    path = Path(file_name)
    return "-".join(path.relative_to(path.anchor).with_suffix("").parts)


def _item(row: Row, called: dict[int, tuple[int, str]]) -> Item:
    x, y, width, height = row["bbox"]
    number, label = called[row["category_id"]]
    return Item(
        label=label,
        number=number,
        score=row["score"],
        box=(x, y, x + width, y + height),
        segmentation=row.get("segmentation"),
    )
