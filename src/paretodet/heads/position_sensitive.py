"""R-FCN's region head: score maps of the whole image, one for each part of a box, averaged over each proposal."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from paretodet.layers.init import trunc_normal_
from paretodet.ops.roi import position_sensitive_crop
from paretodet.types import FeatureInfo, Predictions, References


@dataclass(frozen=True, kw_only=True)
class PositionSensitiveHead:
    """The tail on the whole map, a 1x1 convolution to `depth` with ReLU, then two 1x1 convolutions to maps that are
    position-sensitive: `bins`^2 (K+1) for scores and `bins`^2 4K for boxes, one for each class.

    A proposal's logits and codes are the means of its bins (Dai et al. 2016, equation 1); a bin is the mean of crop /
    bins samples a side. Huang et al. section 3.6.2: bins 7 and crop 21, or 3 and 12. Without a
    tail the map itself is used. Raises ValueError unless `crop` is a multiple of `bins`.
    """

    crops_first: ClassVar[bool] = False
    bins: int = 7
    crop: int = 21
    depth: int = 1024

    def __post_init__(self) -> None:
        if self.bins < 1 or self.crop < self.bins or self.crop % self.bins:
            raise ValueError(f"crop: got {self.crop}, allowed multiples of bins, {self.bins}")

    def build(self, info: FeatureInfo, tail_channels: int, classes: int, logits: int) -> nn.Module:
        return _PositionSensitiveHead(self, info, tail_channels, classes, logits)

    def vote(self, boxes: Tensor, scores: Tensor, refs: References, canvas: tuple[int, int]) -> Predictions:
        """The means of each reference's bins in the two position-sensitive maps [B, bins * bins * D, H, W]."""
        codes, logits = (self._means(maps, refs.boxes, canvas) for maps in (boxes, scores))
        return Predictions(codes.view(*codes.shape[:2], -1, 4), logits)

    def _means(self, maps: Tensor, boxes: Tensor, canvas: tuple[int, int]) -> Tensor:
        """[B, bins * bins * D, H, W] -> [B, R, D]"""
        return position_sensitive_crop(maps, boxes, self.bins, canvas, samples=self.crop // self.bins).mean((-2, -1))


class _PositionSensitiveHead(nn.Module):
    def __init__(self, spec: PositionSensitiveHead, info: FeatureInfo, tail_channels: int, classes: int, logits: int):
        super().__init__()
        self.spec, self.tailed = spec, tail_channels > 0
        self.reduce = nn.Conv2d(tail_channels or info.channels[0], spec.depth, 1)
        self.scores = nn.Conv2d(spec.depth, spec.bins**2 * logits, 1)
        self.boxes = nn.Conv2d(spec.depth, spec.bins**2 * classes * 4, 1)
        for layer in (self.reduce, self.scores, self.boxes):
            trunc_normal_(layer, 0.01)

    def forward(
        self, maps: tuple[Tensor, ...], refs: References, canvas: tuple[int, int], tail: Callable[[Tensor], Tensor]
    ) -> Predictions:
        boxes, scores = self.score_maps(maps, tail)
        return self.spec.vote(boxes, scores, refs, canvas)

    def score_maps(self, maps: tuple[Tensor, ...], tail: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """The position-sensitive maps for boxes and scores."""
        reduced = F.relu(self.reduce(tail(maps[0]) if self.tailed else maps[0]))
        return self.boxes(reduced), self.scores(reduced)
