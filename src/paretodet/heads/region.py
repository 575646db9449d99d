"""Heads that look at each proposal: crop, run the rest of the network, then say class and box."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from paretodet.layers.init import normal_, xavier_
from paretodet.layers.strides import check_strides
from paretodet.ops.roi import crop_and_resize, roi_pool
from paretodet.types import FeatureInfo, Predictions, References


class Crop(Protocol):
    """How boxes [B, R, 4] are cut out of maps, the first of which have `strides`: [B*R, C, bins, bins]."""

    @property
    def strides(self) -> tuple[int | None, ...]: ...

    def __call__(self, maps: tuple[Tensor, ...], boxes: Tensor, canvas: tuple[int, int]) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class CropAndResize:
    """Huang et al. section 2.1.2: bilinear crop of `bins` x `bins`, then max-pooling of `pool` x `pool`."""

    bins: int = 14
    pool: int = 2

    @property
    def strides(self) -> tuple[None, ...]:
        return (None,)

    def __call__(self, maps: tuple[Tensor, ...], boxes: Tensor, canvas: tuple[int, int]) -> Tensor:
        """[B, R, 4] -> [B*R, C, bins/pool, bins/pool]; no gradient to the boxes."""
        crops = crop_and_resize(maps[0], boxes, self.bins, canvas).flatten(0, 1)
        return F.max_pool2d(crops, self.pool) if self.pool > 1 else crops


@dataclass(frozen=True, kw_only=True)
class RoIPool:
    """Max-pooling into `bins` x `bins` parts of each box, as Caffe rounds them (Girshick 2015, section 2.1)."""

    bins: int = 7
    stride: int = 16

    @property
    def strides(self) -> tuple[int, ...]:
        return (self.stride,)

    def __call__(self, maps: tuple[Tensor, ...], boxes: Tensor, canvas: tuple[int, int]) -> Tensor:
        """[B, R, 4] -> [B*R, C, bins, bins]; no gradient to the boxes. Caffe's boxes end on their last pixel."""
        ends = boxes - boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
        return roi_pool(maps[0], ends, stride=self.stride, bins=self.bins).flatten(0, 1)


@dataclass(frozen=True, kw_only=True)
class BoxHead:
    """Faster R-CNN: crop, the backbone's tail, global average, one fully connected layer each for class and box.

    Huang et al.'s start from Xavier; with `background_box` a box is also predicted for the background, and never read,
    and the weights start from N(0, 0.01) for classes and N(0, 0.001) for boxes: py-faster-rcnn.
    """

    crop: Crop = CropAndResize()
    background_box: bool = False

    def build(self, info: FeatureInfo, tail_channels: int, classes: int, logits: int) -> nn.Module:
        """Raises ValueError for a backbone without a tail, as this head has no layers of its own for crops, and for
        crops of other strides than the maps'."""
        check_strides("crop", self.crop.strides, info.strides[: len(self.crop.strides)])
        if tail_channels < 1:
            raise ValueError(f"tail: got a backbone with {tail_channels} channels behind it, allowed 1 or more")
        return _BoxHead(self, tail_channels, classes, logits)


class _BoxHead(nn.Module):
    def __init__(self, spec: BoxHead, channels: int, classes: int, logits: int):
        super().__init__()
        self.crop, self.skip = spec.crop, int(spec.background_box)
        self.scores = nn.Linear(channels, logits)
        self.boxes = nn.Linear(channels, (self.skip + classes) * 4)
        xavier_(self)
        if spec.background_box:
            normal_(self.scores, 0.01)
            normal_(self.boxes, 0.001)

    def forward(
        self, maps: tuple[Tensor, ...], refs: References, canvas: tuple[int, int], tail: Callable[[Tensor], Tensor]
    ) -> Predictions:
        batch, count = refs.boxes.shape[:2]
        found = tail(self.crop(maps, refs.boxes, canvas))
        vectors = found.mean((2, 3)) if found.dim() == 4 else found
        codes = self.boxes(vectors).view(batch, count, -1, 4)[:, :, self.skip :]
        return Predictions(codes, self.scores(vectors).view(batch, count, -1))
