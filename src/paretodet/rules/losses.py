"""The losses of a stage: terms summed over references and divided by the loss's normalizer.

Every loss has `cost`, the present loss of each reference [B, N], by which samplers mine.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from paretodet.ops.geometry import center_size, giou, iou
from paretodet.rules.coders import CellCoder, DeltaCoder
from paretodet.types import Assignment, Normalizer, Predictions, References, Targets


def local_normalizer(count: Tensor, extra: int = 0) -> Tensor:
    """The `Normalizer` of a batch that one process has to itself: `count` + `extra`, at least 1."""
    return (count + extra).clamp(min=1)


@dataclass(frozen=True, kw_only=True)
class PerSample:
    """Each image's sum, divided by its sampled references; then the mean over images (Huang et al.'s two-stage
    detectors)."""

    def __call__(
        self, terms: Tensor, assignment: Assignment, weight: Tensor, divisor: Normalizer = local_normalizer
    ) -> Tensor:
        return ((terms * weight).sum(1) / weight.sum(1).clamp(min=1)).mean()


@dataclass(frozen=True, kw_only=True)
class PerBatchSample:
    """The batch's sum, divided by its sampled references, at least 1: Detectron and torchvision."""

    def __call__(
        self, terms: Tensor, assignment: Assignment, weight: Tensor, divisor: Normalizer = local_normalizer
    ) -> Tensor:
        return (terms * weight).sum() / divisor(weight.sum())


@dataclass(frozen=True, kw_only=True)
class PerReference:
    """Each image's sum, divided by the number of its references that are not ignored, sampled or not; then the mean
    over images. TF's mined second stage divides by the proposals before mining (Huang et al.'s R-FCN)."""

    def __call__(
        self, terms: Tensor, assignment: Assignment, weight: Tensor, divisor: Normalizer = local_normalizer
    ) -> Tensor:
        count = (assignment.positive | assignment.negative).sum(1).clamp(min=1)
        return ((terms * weight).sum(1) / count).mean()


@dataclass(frozen=True, kw_only=True)
class PerPositive:
    """The batch's sum, divided by its positives plus `extra`, at least 1: both SSDs, and RetinaNet with `extra` 1."""

    extra: int = 0

    def __call__(
        self, terms: Tensor, assignment: Assignment, weight: Tensor, divisor: Normalizer = local_normalizer
    ) -> Tensor:
        return (terms * weight).sum() / divisor(assignment.positive.sum(), self.extra)


@dataclass(frozen=True, kw_only=True)
class PerImagePositive:
    """Each image's sum, divided by its positives, at least 1; then the mean over images: torchvision's RetinaNet."""

    def __call__(
        self, terms: Tensor, assignment: Assignment, weight: Tensor, divisor: Normalizer = local_normalizer
    ) -> Tensor:
        return ((terms * weight).sum(1) / assignment.positive.sum(1).clamp(min=1)).mean()


@dataclass(frozen=True, kw_only=True)
class PerImage:
    """The batch's sum, divided by its images: darknet."""

    def __call__(
        self, terms: Tensor, assignment: Assignment, weight: Tensor, divisor: Normalizer = local_normalizer
    ) -> Tensor:
        return (terms * weight).sum() / len(terms)


Normalization = PerSample | PerBatchSample | PerReference | PerPositive | PerImagePositive | PerImage


@dataclass(frozen=True, kw_only=True)
class SoftmaxScore:
    """Cross-entropy over K classes and a background, which comes first."""

    def __call__(self, logits: Tensor, labels: Tensor, positive: Tensor) -> Tensor:
        wanted = torch.where(positive, labels + 1, 0)
        return F.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), reduction="none").view(labels.shape)


@dataclass(frozen=True, kw_only=True)
class SigmoidScore:
    """Binary cross-entropy of K classes."""

    def __call__(self, logits: Tensor, labels: Tensor, positive: Tensor) -> Tensor:
        wanted = _one_hot(labels, logits.shape[-1]) * positive[..., None]
        return _entropy(logits.float(), wanted).sum(-1)


