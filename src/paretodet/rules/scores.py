"""Scores of the K classes from logits, [B, N, S] -> [B, N, K] float32, in 0..1 except for `Logit`.

`width(K)` is S, the number of logits that a head predicts for each reference.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Softmax:
    """Softmax over a background, first, and K classes: R-CNN, Liu et al.'s SSD."""

    def width(self, classes: int) -> int:
        return classes + 1

    def __call__(self, logits: Tensor) -> Tensor:
        return logits.float().softmax(-1)[..., 1:]


@dataclass(frozen=True, kw_only=True)
class Sigmoid:
    """K independent classes: RetinaNet, Mask R-CNN's proposals."""

    def width(self, classes: int) -> int:
        return classes

    def __call__(self, logits: Tensor) -> Tensor:
        return logits.float().sigmoid()


@dataclass(frozen=True, kw_only=True)
class Logit:
    """The logit itself, which ranks as its sigmoid but has no ties where that is 1 in float32, above 17: torchvision's
    proposals, whose scores only rank."""

    def width(self, classes: int) -> int:
        return classes

    def __call__(self, logits: Tensor) -> Tensor:
        return logits.float()


@dataclass(frozen=True, kw_only=True)
class SigmoidBackground:
    """A background, which is trained but not used in inference, then K independent classes: Huang et al.'s SSD."""

    def width(self, classes: int) -> int:
        return classes + 1

    def __call__(self, logits: Tensor) -> Tensor:
        return logits[..., 1:].float().sigmoid()


@dataclass(frozen=True, kw_only=True)
class ObjectnessSoftmax:
    """Objectness, first, times a softmax over K classes: YOLO v2."""

    def width(self, classes: int) -> int:
        return 1 + classes

    def __call__(self, logits: Tensor) -> Tensor:
        logits = logits.float()
        return logits[..., :1].sigmoid() * logits[..., 1:].softmax(-1)


@dataclass(frozen=True, kw_only=True)
class ObjectnessSigmoid:
    """Objectness, first, times K independent classes: YOLO v3."""

    def width(self, classes: int) -> int:
        return 1 + classes

    def __call__(self, logits: Tensor) -> Tensor:
        probabilities = logits.float().sigmoid()
        return probabilities[..., :1] * probabilities[..., 1:]


@dataclass(frozen=True, kw_only=True)
class Centerness:
    """A centerness first, then K independent classes: the root of their product, 0 unless the class's own probability
    is above `threshold` (the authors' FCOS)."""

    threshold: float = 0.05

    def width(self, classes: int) -> int:
        return 1 + classes

    def __call__(self, logits: Tensor) -> Tensor:
        probabilities = logits.float().sigmoid()
        classes = probabilities[..., 1:]
        return (classes * probabilities[..., :1]).sqrt().masked_fill(classes <= self.threshold, 0)
