"""Whether two candidates detect the same: their boxes matched by overlap, image by image.

Letters: N detections of the reference, M of the other candidate. Boxes are matched one to one within a label, never by
their place in the list: nearly equal scores change places between two runtimes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from paretodet.bench.candidate import Candidate, Image
from paretodet.ops.geometry import iou
from paretodet.types import Detections

SAME = 0.5  # IoU from which two boxes that are not equal are one object, whose differences are reported
CLOSE = 0.75  # IoU of a box that agrees
AGREED_FROM = 0.3  # score from which a box counts in the agreement: those that `detect` draws
INSIDE = 0.5  # of a mask: from here on a cell is inside
COUNTERPART = 0.5  # a counterpart has at least this share of that score
AT_END = 0.01  # of a score: that near to the last one of a full list, rounding decides which boxes are in it


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far two detections may differ and still be equal."""

    score: float = 1e-3
    box: float = 1e-3  # of every side of a box, as a share of the longer side of its image
    mask: float = 1e-2  # of every cell


class Boxes(NamedTuple):
    """The detections of one image that are not empty slots."""

    boxes: np.ndarray  # [N, 4] px of the image
    scores: np.ndarray  # [N]
    labels: np.ndarray  # [N]
    masks: np.ndarray | None  # [N, M, M]
    is_full: bool  # whether every slot was used, so that a box of a lower score had no place


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A detection that one candidate has and the other has not."""

    image: str
    label: int
    score: float
    box: tuple[float, float, float, float]


@dataclass(kw_only=True)
class Comparison:
    """The differences between two candidates over all images so far."""

    images: int = 0
    detections: int = 0  # of the reference
    equal: int = 0  # of them with a counterpart within the tolerance of score and box
    matched: int = 0  # with the equal ones those whose counterpart differs
    at_cutoff: int = 0  # without a counterpart, with a score at which the list of the other one ends
    by_rounding: int = 0  # without one, that the reference itself gains or loses if its weights are rounded otherwise
    box: float = 0.0  # the largest difference of a side of matched boxes, as a share of the image's longer side
    score: float = 0.0
    mask: float | None = None  # of a cell
    missing: list[Lost] = field(default_factory=list)  # of the reference alone
    extra: list[Lost] = field(default_factory=list)  # of the other one alone
    agreed: int = 0  # boxes of both that agree, see `agreement`
    compared: int = 0  # those of both that score at least AGREED_FROM
    masks_agreed: int = 0  # masks of boxes of the reference that agree, whose IoU is at least CLOSE
    masks_compared: int = 0  # of those that score at least AGREED_FROM
    worst: str | None = None  # the image with the largest difference
    worst_size: float = 0.0  # of it, in tolerances
    pixels: Image | None = None  # that image

    @property
    def agreement(self) -> float | None:
        """The share of boxes of a score of at least AGREED_FROM, of both candidates, whose counterpart has the same
        label, an IoU of at least CLOSE and at least half of that score. Boxes that score as little as the last one of
        the other list, if that is full, do not count. None without such boxes.
        """
        return self.agreed / self.compared if self.compared else None

    @property
    def mask_agreement(self) -> float | None:
        """The share of masks that agree, of the boxes of the reference that do; None without masks."""
        return self.masks_agreed / self.masks_compared if self.masks_compared else None

    def is_equal(self, tolerance: Tolerance) -> bool:
        """Whether no box is lost and every difference is within the tolerance."""
        near = self.box <= tolerance.box and self.score <= tolerance.score and (self.mask or 0.0) <= tolerance.mask
        return near and not self.missing and not self.extra


def add_image(
    comparison: Comparison,
    reference: Boxes,
    other: Boxes,
    *,
    image: Image,
    name: str,
    tolerance: Tolerance,
    threshold: float | None = None,
    threshold_last: float | None = None,
    shown: bool = True,
    rounded: Callable[[], Sequence[Boxes]] = lambda: (),
) -> None:
    """Compares the detections of one image, called `name`, in pixels of it. One that is not `shown` is never the worst,
    unless it is the only one.

    `rounded` returns what the reference detects with weights that are rounded otherwise. A box without an equal is not
    lost if one of these lists lacks it too, and not extra if one has it: two boxes that suppress each other, and score
    the same up to rounding.

    `threshold` is the score up to which detections are dropped, `threshold_last` that of the last level if it has a
    lower one. A box without an equal is not lost if its score is within the tolerance of the one at which the other
    list ends: at the threshold, or in a full list at its last score.
    """
    side = max(image.shape[:2])
    equal = _equal(reference, other, side, tolerance)
    lowest = threshold if threshold_last is None else threshold_last
    ends = (_end(each, lowest) for each in (other, reference))
    alone = zip((reference, other), equal.T, ends, strict=True)
    left = [_above(boxes, rows, end, threshold, tolerance) for boxes, rows, end in alone]
    unequal = sum(map(len, left))
    others = rounded() if unequal else ()
    found = [[_rows_in(each, boxes, side, tolerance) for each in others] for boxes in (reference, other)]
    left[0] = np.array([row for row in left[0].tolist() if all(row in rows for rows in found[0])], np.int64)
    left[1] = np.array([row for row in left[1].tolist() if not any(row in rows for rows in found[1])], np.int64)
    by_rounding = unequal - sum(map(len, left))
    pairs = np.concatenate((equal, _near(reference, other, *left)))
    first, second = pairs.T
    missing, extra = np.setdiff1d(left[0], first).tolist(), np.setdiff1d(left[1], second).tolist()
    unpaired = len(reference.scores) + len(other.scores) - 2 * len(pairs)
    box = _largest(np.abs(reference.boxes[first] - other.boxes[second]) / side)
    score = _largest(np.abs(reference.scores[first] - other.scores[second]))
    mask = None
    if reference.masks is not None and other.masks is not None:
        apart = np.abs(reference.masks[first] - other.masks[second])
        mask = _largest(np.nan_to_num(apart, nan=1.0, posinf=1.0))  # as far as a mask can differ
        comparison.mask = max(comparison.mask or 0.0, mask)
    comparison.images += 1
    comparison.detections += len(reference.scores)
    comparison.equal += len(equal)
    comparison.matched += len(pairs)
    comparison.at_cutoff += unpaired - len(missing) - len(extra) - by_rounding
    comparison.by_rounding += by_rounding
    comparison.box, comparison.score = max(comparison.box, box), max(comparison.score, score)
    comparison.missing += [_named(reference, row, name) for row in missing]
    comparison.extra += [_named(other, row, name) for row in extra]
    add_agreement(comparison, reference, other)
    worst = max(box / tolerance.box, score / tolerance.score, (mask or 0.0) / tolerance.mask)
    worst = shown * (worst + 1000 * (len(missing) + len(extra)))
    if comparison.worst is None or worst > comparison.worst_size:
        comparison.worst, comparison.worst_size, comparison.pixels = name, worst, image


def detected(candidate: Candidate, images: Sequence[Image]) -> Detections:
    """The detections of one batch, in pixels of the images."""
    sizes = torch.tensor([image.shape[:2] for image in images], dtype=torch.float32)
    return candidate.finish(candidate.infer(candidate.prepare(list(images))), sizes)


def boxes_of(detections: Detections, index: int) -> Boxes:
    """The detections of image `index` of a batch."""
    used = detections.scores[index] > 0
    boxes, scores, labels, masks = (None if part is None else part[index][used].numpy() for part in detections)
    assert boxes is not None and scores is not None and labels is not None
    return Boxes(boxes, scores, labels, masks, bool(used.all()))


def _equal(reference: Boxes, other: Boxes, side: int, tolerance: Tolerance) -> np.ndarray:
    """[P, 2] rows of the reference and of the other that have one label, box and score within the tolerance."""
    same = reference.labels[:, None] == other.labels
    apart = np.abs(reference.boxes[:, None] - other.boxes).max(2, initial=0.0) / side
    scores = np.abs(reference.scores[:, None] - other.scores)
    return _greedy(np.where(same & (apart <= tolerance.box) & (scores <= tolerance.score), apart, np.inf))


def _rows_in(others: Boxes, boxes: Boxes, side: int, tolerance: Tolerance) -> set[int]:
    """The rows of `boxes` that have an equal among the others."""
    rows: list[int] = _equal(boxes, others, side, tolerance)[:, 0].tolist()
    return set(rows)


def _above(boxes: Boxes, paired: np.ndarray, end: float, threshold: float | None, tolerance: Tolerance) -> np.ndarray:
    """The rows without an equal that score more than `end`, where the list of the other candidate ends, and not as much
    as the threshold of some levels, give or take the tolerance.
    """
    alone = np.setdiff1d(np.arange(len(boxes.scores)), paired)
    scores, cut = boxes.scores[alone], np.inf if threshold is None else threshold
    return alone[(scores > end + tolerance.score) & (np.abs(scores - cut) > tolerance.score)]


def _near(reference: Boxes, other: Boxes, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[P, 2] pairs among the rows `first` of the reference and `second` of the other: one label, enough overlap."""
    overlap = _overlaps(reference, other)
    left = np.zeros(overlap.shape, bool)
    left[np.ix_(first, second)] = True
    same = left & (reference.labels[:, None] == other.labels) & (overlap >= SAME)
    return _greedy(np.where(same, 1 - overlap, np.inf))


