"""Region heads: crop the maps at each reference, run further layers, predict class and box."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from paretodet.layers.init import normal_, xavier_
from paretodet.layers.strides import check_strides
from paretodet.ops.roi import crop_and_resize, roi_pool
from paretodet.types import FeatureInfo, Predictions, References


class Crop(Protocol):
    """Boxes [B, R, 4] cropped from maps, the first of which have `strides` (None accepts any): [B*R, C, bins, bins]."""

    @property
    def strides(self) -> tuple[int | None, ...]: ...

    def __call__(self, maps: tuple[Tensor, ...], boxes: Tensor, canvas: tuple[int, int]) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class CropAndResize:
    """Huang et al. section 2.1.2: bilinear crop to `bins` x `bins`, then max pooling by `pool` x `pool`."""

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
    """Max pooling of each box into `bins` x `bins` parts, rounded as in Caffe (Girshick 2015, section 2.1)."""

    bins: int = 7
    stride: int = 16

    @property
    def strides(self) -> tuple[int, ...]:
        return (self.stride,)

    def __call__(self, maps: tuple[Tensor, ...], boxes: Tensor, canvas: tuple[int, int]) -> Tensor:
        """[B, R, 4] -> [B*R, C, bins, bins]; no gradient to the boxes. Caffe's boxes include their last pixel."""
        ends = boxes - boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
        return roi_pool(maps[0], ends, stride=self.stride, bins=self.bins).flatten(0, 1)


@dataclass(frozen=True, kw_only=True)
class BoxHead:
    """Faster R-CNN: crop, the backbone's tail, global average, one fully connected layer for classes and one for boxes.

    Weights are initialized by Xavier's rule (Huang et al.). With `background_box` a box is also predicted for the
    background, which is never read, and weights are drawn from N(0, 0.01) for classes and N(0, 0.001) for boxes:
    py-faster-rcnn. If `class_agnostic`, one box serves all classes: codes are [B, R, 4], else [B, R, K, 4].
    """

    crops_first: ClassVar[bool] = True
    crop: Crop = CropAndResize()
    background_box: bool = False
    class_agnostic: bool = False

    def build(self, info: FeatureInfo, tail_channels: int, classes: int, logits: int) -> nn.Module:
        """Raises ValueError for a backbone without a tail, which this head needs to process crops, and for crops of
        other strides than the maps'."""
        check_strides("crop", self.crop.strides, info.strides[: len(self.crop.strides)])
        if tail_channels < 1:
            raise ValueError(f"tail: got a backbone with {tail_channels} channels behind it, allowed 1 or more")
        return _BoxHead(self, tail_channels, classes, logits)

    def predictions(self, codes: Tensor, logits: Tensor, refs: References) -> Predictions:
        """What its layers compute for all references [B, R] of a batch: codes [B*R, D] and logits [B*R, S]."""
        shape = refs.boxes.shape[:2]
        boxes = codes.view(*shape, -1, 4)[:, :, int(self.background_box) :]
        return Predictions(boxes[:, :, 0] if self.class_agnostic else boxes, logits.view(*shape, -1))


class _BoxHead(nn.Module):
    def __init__(self, spec: BoxHead, channels: int, classes: int, logits: int):
        super().__init__()
        self.spec, self.crop = spec, spec.crop
        self.scores = nn.Linear(channels, logits)
        self.boxes = nn.Linear(channels, (spec.background_box + (1 if spec.class_agnostic else classes)) * 4)
        xavier_(self)
        if spec.background_box:
            normal_(self.scores, 0.01)
            normal_(self.boxes, 0.001)

    def forward(
        self, maps: tuple[Tensor, ...], refs: References, canvas: tuple[int, int], tail: Callable[[Tensor], Tensor]
    ) -> Predictions:
        return self.predict(self.crop(maps, refs.boxes, canvas), refs, tail)

    def predict(self, crops: Tensor, refs: References, tail: Callable[[Tensor], Tensor]) -> Predictions:
        """From the crops [B*R, C, bins, bins] of the references."""
        return self.spec.predictions(*self.outputs(crops, tail), refs)

    def outputs(self, crops: Tensor, tail: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """N crops -> codes [N, D] and logits [N, S]."""
        processed = tail(crops)
        vectors = processed.mean((2, 3)) if processed.dim() == 4 else processed
        return self.boxes(vectors), self.scores(vectors)