@dataclass(frozen=True, kw_only=True)
class SigmoidBackgroundScore:
    """Binary cross-entropy of K classes and a background slot, which comes first: Huang et al.'s SSD."""

    def __call__(self, logits: Tensor, labels: Tensor, positive: Tensor) -> Tensor:
        wanted = _one_hot(torch.where(positive, labels + 1, 0), logits.shape[-1])
        return _entropy(logits.float(), wanted).sum(-1)


@dataclass(frozen=True, kw_only=True)
class FocalScore:
    """Focal loss of K classes (Lin et al. 2017, equation 5): alpha_t (1 - p_t)^gamma times cross-entropy."""

    alpha: float = 0.25
    gamma: float = 2.0

    def __call__(self, logits: Tensor, labels: Tensor, positive: Tensor) -> Tensor:
        logits = logits.float()
        wanted = _one_hot(labels, logits.shape[-1]) * positive[..., None]
        entropy = _entropy(logits, wanted)
        missed = torch.where(wanted > 0, -logits, logits).sigmoid()  # 1 - p_t, without cancellation
        alpha = torch.where(wanted > 0, self.alpha, 1 - self.alpha)
        return (alpha * missed**self.gamma * entropy).sum(-1)


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """1 - IoU of decoded boxes and their truths, or 1 - GIoU, which has a gradient for boxes apart, too.

    Huang et al. train a member of their ensemble with "SmoothL1 + IOU" (Table 5) and do not give its weight; TF's IoU
    loss is 1 - IoU.
    """

    kind: Literal["iou", "giou"] = "iou"
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("iou", "giou"):
            raise ValueError(f"kind: got {self.kind!r}, must be 'iou' or 'giou'")

    def __call__(self, boxes: Tensor, wanted: Tensor) -> Tensor:
        """[B, N, 4] and [B, N, 4] -> [B, N] in 0..1 (IoU) or 0..2 (GIoU), times the weight."""
        overlap = giou(boxes, wanted) if self.kind == "giou" else _iou_each(boxes, wanted)
        return self.weight * (1 - overlap)


@dataclass(frozen=True, kw_only=True)
class BoxLoss:
    """Smooth L1 on the codes of positives and a score loss on all sampled references.

    Huang et al. section 2, Liu et al. section 2.2. `beta` is where smooth L1 turns linear (0: L1; py-faster-rcnn's
    sigma is beta = 1 / sigma^2). `coder` must be the stage's, which `StageSpec` checks. Of codes with one box a class,
    the truth's class alone is learned. `mined` is what `cost` counts: OHEM counts boxes too.
    """

    score: SoftmaxScore | SigmoidScore | SigmoidBackgroundScore | FocalScore
    normalizer: Normalization
    coder: DeltaCoder = DeltaCoder()
    beta: float = 1.0
    box_weight: float = 1.0
    overlap: Overlap | None = None
    mined: Literal["score", "both"] = "score"

    def __post_init__(self) -> None:
        if self.mined not in ("score", "both"):
            raise ValueError(f"mined: got {self.mined!r}, allowed 'score' or 'both'")

    @property
    def of_sample(self) -> bool:
        return isinstance(self.normalizer, PerSample | PerBatchSample | PerImage)

    def __call__(
        self,
        predictions: Predictions,
        refs: References,
        decoded: Tensor,
        targets: Targets,
        assignment: Assignment,
        weight: Tensor,
        divisor: Normalizer = local_normalizer,
    ) -> dict[str, Tensor]:
        """{"box", "score"}, box already times `box_weight`, and "overlap" if the spec has it."""
        terms = self._terms(predictions, refs, targets, assignment)
        return {name: self.normalizer(term, assignment, weight, divisor) for name, term in terms.items()}

    def cost(self, predictions: Predictions, refs: References, targets: Targets, assignment: Assignment) -> Tensor:
        """The present loss of each reference, [B, N]."""
        terms = self._terms(predictions, refs, targets, assignment)
        return torch.stack(tuple(terms.values())).sum(0) if self.mined == "both" else terms["score"]

    def _terms(
        self, predictions: Predictions, refs: References, targets: Targets, assignment: Assignment
    ) -> dict[str, Tensor]:
        """The terms of every reference, not yet summed, [B, N]."""
        boxes, labels = truths(targets, assignment)
        codes, wanted = _of_class(predictions.codes, labels).float(), self.coder.encode(boxes, refs)
        box = F.smooth_l1_loss(codes, wanted, reduction="none", beta=self.beta).sum(-1)
        box = box.masked_fill(~assignment.positive, 0) * self.box_weight
        terms = {"box": box, "score": self.score(predictions.logits, labels, assignment.positive)}
        if self.overlap is not None:
            # Codes of non-positives become 0 before decoding: an overflow there would reach gradients as 0 x inf.
            decoded = self.coder.decode(torch.where(assignment.positive[..., None], codes, 0.0), refs)
            terms["overlap"] = self.overlap(decoded, boxes).masked_fill(~assignment.positive, 0)
        return terms


