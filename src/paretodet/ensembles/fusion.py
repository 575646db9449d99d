"""Several answers to the same images made one: suppression over their union, or weighted box fusion.

Both run on finished detections in host memory. Masks are left out. The order of the sources never matters: their
union is put in one order, by image, score, label and box, before anything is decided.
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
    """Detections [B, D, 4] of S sources, each with its own D -> one answer of fixed capacity.

    `sight` [S, B, 4] are the parts of the images, as boxes, in which each source tells of objects, and `knows` [S, K]
    the labels of which it does; None: all of them.
    """

    def __call__(
        self, found: Sequence[Detections], sight: Tensor | None = None, *, knows: Tensor | None = None
    ) -> Detections: ...


@dataclass(frozen=True, kw_only=True)
class Suppression:
    """Greedy suppression within classes over the union: the best box of each pile with its own score."""

    overlap: float = 0.6  # as the last stage of Huang et al.'s Faster R-CNN
    keep: int = 300

    def __post_init__(self) -> None:
        _check(self.overlap, self.keep)

    def __call__(
        self, found: Sequence[Detections], sight: Tensor | None = None, *, knows: Tensor | None = None
    ) -> Detections:
        """Exact for one source whose own suppression was as strict; scores stay as they are."""
        union = slots(flat(found), len(found[0].scores), sum(each.scores.shape[1] for each in found))
        kept = nms(union.boxes, union.scores, union.labels, overlap=self.overlap, keep=self.keep, threshold=0.0)
        return _picked(union, kept)


@dataclass(frozen=True, kw_only=True)
class BoxFusion:
    """Weighted box fusion (Solovyev et al. 2019, arXiv 1910.13302, section 3).

    By falling score, a box joins the cluster of its class whose fused box it overlaps most, if their IoU is above
    `overlap`, else it founds one. A fused box is its members' mean weighted by score, its score their mean score times
    min(T, N) / N for T members and N sources, so that what few have seen counts less. Of N only sources count that
    tell of such objects there (`sight`, `knows`), at least one. Boxes that score no more than `threshold` take no part.
    Even a single source's boxes are fused with each other.
    """

    overlap: float = 0.55  # the paper's best
    keep: int = 300
    threshold: float = 0.0

    def __post_init__(self) -> None:
        _check(self.overlap, self.keep)
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold: got {self.threshold}, allowed is 0..1")

    def __call__(
        self, found: Sequence[Detections], sight: Tensor | None = None, *, knows: Tensor | None = None
    ) -> Detections:
        union = ordered(flat(found, self.threshold))
        fused, members = clustered(union, self.overlap)
        votes = torch.ones(len(found), len(members), dtype=torch.bool)
        if sight is not None:
            votes &= inside(fused.boxes, sight[:, fused.image])
        if knows is not None:
            votes &= knows[:, fused.labels]
        voters = votes.sum(0).clamp(min=1)
        scores = fused.scores * torch.minimum(members, voters) / voters
        return slots(fused._replace(scores=scores), len(found[0].scores), self.keep)


class Flat(NamedTuple):
    """The filled slots of a batch, one after another."""

    image: Tensor  # [M] int64
    boxes: Tensor  # [M, 4] float64
    scores: Tensor  # [M] float64
    labels: Tensor  # [M] int64


def flat(found: Sequence[Detections], threshold: float = 0.0) -> Flat:
    """All slots of all sources that score more than `threshold`."""
    parts = []
    for each in found:
        image, slot = (each.scores > threshold).nonzero(as_tuple=True)
        parts.append(
            (image, each.boxes[image, slot].double(), each.scores[image, slot].double(), each.labels[image, slot])
        )
    return Flat(*(torch.cat(column) for column in zip(*parts, strict=True)))


def ordered(rows: Flat) -> Flat:
    """By image, then falling score, then label, then box."""
    keys = (*rows.boxes.flip(1).unbind(1), rows.labels, -rows.scores, rows.image)
    order = torch.from_numpy(np.lexsort([key.numpy() for key in keys]))
    return Flat(*(column[order] for column in rows))


def slots(rows: Flat, batch: int, keep: int) -> Detections:
    """The best `keep` of each image, empty slots behind them."""
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
    """Ordered rows -> fused rows with mean scores, and how many rows each holds [C].

    Images and classes are independent of each other, so all of them take their next row in the same turn.
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
    found = Flat(rows.image[first], (kept[:4] / kept[4]).T, kept[4] / kept[5], rows.labels[first])
    return found, kept[5]


def _planes(boxes: np.ndarray) -> np.ndarray:
    """[4, A] -> with area, [5, A]."""
    x1, y1, x2, y2 = boxes
    return np.stack([x1, y1, x2, y2, np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)])


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of planes [5, A, M] and [5, A, 1], 0 where neither has area. Turns are many, so operations are few."""
    width = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
    height = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
    common = np.maximum(width, 0) * np.maximum(height, 0)
    return common / np.maximum(a[4] + b[4] - common, np.finfo(np.float64).tiny)


def _by_class(rows: Flat) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rows of each image and class in their order, [groups, longest], the longest first, and how many
    groups have a row at each place.
    """
    keys = rows.image * (rows.labels.max() + 1) + rows.labels
    _, group, sizes = np.unique(keys.numpy(), return_inverse=True, return_counts=True)
    rank = np.argsort(np.argsort(-sizes, kind="stable"))[group]
    order = np.argsort(rank, kind="stable")
    place = np.arange(len(order)) - np.searchsorted(rank[order], rank[order])
    table = np.zeros((len(sizes), sizes.max()), np.int64)
    table[rank[order], place] = order
    return table, (np.sort(sizes)[:, None] > np.arange(table.shape[1])).sum(0)


def inside(boxes: Tensor, sight: Tensor) -> Tensor:
    """Whether boxes [..., 4] lie in the parts [..., 4]."""
    return (boxes[..., :2] >= sight[..., :2]).all(-1) & (boxes[..., 2:] <= sight[..., 2:]).all(-1)


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
