"""Every checkpoint judged as it lies on the disk: its accuracy on images that are not learnt, and some drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from paretodet.bench.accuracy import results
from paretodet.bench.candidate import Candidate
from paretodet.data.draw import DRAWN_FROM, Found, draw
from paretodet.evaluation import coco
from paretodet.evaluation.coco import Scores
from paretodet.images import read_image
from paretodet.training.log import Tracker
from paretodet.training.loop import Event, Saved, Started

Row = dict[str, Any]


class Judged(NamedTuple):
    """A checkpoint and what it is worth; `masks` where it makes masks and the labels hold some."""

    step: int
    path: Path
    boxes: Scores
    masks: Scores | None

    @property
    def numbers(self) -> dict[str, float]:
        """What is known, by the names that `evaluate` uses."""
        masks = {} if self.masks is None else {f"mask_{name}": value for name, value in self.masks._asdict().items()}
        return {f"val/{name}": v for name, v in (self.boxes._asdict() | masks).items() if v is not None}


@dataclass(frozen=True, kw_only=True)
class Judging:
    """`done` of `total` images are judged."""

    step: int
    done: int
    total: int


@dataclass
class Judge:
    """A listener: scores checkpoints on `truth`, COCO's instances with absolute paths, and draws its first images into
    `folder`. `open_` makes a candidate of a checkpoint; `seen` are the steps judged before. `heard` is told of each,
    `listener` of each image.
    """

    open_: Callable[[Path], Candidate]
    truth: Row
    folder: Path
    trackers: Sequence[Tracker]
    seen: set[int]
    heard: Callable[[Judged], None]
    listener: Callable[[Judging], None]
    drawn: int = 6

    def __call__(self, event: Event) -> None:
        path = event.path if isinstance(event, Saved) else event.resumed if isinstance(event, Started) else None
        if path is not None and event.step not in self.seen:
            self._judge(event.step, path)

    def _judge(self, step: int, path: Path) -> None:
        candidate = self.open_(path)
        total = len(self.truth["images"])

        def hear(done: int) -> None:
            self.listener(Judging(step=step, done=done, total=total))

        rows = list(results(candidate, self.truth, Path(), on_image=hear))
        masks = [row for row in rows if "segmentation" in row]
        outlined = any(each.get("segmentation") for each in self.truth["annotations"])
        judged = Judged(
            step=step,
            path=path,
            boxes=coco.score(self.truth, rows),
            masks=coco.score(self.truth, masks, kind="segm") if masks and outlined else None,
        )
        self.seen.add(step)
        self._show(step, rows)
        for tracker in self.trackers:
            tracker.numbers(step, judged.numbers)
        self.heard(judged)

    def _show(self, step: int, rows: Sequence[Row]) -> None:
        names = {each["id"]: each["name"] for each in self.truth["categories"]}
        folder = self.folder / f"step-{step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        for image in self.truth["images"][: self.drawn]:
            found = [
                _found(row, names) for row in rows if row["image_id"] == image["id"] and row["score"] >= DRAWN_FROM
            ]
            drawn = draw(read_image(image["file_name"]), sorted(found, key=lambda each: -each.score))
            name = Path(image["file_name"]).stem
            drawn.save(folder / f"{name}.jpg", quality=90)
            for tracker in self.trackers:
                tracker.picture(step, f"samples/{name}", np.asarray(drawn))


def _found(row: Row, names: dict[int, str]) -> Found:
    x, y, width, height = row["bbox"]
    return Found(
        label=names[row["category_id"]],
        score=row["score"],
        box=(x, y, x + width, y + height),
        segmentation=row.get("segmentation"),
    )
