"""Fusion of several sources' detections on the same images: suppression over their union, or weighted box fusion.

Both work on final detections in host memory and drop masks. The result does not depend on the order of the sources:
their union is sorted by image, score, label and box first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from paretodet.ops.nms import nms
from paretodet.types import Detections


class Fusion(Protocol):
    """Detections [B, D, 4] of S sources, where D may differ -> detections of fixed capacity.

    `visible` [S, B, 4] is the part of an image, as a box, in which a source can detect objects, and `detects` [S, K]
    says which labels it has; None: the whole image, all labels.
    """

    def __call__(
        self, sources: Sequence[Detections], visible: Tensor | None = None, *, detects: Tensor | None = None
    ) -> Detections: ...


@dataclass(frozen=True, kw_only=True)
class Suppression:
    """Greedy non-maximum suppression within classes over the union; scores do not change."""

    overlap: float = 0.6  # as in the last stage of Huang et al.'s Faster R-CNN
    keep: int = 300

    def __post_init__(self) -> None:
        _check(self.overlap, self.keep)

    def __call__(
        self, sources: Sequence[Detections], visible: Tensor | None = None, *, detects: Tensor | None = None
    ) -> Detections:
        """A single source that was already suppressed at this overlap stays as it is."""
        union = slots(flat(sources), len(sources[0].scores), sum(source.scores.shape[1] for source in sources))
        kept = nms(union.boxes, union.scores, union.labels, overlap=self.overlap, keep=self.keep, threshold=0.0)
        return _picked(union, kept)


@dataclass(frozen=True, kw_only=True)
class BoxFusion:
    """Weighted box fusion (Solovyev et al. 2019, arXiv 1910.13302, section 3).

    In order of falling score, a box joins the cluster of its class whose fused box has the largest IoU with it, if that
    is above `overlap`; otherwise it starts a new cluster. A fused box is the mean of its T members weighted by score;
    its score is their mean score times min(T, N) / N, where N is the number of sources that can detect such an object
    there (`visible`, `detects`), at least one. Boxes that score at most `threshold` are ignored. The boxes of a single
    source are fused with each other as well.
    """

    overlap: float = 0.55  # the paper's best
    keep: int = 300
    threshold: float = 0.0

    def __post_init__(self) -> None:
        _check(self.overlap, self.keep)
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold: got {self.threshold}, allowed is 0..1")

    def __call__(
        self, sources: Sequence[Detections], visible: Tensor | None = None, *, detects: Tensor | None = None
    ) -> Detections:
        union = ordered(flat(sources, self.threshold))
        fused, members = clustered(union, self.overlap)
        votes = torch.ones(len(sources), len(members), dtype=torch.bool)
        if visible is not None:
            votes &= inside(fused.boxes, visible[:, fused.image])
        if detects is not None:
            votes &= detects[:, fused.labels]
        voters = votes.sum(0).clamp(min=1)
        scores = fused.scores * torch.minimum(members, voters) / voters
        return slots(fused._replace(scores=scores), len(sources[0].scores), self.keep)


class Flat(NamedTuple):
    """The filled slots of all images of a batch in one list of M rows."""

    image: Tensor  # [M] int64
    boxes: Tensor  # [M, 4] float64
    scores: Tensor  # [M] float64
    labels: Tensor  # [M] int64


def flat(sources: Sequence[Detections], threshold: float = 0.0) -> Flat:
    """All slots of all sources that score more than `threshold`."""
    parts = []
    for source in sources:
        image, slot = (source.scores > threshold).nonzero(as_tuple=True)
        boxes, scores = source.boxes[image, slot].double(), source.scores[image, slot].double()
        parts.append((image, boxes, scores, source.labels[image, slot]))
    return Flat(*(torch.cat(column) for column in zip(*parts, strict=True)))


def ordered(rows: Flat) -> Flat:
    """Rows sorted by image, falling score, label and box."""
    keys = (*rows.boxes.flip(1).unbind(1), rows.labels, -rows.scores, rows.image)
    order = torch.from_numpy(np.lexsort([key.numpy() for key in keys]))
    return Flat(*(column[order] for column in rows))


def slots(rows: Flat, batch: int, keep: int) -> Detections:
    """The best `keep` rows of every image, followed by empty slots."""
    rows = ordered(rows)
    place = torch.arange(len(rows.image)) - torch.searchsorted(rows.image, rows.image)
    best = place < keep
    at = rows.image[best], place[best]
    empty = Detections(
        torch.zeros(batch, keep, 4), torch.zeros(batch, keep), torch.zeros(batch, keep, dtype=torch.int64)
    )
    for column, values in zip(empty[:3], rows[1:], strict=True):
        column[at] = values[best].to(column.dtype)
    return empty


def clustered(rows: Flat, overlap: float) -> tuple[Flat, Tensor]:
    """Sorted rows -> fused rows with their mean scores, and the number of rows in every cluster [C].

    Images and classes are independent of each other, so one turn processes the next row of all of them.
    """
    if not len(rows.scores):
        return rows, rows.scores
    table, counts = _by_class(rows)
    boxes, scores = _planes(rows.boxes.numpy().T), rows.scores.numpy()
    weighted = np.concatenate([boxes[:4] * scores, scores[None], np.ones_like(scores)[None]])
    sums, used = np.zeros((6, *table.shape)), np.zeros(len(table), np.int64)
    fused = np.zeros((5, *table.shape))
    for turn, active in enumerate(counts):
        row, index = np.arange(active), table[:active, turn]
        shared = _overlaps(fused[:, :active, : used[:active].max() + 1], boxes[:, index, None])  # the last is empty
        best = shared.argmax(1)
        fresh = shared[row, best] <= overlap
        place = np.where(fresh, used[:active], best)
        used[:active] += fresh
        sums[:, row, place] += weighted[:, index]
        total = sums[:, row, place]
        fused[:, row, place] = _planes(total[:4] / total[4])
    full = np.nonzero(sums[5])
    first, kept = torch.from_numpy(table[full[0], 0]), torch.from_numpy(sums[:, full[0], full[1]])
    return Flat(rows.image[first], (kept[:4] / kept[4]).T, kept[4] / kept[5], rows.labels[first]), kept[5]


def _planes(boxes: np.ndarray) -> np.ndarray:
    """[4, A] -> [5, A], the last row being the area."""
    x1, y1, x2, y2 = boxes
    return np.stack([x1, y1, x2, y2, np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)])


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of planes [5, A, M] and [5, A, 1]; 0 if neither box has an area. Called often, so it has few operations."""
    width = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
    height = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
    common = np.maximum(width, 0) * np.maximum(height, 0)
    return common / np.maximum(a[4] + b[4] - common, np.finfo(np.float64).tiny)