def _greedy(costs: np.ndarray) -> np.ndarray:
    """[N, M] -> [P, 2] pairs by rising cost, each row and column once, none of infinite cost."""
    rows, columns = np.nonzero(np.isfinite(costs))
    order = np.argsort(costs[rows, columns], kind="stable")
    used_rows, used_columns, pairs = set[int](), set[int](), list[tuple[int, int]]()
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in used_rows and column not in used_columns:
            used_rows.add(row)
            used_columns.add(column)
            pairs.append((row, column))
    return np.array(pairs, np.int64).reshape(-1, 2)


def _overlaps(first: Boxes, second: Boxes) -> np.ndarray:
    """IoU [N, M]."""
    return iou(torch.from_numpy(first.boxes), torch.from_numpy(second.boxes)).numpy()


def _end(boxes: Boxes, threshold: float | None) -> float:
    """The score at which a list ends: boxes that score no more have no place in it."""
    last = float(boxes.scores.min()) if boxes.is_full and len(boxes.scores) else -np.inf
    return max(last, -np.inf if threshold is None else threshold)


def _named(boxes: Boxes, row: int, image: str) -> Lost:
    left, top, right, bottom = boxes.boxes[row].tolist()
    score, label = float(boxes.scores[row]), int(boxes.labels[row])
    return Lost(image=image, label=label, score=score, box=(left, top, right, bottom))


