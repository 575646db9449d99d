"""The loss of a mask branch (He et al. 2017, section 3): on positive boxes, on the mask of the true class only."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from paretodet.ops.geometry import center_size
from paretodet.ops.roi import roi_align
from paretodet.rules.losses import local_normalizer
from paretodet.types import Assignment, Normalizer, References, Targets


class MaskSample(NamedTuple):
    """The boxes whose masks are trained, padded to P."""

    boxes: Tensor  # [B, P, 4]
    truth: Tensor  # [B, P] int64
    labels: Tensor  # [B, P] int64, of the ground truth
    valid: Tensor  # [B, P] bool, False marks padding


@dataclass(frozen=True, kw_only=True)
class MaskLoss:
    """Binary cross-entropy of each cell of a mask, averaged over the cells of all sampled positive boxes.

    At most `max_boxes` boxes of an image are used: a quarter of Detectron's 512 samples. The target is the mask crop of
    the ground truth sampled at the centers of the box's cells, 0 outside; with `edges`, at points of which the first
    and the last lie on the box's edges, as TensorFlow's Object Detection API does. Values above `threshold` become 1,
    others 0, as Detectron rasterizes polygons; with None they stay fractions, as in torchvision. `weight` is a factor.
    """

    max_boxes: int = 128
    threshold: float | None = 0.5
    weight: float = 1.0
    edges: bool = False

    def __post_init__(self) -> None:
        if self.max_boxes < 1:
            raise ValueError(f"max_boxes: got {self.max_boxes}, allowed 1 or more")

    def sample(self, refs: References, targets: Targets, assignment: Assignment, weight: Tensor) -> MaskSample:
        """The positive boxes with the largest weight whose ground truth has a mask."""
        usable = assignment.positive & (weight > 0)
        if targets.has_mask is not None:
            usable &= targets.has_mask.gather(1, assignment.truth)
        order = torch.where(usable, weight, -1.0).topk(min(self.max_boxes, weight.shape[1])).indices
        truth = assignment.truth.gather(1, order)
        boxes = refs.boxes.gather(1, order[..., None].expand(-1, -1, 4))
        return MaskSample(boxes, truth, targets.labels.gather(1, truth), usable.gather(1, order))

    def __call__(
        self, logits: Tensor, sample: MaskSample, targets: Targets, divisor: Normalizer = local_normalizer
    ) -> dict[str, Tensor]:
        """{"mask"} of logits [B, P, M, M]. Raises ValueError for targets without masks."""
        logits = logits.float()
        wanted = crops(sample, targets, logits.shape[-1], edges=self.edges)
        if self.threshold is not None:
            wanted = (wanted > self.threshold).float()
        cells = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean((-2, -1))
        return {"mask": self.weight * cells.masked_fill(~sample.valid, 0).sum() / divisor(sample.valid.sum())}


def crops(sample: MaskSample, targets: Targets, bins: int, *, edges: bool = False) -> Tensor:
    """The masks of the ground truths sampled over the sampled boxes, [B, P, bins, bins] in 0..1.

    One bilinear sample for each cell, at its center or, with `edges`, from edge to edge of the box; at its border a
    mask crop falls to 0 over one of its cells, with half on the edge.
    """
    if targets.masks is None:
        raise ValueError("targets: got no masks, which the loss of a mask branch needs")
    batch, count = sample.truth.shape
    side = targets.masks.shape[-1]
    truths = targets.boxes.gather(1, sample.truth[..., None].expand(-1, -1, 4))
    low, size = truths[..., :2].repeat(1, 1, 2), center_size(truths)[1].repeat(1, 1, 2)
    within = (_widened(sample.boxes, bins) if edges else sample.boxes) - low
    within = within / size.clamp(min=1e-3) * side + 1  # in cells of the padded crop
    index = sample.truth[..., None, None].expand(-1, -1, side, side)
    padded = F.pad(targets.masks.float().gather(1, index), (1, 1, 1, 1)).view(-1, 1, side + 2, side + 2)
    sampled = roi_align((padded,), within.view(-1, 1, 4), strides=(1,), bins=bins, samples=1, aligned=True)
    return sampled.view(batch, count, bins, bins)


def _widened(boxes: Tensor, bins: int) -> Tensor:
    """Boxes [..., 4] whose outermost of `bins` cells have their centers on the given boxes' edges."""
    half = center_size(boxes)[1] / (2 * max(bins - 1, 1))
    return torch.cat([boxes[..., :2] - half, boxes[..., 2:] + half], -1)
