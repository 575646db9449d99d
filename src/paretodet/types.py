"""The nouns that cross rooms.

Letters, one legend for the repository: B images, N references, K classes, G ground truths, D kept detections,
C channels, S logits a reference, H W size. Boxes are xyxy, float32, half-open, in pixels of the network's input
unless a docstring says otherwise. Sizes are (height, width). Labels are 0..K-1.
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
    """What a neck or head must know of maps to be built without running anything."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]


class References(NamedTuple):
    """Boxes that a stage refines: anchors in the first stage, in a later one what the stage before it selected."""

    boxes: Tensor  # [N, 4] or [B, N, 4]
    cell: Tensor  # [N, 1] side of the grid cell a box belongs to, px (1 for proposals)
    counts: tuple[int, ...]  # references a level, summing to N: per-level selection is a static split


class Predictions(NamedTuple):
    """What a head says of every reference."""

    codes: Tensor  # [B, N, 4] or, one box a class, [B, N, K, 4]
    logits: Tensor  # [B, N, S] S = K+1, K or 1+K, as the stage's `scores` reads them; of M heads [B, N, M, S]


class Targets(NamedTuple):
    """Ground truth, padded to G."""

    boxes: Tensor  # [B, G, 4]
    labels: Tensor  # [B, G] int64
    valid: Tensor  # [B, G] bool, False marks padding
    crowd: Tensor  # [B, G] bool
    masks: Tensor | None = None  # [B, G, M, M] small crops of their boxes
    has_mask: Tensor | None = None  # [B, G] bool, whose mask is known; None: every one's


class Assignment(NamedTuple):
    """Which truth each reference answers for; neither positive nor negative means ignored."""

    truth: Tensor  # [B, N] int64, meaningful where positive
    positive: Tensor  # [B, N] bool
    negative: Tensor  # [B, N] bool


class Detections(NamedTuple):
    """Finished boxes at fixed capacity, sorted by falling score; score 0 marks an empty slot."""

    boxes: Tensor  # [B, D, 4]
    scores: Tensor  # [B, D]
    labels: Tensor  # [B, D] int64
    masks: Tensor | None = None  # [B, D, M, M]

    def to(self, device: torch.device | str) -> "Detections":
        masks = None if self.masks is None else self.masks.to(device)
        return Detections(self.boxes.to(device), self.scores.to(device), self.labels.to(device), masks)


class Backbone(Protocol):
    """Images to maps; `tail` is the rest of the network, run on crops by two-stage detectors."""

    info: FeatureInfo

    def trunk(self, pixels: Tensor) -> tuple[Tensor, ...]: ...

    def tail(self, crops: Tensor) -> Tensor: ...


class Coder(Protocol):
    """How a box is written relative to its reference."""

    def encode(self, boxes: Tensor, refs: References) -> Tensor: ...

    def decode(self, codes: Tensor, refs: References) -> Tensor: ...


class Matcher(Protocol):
    """`decoded` are the predicted boxes [B, N, 4] (YOLO's ignore rule), or the references themselves where they are
    matched before anything is predicted (`Sampler`); `sizes` [B, 2] the true image sizes."""

    def __call__(self, refs: References, targets: Targets, decoded: Tensor, sizes: Tensor) -> Assignment: ...


class Sampler(Protocol):
    """The weight [B, N] of every reference in the loss; `cost` [B, N] its loss now, `noise` [B, N] uniform in 0..1.

    `mines` where cost or decoded boxes decide; they mean nothing to the others. `size` is how many references of an
    image have weight at most, None where there is no limit: of a sampler that has one and does not mine, a region
    stage predicts the drawn references alone.
    """

    @property
    def mines(self) -> bool: ...

    @property
    def size(self) -> int | None: ...

    def __call__(self, assignment: Assignment, cost: Tensor, decoded: Tensor, noise: Tensor) -> Tensor: ...


class Normalizer(Protocol):
    """What a batch's sum is divided by: its `count`, a scalar, plus `extra`, at least 1.

    Where processes share a batch it is their part of the whole batch's, so that the mean over processes is exact.
    """

    def __call__(self, count: Tensor, extra: int = 0) -> Tensor: ...


class Loss(Protocol):
    """One scalar a term, already divided by the term's own normalizer; `cost` is each reference's loss now, [B, N].

    Boxes are encoded by `coder`, which must be the stage's. Counts over a whole batch pass through `divisor`; means
    over images need none. `of_sample` where references of weight 0 count for nothing, not even in the normalizer, so
    that a stage may leave them out.
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
    """boxes [B, N, 4] or [B, N, K, 4], scores [B, N, K] -> the best detections, `keep` of them (None: all N)."""

    @property
    def keep(self) -> int | None: ...

    def __call__(self, boxes: Tensor, scores: Tensor, counts: tuple[int, ...], sizes: Tensor) -> Detections: ...
