"""Matchers: which ground truth is assigned to each reference.

Padding, crowds and ground truths without area are assigned to no reference. References without area (empty slots of
proposals) are ignored. All shapes are fixed and results deterministic: if several ground truths claim a reference, the
class documents which one is assigned.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from paretodet.ops.geometry import area, center_size, contained, iou, shape_iou
from paretodet.rules.coders import distances
from paretodet.types import Assignment, References, Targets


@dataclass(frozen=True, kw_only=True)
class ArgmaxMatcher:
    """Assigns each reference the ground truth with the largest IoU: positive from `positive` IoU on, negative below
    `negative`, between them ignored (Huang et al. section 2.1, TF's argmax_matcher; Liu et al. section 2.2).

    With `force_best` the reference with the largest IoU of each ground truth is positive too, however small the IoU; if
    it is that of several ground truths, the first is assigned (Caffe's SSD assigns in order of falling overlap, and the
    other ground truths get another reference). A ground truth that overlaps no reference gets none, while TF assigns it
    the first reference of the list. Below `negative_from` IoU a reference is ignored as well. With `inside_only`,
    references that cross the border of the image are ignored.
    """

    positive: float
    negative: float
    force_best: bool = False
    negative_from: float = 0.0
    inside_only: bool = False

    def __post_init__(self) -> None:
        _check_order(self.positive, self.negative)

    def __call__(self, refs: References, targets: Targets, decoded: Tensor, sizes: Tensor) -> Assignment:
        overlaps, taking = _overlaps(refs.boxes, targets, sizes if self.inside_only else None)
        truth, best = overlaps.argmax(-1), overlaps.amax(-1)
        positive = best >= self.positive
        if self.force_best:
            claim = _claims(overlaps)
            truth, positive = torch.where(claim < 0, truth, claim), positive | (claim >= 0)
        negative = (best < self.negative) & (best >= self.negative_from) & ~positive
        return Assignment(truth, positive & taking, negative & taking)


@dataclass(frozen=True, kw_only=True)
class TieMatcher:
    """Detectron's and py-faster-rcnn's rule: as `ArgmaxMatcher`, but *all* references that tie for the largest IoU with
    a ground truth are positive, and each is assigned the ground truth with which its own IoU is largest.

    References whose IoU with every ground truth is below `floor` stay negative: 0.4 in RetinaNet (its negatives
    overwrite the ties), 0 in the proposal networks, which also use `inside_only`.
    """

    positive: float
    negative: float
    floor: float = 0.0
    inside_only: bool = False

    def __post_init__(self) -> None:
        _check_order(self.positive, self.negative)

    def __call__(self, refs: References, targets: Targets, decoded: Tensor, sizes: Tensor) -> Assignment:
        overlaps, taking = _overlaps(refs.boxes, targets, sizes if self.inside_only else None)
        truth, best = overlaps.argmax(-1), overlaps.amax(-1)
        tied = ((overlaps == overlaps.amax(-2, keepdim=True)) & (overlaps > 0)).any(-1)
        positive = (best >= self.positive) | (tied & (best >= self.floor))
        negative = (best < self.negative) & ~positive
        return Assignment(truth, positive & taking, negative & taking)


@dataclass(frozen=True, kw_only=True)
class YoloMatcher:
    """YOLO v2 and v3: a ground truth is assigned to the prior with the most similar shape, over all levels, in the cell
    of its center.

    A prior that several levels have is positive on each; if several ground truths get the same one, the last is
    assigned, as in darknet. Other priors are negative unless the IoU of their *decoded* box with a ground truth is
    above `ignore`: 0.6 in v2, 0.7 in the configuration of v3.
    """

    ignore: float

    def __call__(self, refs: References, targets: Targets, decoded: Tensor, sizes: Tensor) -> Assignment:
        usable = _usable(targets)
        (ref_center, ref_size), (center, size) = center_size(refs.boxes), center_size(targets.boxes)
        offset = (center[:, None] - ref_center[..., None, :]) / refs.cell[:, None]
        inside = ((offset >= -0.5) & (offset < 0.5)).all(-1)
        similarity = torch.where(inside & usable[:, None], shape_iou(ref_size, size), -1)  # [B, N, G]
        largest = similarity.amax(-2, keepdim=True)
        number = torch.arange(similarity.shape[-1], device=similarity.device)
        claim = torch.where((similarity == largest) & (largest >= 0), number, -1).amax(-1)
        positive = claim >= 0
        near = (iou(decoded, targets.boxes) * usable[:, None]).amax(-1) > self.ignore
        return Assignment(claim.clamp(min=0), positive, ~positive & ~near)


@dataclass(frozen=True, kw_only=True)
class PointMatcher:
    """FCOS (Tian et al. 2019, section 3.2): a reference answers for the smallest truth that its center lies in, among
    those whose farthest side is 8 to 16 cells away; the finest level has no lower bound, the coarsest no upper one.

    All other references are negative. `trim` is `DistanceCoder`'s.
    """

    trim: float = 0.0

    def __call__(self, refs: References, targets: Targets, decoded: Tensor, sizes: Tensor) -> Assignment:
        centers = center_size(refs.boxes)[0][..., None, :]
        sides = distances(centers, targets.boxes[:, None], self.trim)  # [B, N, G, 4]
        farthest, cell = sides.amax(-1), refs.cell
        near = (farthest >= 8 * cell) | (cell == cell.min())
        far = (farthest <= 16 * cell) | (cell == cell.max())
        taking = (sides.amin(-1) > 0) & near & far & _usable(targets)[:, None]
        smallest, truth = area(targets.boxes)[:, None].masked_fill(~taking, torch.inf).min(-1)
        positive = smallest < torch.inf
        return Assignment(truth, positive, ~positive)


def _check_order(positive: float, negative: float) -> None:
    if not 0 <= negative <= positive <= 1:
        raise ValueError(f"negative, positive: got {negative}, {positive}, allowed 0 <= negative <= positive <= 1")


def _usable(targets: Targets) -> Tensor:
    """[B, G] ground truths that may be assigned. Raises ValueError if there is no slot at all."""
    if targets.boxes.shape[1] == 0:
        raise ValueError("targets: got 0 slots, allowed 1 or more; pad with a slot that is not valid")
    return targets.valid & ~targets.crowd & (area(targets.boxes) > 0)


def _overlaps(boxes: Tensor, targets: Targets, sizes: Tensor | None) -> tuple[Tensor, Tensor]:
    """IoU [B, N, G], and which references take part [B, N]: those with area, or with `sizes` those inside their image.
    IoU of the others is 0.
    """
    overlaps = iou(boxes, targets.boxes) * _usable(targets)[:, None]
    if sizes is None:
        return overlaps, (area(boxes) > 0).expand(overlaps.shape[:2])
    inside = contained(boxes, sizes)
    return overlaps * inside[..., None], inside


def _claims(overlaps: Tensor) -> Tensor:
    """[B, N, G] -> for each reference the first ground truth whose largest IoU it has, -1 if there is none."""
    return _winners(overlaps, overlaps.amax(-2) > 0, "amin")


def _winners(similarity: Tensor, claiming: Tensor, reduce: str) -> Tensor:
    """Each ground truth in `claiming` [B, G] claims the reference with the largest similarity, the first of equal ones.
    Of several on a reference the first ("amin") or last ("amax") is returned: [B, N], -1 if there is none.
    """
    batch, count, truths = similarity.shape
    none = truths if reduce == "amin" else -1
    order = torch.arange(truths, device=similarity.device).expand(batch, -1)
    claims = torch.where(claiming, order, none)
    won = torch.full((batch, count), none, device=similarity.device)
    won = won.scatter_reduce(1, similarity.argmax(-2), claims, reduce)
    return torch.where(won == none, -1, won)
