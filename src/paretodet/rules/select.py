"""Post-processing: from all decoded boxes and scores to a fixed number of detections."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from paretodet.ops.geometry import clip
from paretodet.ops.nms import nms
from paretodet.ops.top import top
from paretodet.types import Detections

LIMITS = ("keep", "candidates", "candidates_per_level", "candidates_per_class", "keep_per_class", "keep_per_level")


def at_least(overlap: float) -> float:
    """The threshold that suppresses IoU >= `overlap`, as some sources do, instead of IoU > `overlap`: the next lower
    float32.
    """
    limit = torch.tensor(overlap, dtype=torch.float32)
    return torch.nextafter(limit, torch.zeros_like(limit)).item()


@dataclass(frozen=True, kw_only=True)
class PostProcess:
    """Score threshold, candidate limits, greedy suppression, detection limits; all counts are fixed.

    Candidates are boxes with a score above `threshold` (-inf: all) and both sides at least `min_size` px, limited to
    the best `candidates` of the image, `candidates_per_level` of each level or `candidates_per_class` of each class.
    Small boxes are removed before the candidates are limited, as in py-faster-rcnn; with `candidates_per_level`
    afterwards, as in Detectron and torchvision.

    A box is suppressed by a better one with IoU above `overlap` of the same class, of the same level or of the image,
    as `within` says. At most `keep_per_class` survivors of a class, `keep_per_level` of a level and `keep` in all
    remain.

    Boxes are clipped to the image before or after suppression, as `clip` says. A box that is left without area by
    clipping after suppression is not a detection: it suppresses others and counts in `keep_per_class` and
    `keep_per_level`, but not in `keep`, as in TF's multiclass suppression (TF's proposals are one class whose limit is
    `keep`, so there it uses a slot). `threshold_last` is a lower threshold for the last level (Detectron's RetinaNet:
    0); None: the same as for the others.

    Raises ValueError for an overlap outside 0..1, a limit below 1 or options that exclude each other.
    """

    overlap: float
    keep: int
    threshold: float = -math.inf
    threshold_last: float | None = None
    candidates: int | None = None
    candidates_per_level: int | None = None
    candidates_per_class: int | None = None
    keep_per_class: int | None = None
    keep_per_level: int | None = None
    within: Literal["class", "level", "image"] = "class"
    min_size: float = 0.0
    clip: Literal["before", "after"] = "after"

    def __post_init__(self) -> None:
        if self.within not in ("class", "level", "image"):
            raise ValueError(f"within: got {self.within!r}, allowed 'class', 'level', 'image'")
        if self.clip not in ("before", "after"):
            raise ValueError(f"clip: got {self.clip!r}, allowed 'before', 'after'")
        if not 0 <= self.overlap <= 1:
            raise ValueError(f"overlap: got {self.overlap}, allowed 0..1")
        for limit in LIMITS:
            if (value := getattr(self, limit)) is not None and value < 1:
                raise ValueError(f"{limit}: got {value}, allowed 1 or more")
        if self.candidates is not None and self.candidates_per_level is not None:
            raise ValueError(f"candidates: got {self.candidates}, allowed None beside candidates_per_level")
        if self.threshold_last is not None and self.candidates_per_level is None:
            raise ValueError("threshold_last: needs candidates_per_level, got None")
        if self.threshold_last is not None and self.threshold_last > self.threshold:
            raise ValueError(
                f"threshold_last: got {self.threshold_last}, allowed at most the threshold, {self.threshold}"
            )
        for limit, scope in (
            ("keep_per_class", "class"),
            ("candidates_per_class", "class"),
            ("keep_per_level", "level"),
        ):
            if getattr(self, limit) is not None and self.within != scope:
                raise ValueError(f"{limit}: needs within={scope!r}, got {self.within!r}")

    def __call__(self, boxes: Tensor, scores: Tensor, counts: tuple[int, ...], sizes: Tensor) -> Detections:
        """boxes [B, N, 4] or [B, N, K, 4], scores [B, N, K], counts for each level summing to N, sizes [B, 2] -> [B,
        keep].
        """
        boxes, scores = boxes.float(), scores.float()
        if self.clip == "before":
            boxes = clip(boxes, sizes)
        if self.min_size > 0 and self.candidates_per_level is None:
            scores = scores.masked_fill(_small(boxes, self.min_size), -math.inf)
        kept = self._suppress(boxes, scores, counts, sizes if self.clip == "after" else None)
        return _detections(boxes, scores, kept, sizes)

    @property
    def _min_threshold(self) -> float:
        return self.threshold if self.threshold_last is None else min(self.threshold, self.threshold_last)

    def _suppress(self, boxes: Tensor, scores: Tensor, counts: tuple[int, ...], sizes: Tensor | None) -> Tensor:
        """The surviving pairs of reference and class, n * K + k: [B, keep], -1 in empty slots."""
        candidates = self._candidates(scores, counts)
        if candidates is None:
            return self._nms(boxes, scores, None, sizes)
        classes = scores.shape[2]
        labels = (
            _levels(counts, scores.device)[candidates // classes] if self.within == "level" else candidates % classes
        )
        found = self._above(scores.flatten(1).gather(1, candidates), candidates // classes, counts)
        picked = _pick(boxes, candidates, classes)
        if self.min_size > 0 and self.candidates_per_level is not None:
            found = found.masked_fill(_small(picked, self.min_size)[..., 0], -math.inf)
        kept = self._nms(picked, found, labels, sizes)
        return torch.where(kept < 0, -1, candidates.gather(1, kept.clamp(min=0)))

    def _above(self, scores: Tensor, refs: Tensor, counts: tuple[int, ...]) -> Tensor:
        """With a threshold for the last level: scores [B, M] of other levels that are not above theirs become -inf."""
        if self.threshold_last is None:
            return scores
        return scores.masked_fill((scores <= self.threshold) & (refs < sum(counts[:-1])), -math.inf)

    def _candidates(self, scores: Tensor, counts: tuple[int, ...]) -> Tensor | None:
        """The pairs [B, M] that enter suppression; None if all do and levels do not matter."""
        if self.candidates_per_level is not None:
            return _best_per_level(scores, counts, self.candidates_per_level)
        count = scores[0].numel()
        if self.candidates is not None and self.candidates < count:
            return top(scores.flatten(1), self.candidates)
        return torch.arange(count, device=scores.device).expand(scores.shape[0], -1) if self.within == "level" else None

    def _nms(self, boxes: Tensor, scores: Tensor, labels: Tensor | None, sizes: Tensor | None) -> Tensor:
        return nms(
            boxes,
            scores,
            labels,
            overlap=self.overlap,
            keep=self.keep,
            sizes=sizes,
            threshold=self._min_threshold,
            candidates_per_class=self.candidates_per_class,
            keep_per_class=self.keep_per_level if self.within == "level" else self.keep_per_class,
            class_aware=self.within != "image",
        )


@dataclass(frozen=True, kw_only=True)
class EveryBox:
    """Every box in its place, neither limited nor suppressed nor clipped: what a cascade hands to its next stage.

    Of one box a class it takes that of the best class. A box whose scores are all -inf becomes an empty slot.
    """

    keep: ClassVar[None] = None
    threshold: ClassVar[float] = -math.inf

    def __call__(self, boxes: Tensor, scores: Tensor, counts: tuple[int, ...], sizes: Tensor) -> Detections:
        """boxes [B, N, 4] or [B, N, K, 4], scores [B, N, K] -> [B, N] in the order of the boxes."""
        best, labels = scores.float().max(-1)
        empty = best == -math.inf
        pairs = torch.arange(scores.shape[1], device=scores.device) * scores.shape[2] + labels
        picked = _pick(boxes.float(), pairs, scores.shape[2])
        return Detections(picked.masked_fill(empty[..., None], 0), best.masked_fill(empty, 0), labels)


def _best_per_level(scores: Tensor, counts: tuple[int, ...], limit: int) -> Tensor:
    """[B, N, K] -> flat indices of the `limit` best of each level, [B, M]."""
    classes, start, found = scores.shape[2], 0, []
    for level in torch.split(scores, list(counts), 1):
        pairs = level.flatten(1)
        found.append(start + top(pairs, _fewer(limit, pairs.shape[1])))
        start += level.shape[1] * classes
    return torch.cat(found, 1)


def _fewer(limit: int, count: int) -> int:
    """The smaller one; a symbol if `count` is one, in an export whose canvas is open."""
    return min(limit, count) if isinstance(count, int) else torch.sym_min(limit, count)


def _levels(counts: tuple[int, ...], device: torch.device) -> Tensor:
    """The level of each of the N references."""
    return torch.cat([torch.full((count,), level, device=device) for level, count in enumerate(counts)])


def _small(boxes: Tensor, side: float) -> Tensor:
    """[B, N, 1] or [B, N, K]: whether a box has a side below `side` px."""
    small = (boxes[..., 2:] - boxes[..., :2]).amin(-1) < side
    return small if boxes.dim() == 4 else small[..., None]


def _pick(boxes: Tensor, pairs: Tensor, classes: int) -> Tensor:
    """The boxes [B, M, 4] of pairs n * K + k; any box for an empty slot."""
    shared = boxes.dim() == 3
    rows = pairs.clamp(min=0) // (classes if shared else 1)
    flat = boxes if shared else boxes.flatten(1, 2)
    return flat.gather(1, rows[..., None].expand(-1, -1, 4))


def _detections(boxes: Tensor, scores: Tensor, kept: Tensor, sizes: Tensor) -> Detections:
    classes, empty = scores.shape[2], kept < 0
    pairs = kept.clamp(min=0)
    found = clip(_pick(boxes, kept, classes), sizes).masked_fill(empty[..., None], 0)
    return Detections(found, scores.flatten(1).gather(1, pairs).masked_fill(empty, 0), pairs % classes)