@dataclass(frozen=True, kw_only=True)
class YoloV3Loss:
    """Darknet's [yolo] layer: the gradients on codes and logits are exactly darknet's deltas.

    Cross-entropy on the place in the cell and half the squared error on log sizes, both times (2 - the truth's area /
    the canvas's area); binary cross-entropy on objectness and on each class.
    """

    of_sample: ClassVar[bool] = False  # a dense head predicts all references anyway
    normalizer: Normalization = PerImage()
    coder: CellCoder = CellCoder()

    def __call__(
        self,
        predictions: Predictions,
        refs: References,
        decoded: Tensor,
        targets: Targets,
        assignment: Assignment,
        weight: Tensor,
        divisor: Normalizer = local_normalizer,
    ) -> dict[str, Tensor]:
        """{"box", "object", "score"}"""
        boxes, labels = truths(targets, assignment)
        wanted, codes, logits = self.coder.offsets(boxes, refs), predictions.codes.float(), predictions.logits.float()
        place = _entropy(codes[..., :2], wanted[..., :2].clamp(0, 1))
        box = (place + (codes[..., 2:] - wanted[..., 2:]).square() / 2).sum(-1) * _size_weight(boxes, refs)
        score = _entropy(logits[..., 1:], _one_hot(labels, logits.shape[-1] - 1)).sum(-1)
        terms = {
            "box": box.masked_fill(~assignment.positive, 0),
            "object": self.cost(predictions, refs, targets, assignment),
            "score": score.masked_fill(~assignment.positive, 0),
        }
        return {name: self.normalizer(term, assignment, weight, divisor) for name, term in terms.items()}

    def cost(self, predictions: Predictions, refs: References, targets: Targets, assignment: Assignment) -> Tensor:
        """The present objectness loss of each reference, [B, N]."""
        return _entropy(predictions.logits[..., 0].float(), assignment.positive.float())