def _by_class(rows: Flat) -> tuple[np.ndarray, np.ndarray]:
    """Row indices grouped by image and class, [groups, longest group], the longest group first, and the number of
    groups that have a row in every column.
    """
    keys = rows.image * (rows.labels.max() + 1) + rows.labels
    _, group, sizes = np.unique(keys.numpy(), return_inverse=True, return_counts=True)
    rank = np.argsort(np.argsort(-sizes, kind="stable"))[group]
    order = np.argsort(rank, kind="stable")
    place = np.arange(len(order)) - np.searchsorted(rank[order], rank[order])
    table = np.zeros((len(sizes), sizes.max()), np.int64)
    table[rank[order], place] = order
    return table, (np.sort(sizes)[:, None] > np.arange(table.shape[1])).sum(0)


def inside(boxes: Tensor, parts: Tensor) -> Tensor:
    """Whether boxes [..., 4] are inside `parts` [..., 4]."""
    return (boxes[..., :2] >= parts[..., :2]).all(-1) & (boxes[..., 2:] <= parts[..., 2:]).all(-1)


def _picked(union: Detections, kept: Tensor) -> Detections:
    empty, index = kept < 0, kept.clamp(min=0)
    boxes = union.boxes.gather(1, index[..., None].expand(-1, -1, 4)).masked_fill(empty[..., None], 0)
    scores, labels = (part.gather(1, index).masked_fill(empty, 0) for part in (union.scores, union.labels))
    return Detections(boxes, scores, labels)


def _check(overlap: float, keep: int) -> None:
    if not 0 <= overlap <= 1:
        raise ValueError(f"overlap: got {overlap}, allowed is 0..1")
    if keep < 1:
        raise ValueError(f"keep: got {keep}, at least 1 is needed")
