"""Feature pyramid network (Lin et al. 2017, arXiv 1612.03144, section 3): equal channels on all levels, top-down."""

from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from paretodet.layers.init import caffe_xavier_
from paretodet.types import FeatureInfo

Maps = tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class Subsample:
    """One more level: every second row and column of the coarsest level (Lin et al. section 4.1's P6)."""

    def info(self, channels: int, stride: int) -> FeatureInfo:
        return FeatureInfo((channels,), (stride * 2,))

    def build(self, deepest: int, channels: int) -> nn.Module:
        return _Subsample()


@dataclass(frozen=True, kw_only=True)
class Convolutions:
    """RetinaNet's two more levels (Lin et al. 2017, arXiv 1708.02002, section 4): P6 is a 3x3/2 convolution, P7 another
    one after a ReLU on P6. The input of P6 is the deepest map of the backbone, as in the paper (C5), or with `smoothed`
    the coarsest level of the pyramid (P5: torchvision's first RetinaNet; its second uses C5).
    """

    smoothed: bool = False

    def info(self, channels: int, stride: int) -> FeatureInfo:
        return FeatureInfo((channels, channels), (stride * 2, stride * 4))

    def build(self, deepest: int, channels: int) -> nn.Module:
        return _Convolutions(channels if self.smoothed else deepest, channels, self.smoothed)


@dataclass(frozen=True, kw_only=True)
class FPN:
    """Lateral 1x1 convolutions to `channels`; the coarser level is upsampled to the size of the finer one by nearest
    neighbor (so that any canvas works) and added; then a 3x3 convolution on each level. Biases, no norm, no activation.
    """

    channels: int = 256
    extra: Subsample | Convolutions | None = None

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise ValueError(f"channels: got {self.channels}, allowed 1 or more")

    def build(self, info: FeatureInfo) -> nn.Module:
        """Raises ValueError unless the strides of the maps increase."""
        if any(fine >= coarse for fine, coarse in pairwise(info.strides)):
            raise ValueError(f"taps: got maps of strides {info.strides}, allowed increasing ones")
        return _FPN(self, info)


class _Subsample(nn.Module):
    def forward(self, deepest: Tensor, coarsest: Tensor) -> Maps:
        return (F.max_pool2d(coarsest, 1, 2),)


class _Convolutions(nn.Module):
    def __init__(self, source: int, channels: int, smoothed: bool):
        super().__init__()
        self.smoothed = smoothed
        self.p6 = nn.Conv2d(source, channels, 3, 2, 1)
        self.p7 = nn.Conv2d(channels, channels, 3, 2, 1)

    def forward(self, deepest: Tensor, coarsest: Tensor) -> Maps:
        p6 = self.p6(coarsest if self.smoothed else deepest)
        return p6, self.p7(F.relu(p6))


class _FPN(nn.Module):
    """Maps fine to coarse -> levels fine to coarse."""

    def __init__(self, spec: FPN, info: FeatureInfo):
        super().__init__()
        depth = spec.channels
        self.laterals = nn.ModuleList(nn.Conv2d(c, depth, 1) for c in info.channels)
        self.smooth = nn.ModuleList(nn.Conv2d(depth, depth, 3, padding=1) for _ in info.channels)
        self.extra = spec.extra.build(info.channels[-1], depth) if spec.extra else None
        more = spec.extra.info(depth, info.strides[-1]) if spec.extra else FeatureInfo((), ())
        self.info = FeatureInfo((depth,) * len(info.channels) + more.channels, info.strides + more.strides)
        caffe_xavier_(self)

    def forward(self, maps: Maps) -> Maps:
        levels = [smooth(x) for smooth, x in zip(self.smooth, self._top_down(maps), strict=True)]
        more = self.extra(maps[-1], levels[-1]) if self.extra else ()
        return (*levels, *more)

    def _top_down(self, maps: Maps) -> list[Tensor]:
        finer, coarsest = list(zip(self.laterals, maps, strict=True))[:-1], self.laterals[-1](maps[-1])
        merged = [coarsest]
        for lateral, x in reversed(finer):
            merged.append(lateral(x).add_(F.interpolate(merged[-1], size=x.shape[-2:], mode="nearest")))
        return merged[::-1]
