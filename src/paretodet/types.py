"""The types that packages exchange.

Letters in shapes, the same in the whole repository: B images, N references, K classes, G ground truths, D kept
detections, C channels, S logits per reference, H W size. Boxes are xyxy, float32, half-open, in pixels of the
network's input unless a docstring says otherwise. Sizes are (height, width). Labels are 0..K-1.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Images(NamedTuple):
    """A batch of canvases."""

    pixels: Tensor  # [B, 3, H, W] RGB uint8
    sizes: Tensor  # [B, 2] float32: true height and width inside the canvas

    def to(self, device: torch.device | str) -> "Images":
        return Images(*(field.to(device, non_blocking=True) for field in self))


class FeatureInfo(NamedTuple):
    """What a neck or head needs to know about feature maps to be built without running the backbone."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]


class References(NamedTuple):
    """Boxes that a stage refines: anchors in the first stage, in a later one what the stage before it selected."""

    boxes: Tensor  # [N, 4] or [B, N, 4]
    cell: Tensor  # [N, 1] side of the grid cell a box belongs to, px (1 for proposals)
    counts: tuple[int, ...]  # references per level, summing to N, so that per-level selection is a static split


class Predictions(NamedTuple):
    """The output of a head for every reference."""

    codes: Tensor  # [B, N, 4], or [B, N, K, 4] with one box per class
    logits: Tensor  # [B, N, S]; S is K+1, K or 1+K, as the `scores` of the stage defines; of M heads [B, N, M, S]


class Targets(NamedTuple):
    """Ground truth, padded to G."""

    boxes: Tensor  # [B, G, 4]
    labels: Tensor  # [B, G] int64
    valid: Tensor  # [B, G] bool, False marks padding
    crowd: Tensor  # [B, G] bool
    masks: Tensor | None = None  # [B, G, M, M] crops to the boxes
    has_mask: Tensor | None = None  # [B, G] bool, False if an object has no mask; None: all have one


class Assignment(NamedTuple):
    """The ground truth assigned to each reference. A reference that is neither positive nor negative is ignored."""

    truth: Tensor  # [B, N] int64 index into the targets, defined for positives
    positive: Tensor  # [B, N] bool
    negative: Tensor  # [B, N] bool


class Detections(NamedTuple):
    """Final boxes with a fixed capacity D, sorted by descending score. Score 0 marks an empty slot."""

    boxes: Tensor  # [B, D, 4]
    scores: Tensor  # [B, D]
    labels: Tensor  # [B, D] int64
    masks: Tensor | None = None  # [B, D, M, M]

    def to(self, device: torch.device | str) -> "Detections":
        masks = None if self.masks is None else self.masks.to(device)
        return Detections(self.boxes.to(device), self.scores.to(device), self.labels.to(device), masks)


class Backbone(Protocol):
    """Images to feature maps. `tail` is the rest of the network, which two-stage detectors run on crops."""

    info: FeatureInfo

    def trunk(self, pixels: Tensor) -> tuple[Tensor, ...]: ...

    def tail(self, crops: Tensor) -> Tensor: ...


class Coder(Protocol):
    """Encodes a box relative to its reference, and decodes it."""

    def encode(self, boxes: Tensor, refs: References) -> Tensor: ...

    def decode(self, codes: Tensor, refs: References) -> Tensor: ...


class Matcher(Protocol):
    """Assigns targets to references.

    `decoded` are the predicted boxes [B, N, 4], which YOLO's ignore rule needs, or the references if they are matched
    before prediction (see `Sampler`). `sizes` [B, 2] are the true image sizes.
    """

    def __call__(self, refs: References, targets: Targets, decoded: Tensor, sizes: Tensor) -> Assignment: ...


class Sampler(Protocol):
    """The weight [B, N] of every reference in the loss.

    `cost` [B, N] is the current loss of each reference, `noise` [B, N] is uniform in 0..1. `mines` is True if the
    sampler uses cost or decoded boxes. `size` is the maximum number of references per image with a weight, or None.
    If a sampler has a size and does not mine, a region stage predicts the sampled references only.
    """

    @property
    def mines(self) -> bool: ...

    @property
    def size(self) -> int | None: ...

    def __call__(self, assignment: Assignment, cost: Tensor, decoded: Tensor, noise: Tensor) -> Tensor: ...


class Normalizer(Protocol):
    """The number that the sum over a batch is divided by: the scalar `count` plus `extra`, at least 1.

    If several processes share a batch, it is their part of the number for the whole batch, so that the mean over
    processes is exact.
    """

    def __call__(self, count: Tensor, extra: int = 0) -> Tensor: ...


class Loss(Protocol):
    """One scalar per loss term, divided by the normalizer of the term.

    `cost` gives the current loss of each reference, [B, N]. Boxes are encoded by `coder`, which must be that of the
    stage. Counts over a whole batch pass through `divisor`; means over images do not. `of_sample` is True if references
    of weight 0 do not change the loss or its normalizer, so that a stage may omit them.
    """

    @property
    def coder(self) -> Coder: ...

    @property
    def of_sample(self) -> bool: ...

    def cost(self, predictions: Predictions, refs: References, targets: Targets, assignment: Assignment) -> Tensor: ...

    def __call__(
        self,
        predictions: Predictions,
        refs: References,
        decoded: Tensor,
        targets: Targets,
        assignment: Assignment,
        weight: Tensor,
        divisor: Normalizer,
    ) -> dict[str, Tensor]: ...


class PostProcessor(Protocol):
    """Boxes [B, N, 4] or [B, N, K, 4] and scores [B, N, K] to detections: the best `keep`, or all N if it is None."""

    @property
    def keep(self) -> int | None: ...

    def __call__(self, boxes: Tensor, scores: Tensor, counts: tuple[int, ...], sizes: Tensor) -> Detections: ...
