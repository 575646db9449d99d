"""Heads that look at each proposal: crop, run the rest of the network, then say class and box."""

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from paretodet.layers.init import xavier_
from paretodet.ops.roi import crop_and_resize
from paretodet.types import FeatureInfo, Predictions, References


@dataclass(frozen=True, kw_only=True)
class CropAndResize:
    """Huang et al. section 2.1.2: bilinear crop of `bins` x `bins`, then max-pooling of `pool` x `pool`."""

    bins: int = 14
    pool: int = 2

    def __call__(self, maps: tuple[Tensor, ...], boxes: Tensor, canvas: tuple[int, int]) -> Tensor:
        """[B, R, 4] -> [B*R, C, bins/pool, bins/pool]; no gradient to the boxes."""
        crops = crop_and_resize(maps[0], boxes, self.bins, canvas).flatten(0, 1)
        return F.max_pool2d(crops, self.pool) if self.pool > 1 else crops


@dataclass(frozen=True, kw_only=True)
class BoxHead:
    """Faster R-CNN: crop, the backbone's tail, global average, one fully connected layer each for class and box."""

    crop: CropAndResize = CropAndResize()

    def build(self, info: FeatureInfo, tail_channels: int, classes: int, logits: int) -> nn.Module:
        return _BoxHead(self, tail_channels, classes, logits)


class _BoxHead(nn.Module):
    def __init__(self, spec: BoxHead, channels: int, classes: int, logits: int):
        super().__init__()
        self.crop = spec.crop
        self.scores = nn.Linear(channels, logits)
        self.boxes = nn.Linear(channels, classes * 4)
        for layer in (self.scores, self.boxes):
            xavier_(layer)

    def forward(
        self, maps: tuple[Tensor, ...], refs: References, canvas: tuple[int, int], tail: Callable[[Tensor], Tensor]
    ) -> Predictions:
        batch, count = refs.boxes.shape[:2]
        found = tail(self.crop(maps, refs.boxes, canvas))
        vectors = found.mean((2, 3)) if found.dim() == 4 else found
        codes = self.boxes(vectors).view(batch, count, -1, 4)
        return Predictions(codes, self.scores(vectors).view(batch, count, -1))
