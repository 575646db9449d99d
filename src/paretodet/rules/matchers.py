"""Which ground truth each reference answers for.

Padding, crowds and truths without area are left out: no reference answers for them. References without area (empty
slots of proposals) are ignored. Everything has a fixed shape and one outcome: where several truths claim a reference,
the rule says which wins.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from paretodet.ops.geometry import area, center_size, contained, iou, shape_iou
from paretodet.rules.coders import distances
from paretodet.types import Assignment, References, Targets


@dataclass(frozen=True, kw_only=True)
class ArgmaxMatcher:
    """Each reference looks at the truth it overlaps most: positive from `positive` IoU on, negative below `negative`,
    between them ignored (Huang et al. section 2.1, TF's argmax_matcher; Liu et al. section 2.2).

    With `force_best` every truth also claims the reference it overlaps most, however little; of truths that claim the
    same, the first wins (Caffe's SSD hands references out by falling overlap and the loser claims another). A truth
    that overlaps no reference claims none, where TF lets it claim the first of the list, however far. Below
    `negative_from` IoU a reference is ignored too. With `inside_only` references that cross the image's border take no
    part.
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
    """Detectron's and py-faster-rcnn's rule: as the argmax, but of the references that overlap a truth most *all* that
    tie are positive, and each keeps the truth it overlaps most itself.

    References that overlap no truth by `floor` stay negative: RetinaNet's 0.4 (its negatives overwrite the ties), 0
    in the proposal networks, which also use `inside_only`.
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
    """YOLO v2 and v3: the prior of most similar shape, of all levels, in the cell of a truth's center answers for it.

    A prior that several levels have answers on each, and of truths that want the same one the last wins, as in darknet.
    Others are negative unless their *decoded* box overlaps a truth by more than `ignore`: 0.6 in v2, 0.7 in v3's
    configuration.
    """

    ignore: float

    def __call__(self, refs: References, targets: Targets, decoded: Tensor, sizes: Tensor) -> Assignment:
        usable = _usable(targets)
        (ref_center, ref_size), (center, size) = center_size(refs.boxes), center_size(targets.boxes)
        away = (center[:, None] - ref_center[..., None, :]) / refs.cell[:, None]
        inside = ((away >= -0.5) & (away < 0.5)).all(-1)
        alike = torch.where(inside & usable[:, None], shape_iou(ref_size, size), -1)  # [B, N, G]
        most, number = alike.amax(-2, keepdim=True), torch.arange(alike.shape[-1], device=alike.device)
        claim = torch.where((alike == most) & (most >= 0), number, -1).amax(-1)
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
        raise ValueError(f"negative, positive: got {negative}, {positive}; 0 <= negative <= positive <= 1 is needed")


def _usable(targets: Targets) -> Tensor:
    """[B, G] truths to be learned. Raises ValueError where the padding leaves not even one slot."""
    if targets.boxes.shape[1] == 0:
        raise ValueError("targets: got 0 slots, pad to at least one (valid False)")
    return targets.valid & ~targets.crowd & (area(targets.boxes) > 0)


def _overlaps(boxes: Tensor, targets: Targets, sizes: Tensor | None) -> tuple[Tensor, Tensor]:
    """IoU [B, N, G] and who takes part [B, N]: boxes with area, or inside their image where `sizes` are given; 0 for
    the rest."""
    overlaps = iou(boxes, targets.boxes) * _usable(targets)[:, None]
    if sizes is None:
        return overlaps, (area(boxes) > 0).expand(overlaps.shape[:2])
    inside = contained(boxes, sizes)
    return overlaps * inside[..., None], inside


def _claims(overlaps: Tensor) -> Tensor:
    """[B, N, G] -> the first truth that overlaps each reference more than any other reference, -1 where none."""
    return _winners(overlaps, overlaps.amax(-2) > 0, "amin")


def _winners(likeness: Tensor, claiming: Tensor, reduce: str) -> Tensor:
    """Each claiming truth [B, G] claims its most alike reference (the first of equals); the first ("amin") or last
    ("amax") truth on a reference wins: [B, N], -1 where none."""
    batch, count, truths = likeness.shape
    none = truths if reduce == "amin" else -1
    order = torch.arange(truths, device=likeness.device).expand(batch, -1)
    claims = torch.where(claiming, order, none)
    won = torch.full((batch, count), none, device=likeness.device)
    won = won.scatter_reduce(1, likeness.argmax(-2), claims, reduce)
    return torch.where(won == none, -1, won)
