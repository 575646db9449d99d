"""Rows of results beside the labeled objects of their images, whatever either is called."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paretodet.evaluation.fields import Row, has_box, score_of
from paretodet.labels.model import Labels
from paretodet.labels.overlaps import paired_overlaps

AT = 0.5  # IoU from which a row lies on an object
TRIED, PAIRS = 100_000, 1_000_000  # are enough: of more rows or pairs, those of some images are taken
MOST = 100  # rows of an image


@dataclass(frozen=True, kw_only=True, eq=False)
class Beside:
    """P pairs: of every image its best-scored rows, as many as it has objects, each beside every object."""

    rows: np.ndarray  # [P] place of the row
    objects: np.ndarray  # [P] place of the object in the labels
    boxes: np.ndarray  # [P, 4] float64 the numbers of the row's box
    truth: np.ndarray  # [P, 4] float64 the object's x, y, width, height px
    scores: np.ndarray  # [P] float64 of the row

    def overlaps(self, boxes: np.ndarray | None = None) -> np.ndarray:
        """[P] IoU; `boxes` are x, y, width, height in place of the rows' own."""
        placed = self.boxes if boxes is None else boxes
        return paired_overlaps(placed, self.truth, np.zeros(len(placed), bool))

    @property
    def tried(self) -> int:
        """How many rows there are."""
        return len(np.unique(self.rows))


def beside(
    rows: Sequence[Row], labels: Labels, images: Sequence[int | None] | None = None, *, most: int = PAIRS
) -> Beside:
    """`images` are the ids of the rows' images, in place of those that they have. Rows without a box or an image with
    objects are left out.
    """
    keys = [row.get("image_id") for row in rows] if images is None else images
    places = {key: place for place, key in enumerate(labels.keys.tolist())}
    owners = np.array([places.get(key, -1) if type(key) is int else -1 for key in keys], np.int64)
    counts, known = np.diff(labels.offsets), np.flatnonzero(owners >= 0)
    known = known[_some(owners[known], -(-len(known) // TRIED))]
    boxed = known[[has_box(rows[place]) for place in known.tolist()]]
    best = _best(boxed, owners[boxed], np.array([score_of(rows[place]) for place in boxed.tolist()]), counts)
    best = best[_some(owners[best], -(-int(counts[owners[best]].sum()) // most))]
    boxes = np.array([rows[place]["bbox"] for place in best.tolist()], np.float64).reshape(-1, 4)
    scores = np.array([score_of(rows[place]) for place in best.tolist()])
    objects, pairs = _all_of(labels.offsets[owners[best]], counts[owners[best]])
    return Beside(
        rows=best[pairs], objects=objects, boxes=boxes[pairs], truth=labels.xywh[objects], scores=scores[pairs]
    )


def _some(owners: np.ndarray, step: int) -> np.ndarray:
    """bool: which rows are of every n-th image; all if `step` is 0 or 1."""
    chosen: np.ndarray = np.unique(owners, return_inverse=True)[1] % max(1, step) == 0
    return chosen


def _best(rows: np.ndarray, owners: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The rows by image and falling score, of each image as many as it has objects."""
    order = np.lexsort((-scores, owners))
    ranks = np.arange(len(order)) - np.searchsorted(owners[order], owners[order])
    best: np.ndarray = rows[order[ranks < np.minimum(counts[owners[order]], MOST)]]
    return best


def _all_of(starts: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers from each start, as many as it counts, and for each number the place of its start."""
    pairs = np.repeat(np.arange(len(counts)), counts)
    return np.arange(len(pairs)) - (np.cumsum(counts) - counts)[pairs] + starts[pairs], pairs