@dataclass(frozen=True, kw_only=True)
class YoloV2Loss:
    """Darknet's [region] layer: the gradients on codes and logits are exactly darknet's deltas.

    Half the squared error on the place in the cell and on log sizes, both times (2 - the truth's area / the canvas's
    area); half the squared error of objectness, whose target is the IoU of the decoded box and which counts
    `object_weight` times for positives; cross-entropy over the classes. `pull` weights half the squared distance of all
    other boxes from their priors: 0.01 for darknet's first 12,800 images, which is `early()`, and 0 after them.
    """

    of_sample: ClassVar[bool] = False  # a dense head predicts all references anyway
    normalizer: Normalization = PerImage()
    coder: CellCoder = CellCoder()
    object_weight: float = 5.0
    pull: float = 0.0

    def early(self) -> "YoloV2Loss":
        """The loss of darknet's first 12,800 images (200 steps of 64): `training.recipe.Recipe.early`."""
        return replace(self, pull=0.01)

    def __call__(
        self,
        predictions: Predictions,
        refs: References,
        decoded: Tensor,
        targets: Targets,
        assignment: Assignment,
        weight: Tensor,
        divisor: Normalizer = local_normalizer,
    ) -> dict[str, Tensor]:
        """{"box", "object", "score"}, and "pull" if it has a weight."""
        boxes, labels = truths(targets, assignment)
        codes, logits = predictions.codes.float(), predictions.logits.float()
        offsets = torch.cat([codes[..., :2].sigmoid(), codes[..., 2:]], -1)
        box = (offsets - self.coder.offsets(boxes, refs)).square().sum(-1) / 2 * _size_weight(boxes, refs)
        score = F.cross_entropy(logits[..., 1:].flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
        terms = {
            "box": box.masked_fill(~assignment.positive, 0),
            "object": self._object(logits[..., 0], decoded, boxes, assignment),
            "score": score.masked_fill(~assignment.positive, 0),
        }
        summed = {name: self.normalizer(term, assignment, weight, divisor) for name, term in terms.items()}
        if self.pull:
            # Ignored references count too, whatever was sampled.
            away, all_ = self._away(offsets, assignment), torch.ones_like(weight)
            summed["pull"] = self.normalizer(away, assignment, all_, divisor)
        return summed

    def _away(self, offsets: Tensor, assignment: Assignment) -> Tensor:
        """Half the squared distance [B, N] from the middle of the cell and the prior's size, 0 for positives."""
        prior = offsets.new_tensor([0.5, 0.5, 0.0, 0.0])
        return self.pull * ((offsets - prior).square().sum(-1) / 2).masked_fill(assignment.positive, 0)

    def cost(self, predictions: Predictions, refs: References, targets: Targets, assignment: Assignment) -> Tensor:
        """The present objectness loss of each reference, [B, N]."""
        boxes, _ = truths(targets, assignment)
        decoded = self.coder.decode(predictions.codes, refs)
        return self._object(predictions.logits[..., 0].float(), decoded, boxes, assignment)

    def _object(self, logits: Tensor, decoded: Tensor, boxes: Tensor, assignment: Assignment) -> Tensor:
        wanted = _iou_each(decoded.detach(), boxes).masked_fill(~assignment.positive, 0)
        weight = torch.where(assignment.positive, self.object_weight, 1.0)
        return weight * (logits.sigmoid() - wanted).square() / 2


def truths(targets: Targets, assignment: Assignment) -> tuple[Tensor, Tensor]:
    """The box [B, N, 4] and label [B, N] that each reference is assigned to; meaningless if it is not positive."""
    index = assignment.truth
    return targets.boxes.gather(1, index[..., None].expand(-1, -1, 4)), targets.labels.gather(1, index)


def _of_class(codes: Tensor, labels: Tensor) -> Tensor:
    """The codes of the labels [B, N] -> [B, N, 4], from codes [B, N, K, 4] or, shared by all classes, [B, N, 4]."""
    if codes.dim() == 3:
        return codes
    return codes.gather(2, labels[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]


def _iou_each(a: Tensor, b: Tensor) -> Tensor:
    """IoU of corresponding boxes, [..., 4] and [..., 4] -> [...]."""
    return iou(a[..., None, :], b[..., None, :])[..., 0, 0]


def _size_weight(boxes: Tensor, refs: References) -> Tensor:
    """2 - area / canvas area [B, N], at least 1, as darknet clips truths to the canvas.

    The canvas ends where the outermost cells end.
    """
    width, height = (center_size(refs.boxes)[0] + refs.cell / 2).amax(0)
    return 2 - (center_size(boxes)[1].prod(-1) / (width * height)).clamp(max=1)


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    return (labels[..., None] == torch.arange(classes, device=labels.device)).float()


def _entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
