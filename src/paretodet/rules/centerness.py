"""The loss of detectors without anchors: classes, the distances to a box's sides, and how central a point is."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from paretodet.rules.coders import DistanceCoder
from paretodet.rules.losses import FocalScore, local_normalizer, truths
from paretodet.types import Assignment, Normalizer, Predictions, References, Targets


@dataclass(frozen=True, kw_only=True)
class CenternessLoss:
    """FCOS (Tian et al. 2019, arXiv 1904.01355, equations 2 and 3).

    Focal loss of all classes and binary cross-entropy of the positives' centerness, divided by the batch's positives;
    -log IoU of the positives' boxes weighted by their true centerness, divided by the sum of these weights. IoU is
    (intersection + 1) / (union + 1) in px², as the authors have it. Both divisors are at least 1.
    """

    of_sample: ClassVar[bool] = False  # a dense head predicts all references anyway
    score: FocalScore = FocalScore()
    coder: DistanceCoder = DistanceCoder()

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
        """{"box", "score", "centerness"}"""
        positive, count = assignment.positive, divisor(assignment.positive.sum())
        boxes, _ = truths(targets, assignment)
        wanted = torch.where(positive[..., None], self.coder.distances(boxes, refs), 1.0)
        central = centerness(wanted).masked_fill(~positive, 0)
        codes = torch.where(positive[..., None], predictions.codes.float(), 0.0)
        entropy = F.binary_cross_entropy_with_logits(predictions.logits[..., 0].float(), central, reduction="none")
        return {
            "box": (-_iou(codes.exp(), wanted).log() * central).sum() / divisor(central.sum()),
            "score": (self.cost(predictions, refs, targets, assignment) * weight).sum() / count,
            "centerness": entropy.masked_fill(~positive, 0).sum() / count,
        }

    def cost(self, predictions: Predictions, refs: References, targets: Targets, assignment: Assignment) -> Tensor:
        """The present focal loss of each reference, [B, N]."""
        _, labels = truths(targets, assignment)
        return self.score(predictions.logits[..., 1:], labels, assignment.positive)


def centerness(distances: Tensor) -> Tensor:
    """Distances [..., 4] to left, top, right and bottom -> [...] in 0..1: 1 in the middle, 0 on a side."""
    before, after = distances[..., :2], distances[..., 2:]
    return (torch.minimum(before, after) / torch.maximum(before, after)).prod(-1).sqrt()


def _iou(a: Tensor, b: Tensor) -> Tensor:
    """Of boxes around the same point, given by their distances [..., 4] -> [...], 1 px² added to both areas."""
    common, one, other = (_area(part) for part in (torch.minimum(a, b), a, b))
    return (common + 1) / (one + other - common + 1)


def _area(distances: Tensor) -> Tensor:
    return (distances[..., :2] + distances[..., 2:]).prod(-1)
