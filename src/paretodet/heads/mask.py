"""Mask R-CNN's branch on the final boxes (He et al. 2017, arXiv 1703.06870, section 3 and figure 4)."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from paretodet.heads.pyramid import PyramidAlign
from paretodet.heads.region import CropAndResize
from paretodet.layers.init import he_, trunc_normal_
from paretodet.layers.strides import check_strides
from paretodet.types import FeatureInfo


@dataclass(frozen=True, kw_only=True)
class MaskHead:
    """`convs` 3x3 convolutions, a transposed 2x2/2 one, then one mask for each class, with twice the resolution of
    the crop.

    As in Detectron and torchvision a mask is also predicted for the background, first, and not used; Detectron2 has
    none (`background`).
    """

    crop: PyramidAlign = PyramidAlign(bins=14)
    convs: int = 4
    channels: int = 256
    background: bool = True

    def build(self, info: FeatureInfo, tail_channels: int, classes: int) -> nn.Module:
        """Raises ValueError if the strides of the crop are not those of the maps."""
        check_strides("crop", self.crop.strides, info.strides[: len(self.crop.strides)])
        return _MaskHead(self, info.channels[0], classes)

    def of_class(self, masks: Tensor, labels: Tensor) -> Tensor:
        """All masks [B*R, S, M, M] of the boxes -> [B, R, M, M], those of their labels [B, R]."""
        return masks_of(masks, labels + int(self.background))


@dataclass(frozen=True, kw_only=True)
class TailMaskHead:
    """TensorFlow's Object Detection API, without a pyramid: crops pass the backbone's tail, as those of region heads
    do. The result is enlarged to `side` x `side` by bilinear samples, of which the first and the last are the outermost
    cells, then come `convs` 3x3 convolutions; the last one gives a mask for each class.

    The channels between them depend on the K classes and the C channels of the tail: 2 to the power of (3 log2 K + 2
    log2 C) / 5, rounded to a whole number.
    """

    crop: CropAndResize = CropAndResize()
    convs: int = 2
    side: int = 15

    def build(self, info: FeatureInfo, tail_channels: int, classes: int) -> nn.Module:
        """Raises ValueError for a backbone without a tail."""
        if tail_channels < 1:
            raise ValueError(f"tail: got a backbone with {tail_channels} channels behind it, allowed 1 or more")
        return _TailMaskHead(self, tail_channels, classes)

    def of_class(self, masks: Tensor, labels: Tensor) -> Tensor:
        """As `MaskHead.of_class`."""
        return masks_of(masks, labels)


class _TailMaskHead(nn.Module):
    def __init__(self, spec: TailMaskHead, channels: int, classes: int):
        super().__init__()
        self.spec, self.crop = spec, spec.crop
        depth = 2 ** round((3 * math.log2(classes) + 2 * math.log2(channels)) / 5)
        sizes = [channels, *[depth] * (spec.convs - 1), classes]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes))
        for conv in self.convs:
            trunc_normal_(conv, 0.01)

    def forward(
        self,
        maps: tuple[Tensor, ...],
        boxes: Tensor,
        labels: Tensor,
        canvas: tuple[int, int],
        tail: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """As `MaskHead`'s, M = side."""
        return self.spec.of_class(self.outputs(self.crop(maps, boxes, canvas), tail), labels)

    def outputs(self, crops: Tensor, tail: Callable[[Tensor], Tensor]) -> Tensor:
        """N crops -> logits [N, K, M, M]."""
        *hidden, last = self.convs
        values = F.interpolate(tail(crops), (self.spec.side,) * 2, mode="bilinear", align_corners=True)
        for conv in hidden:
            values = F.relu(conv(values))
        logits: Tensor = last(values)
        return logits


class _MaskHead(nn.Module):
    def __init__(self, spec: MaskHead, channels: int, classes: int):
        super().__init__()
        self.spec, self.crop = spec, spec.crop
        depth = spec.channels
        steps: OrderedDict[str, nn.Module] = OrderedDict()
        for index in range(spec.convs):
            steps[f"conv{index + 1}"] = nn.Conv2d(depth if index else channels, depth, 3, padding=1)
            steps[f"relu{index + 1}"] = nn.ReLU(inplace=True)
        steps["enlarge"] = nn.ConvTranspose2d(depth, depth, 2, 2)
        steps["relu"] = nn.ReLU(inplace=True)
        steps["masks"] = nn.Conv2d(depth, spec.background + classes, 1)
        self.layers = nn.Sequential(steps)
        he_(self)

    def forward(
        self,
        maps: tuple[Tensor, ...],
        boxes: Tensor,
        labels: Tensor,
        canvas: tuple[int, int],
        tail: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """boxes [B, R, 4], labels [B, R] -> logits [B, R, M, M] of the class of each box, M = 2 * bins."""
        return self.spec.of_class(self.outputs(self.crop(maps, boxes, canvas)), labels)

    def outputs(self, crops: Tensor, tail: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """N crops -> logits [N, S, M, M] of all classes; no backbone's tail is run."""
        logits: Tensor = self.layers(crops)
        return logits


def masks_of(masks: Tensor, labels: Tensor) -> Tensor:
    """masks [B*R, K, M, M], labels [B, R] of the K -> [B, R, M, M] of the class of each box."""
    of_class = labels.flatten()[:, None, None, None].expand(-1, 1, *masks.shape[2:])
    return masks.gather(1, of_class).view(*labels.shape, *masks.shape[2:])