def closeness(reference: Boxes, other: Boxes) -> float:
    """The sum of the overlaps of the boxes that `agreement` counts with their best counterparts of the same label, each
    times the ratio of the two scores.
    """
    scores = np.maximum(np.stack(np.broadcast_arrays(reference.scores[:, None], other.scores)), 1e-6)
    close = _overlaps(reference, other) * (reference.labels[:, None] == other.labels) * scores.min(0) / scores.max(0)
    counted = ((boxes.scores >= AGREED_FROM, axis) for boxes, axis in ((reference, 1), (other, 0)))
    return sum(float(close.max(axis, initial=0.0)[rows].sum()) for rows, axis in counted)


def add_agreement(comparison: Comparison, reference: Boxes, other: Boxes) -> None:
    """Counts the boxes of each candidate that agree with one of the other."""
    overlap = _overlaps(reference, other)
    close = (reference.labels[:, None] == other.labels) & (overlap >= CLOSE)
    close &= (reference.scores[:, None] >= COUNTERPART * AGREED_FROM) & (other.scores >= COUNTERPART * AGREED_FROM)
    pairs = _greedy(np.where(close, 1 - overlap, np.inf))
    _add_masks(comparison, reference, other, pairs[reference.scores[pairs[:, 0]] >= AGREED_FROM])
    for boxes, rows, end in ((reference, pairs[:, 0], _end(other, None)), (other, pairs[:, 1], _end(reference, None))):
        counted = (boxes.scores >= AGREED_FROM) & (boxes.scores > end + AT_END)
        comparison.compared += int(counted.sum())
        comparison.agreed += int(counted[rows].sum())


def _add_masks(comparison: Comparison, reference: Boxes, other: Boxes, pairs: np.ndarray) -> None:
    """Counts the pairs of boxes whose masks agree: the cells of the one that are inside, and those of the other."""
    if reference.masks is None or other.masks is None:
        return
    first, second = reference.masks[pairs[:, 0]] >= INSIDE, other.masks[pairs[:, 1]] >= INSIDE
    both, either = (first & second).sum((1, 2)), (first | second).sum((1, 2))
    comparison.masks_compared += len(pairs)
    comparison.masks_agreed += int((both >= CLOSE * either).sum())


def _largest(values: np.ndarray) -> float:
    return float(values.max(initial=0.0))
