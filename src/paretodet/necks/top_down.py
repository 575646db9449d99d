"""YOLO v3's top-down path (Redmon and Farhadi 2018, section 2.3): each level feeds the finer one."""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paretodet.layers.activations import Leaky
from paretodet.layers.conv import conv_norm_act
from paretodet.layers.init import he_
from paretodet.layers.norms import BatchNorm, FrozenNorm
from paretodet.types import FeatureInfo


@dataclass(frozen=True, kw_only=True)
class TopDown:
    """Maps coarse to fine. A level has `convs` alternating convolutions, 1x1 to `depths` and 3x3 to twice the depth,
    then a 3x3 to twice the depth for the head. For the finer level: a 1x1 to half the depth, upsampling, concatenation.
    """

    depths: tuple[int, ...] = (512, 256, 128)
    convs: tuple[int, ...] = (5, 5, 5)
    norm: BatchNorm | FrozenNorm = BatchNorm(eps=1e-5, momentum=0.01)

    @staticmethod
    def tiny() -> "TopDown":
        """As in darknet's yolov3-tiny.cfg."""
        return TopDown(depths=(256, 128), convs=(1, 0))

    def build(self, info: FeatureInfo) -> nn.Module:
        return _TopDown(self, info)


class _Level(nn.Module):
    """Alternating 1x1 and 3x3 convolutions; returns the map for the head and the one for the finer level."""

    def __init__(self, channels: int, depth: int, convs: int, norm: BatchNorm | FrozenNorm):
        super().__init__()
        widths = (channels, *(depth * 2 if i % 2 else depth for i in range(convs)))
        self.convs = nn.Sequential(
            *(
                conv_norm_act(c, d, kernel=3 if i % 2 else 1, norm=norm, activation=Leaky())
                for i, (c, d) in enumerate(pairwise(widths))
            )
        )
        self.out = conv_norm_act(widths[-1], depth * 2, kernel=3, norm=norm, activation=Leaky())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        down = self.convs(x)
        return self.out(down), down


class _TopDown(nn.Module):
    def __init__(self, spec: TopDown, info: FeatureInfo):
        super().__init__()
        depths, skips = spec.depths, info.channels[::-1]
        self.info = FeatureInfo(tuple(d * 2 for d in depths), info.strides[::-1])
        inputs = (skips[0], *(d // 2 + c for d, c in zip(depths, skips[1:], strict=False)))
        self.levels = nn.ModuleList(
            _Level(c, d, n, spec.norm) for c, d, n in zip(inputs, depths, spec.convs, strict=True)
        )
        self.routes = nn.ModuleList(
            conv_norm_act(d, d // 2, kernel=1, norm=spec.norm, activation=Leaky()) for d in depths[:-1]
        )
        he_(self)

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        coarse, *finer = maps[::-1]
        out, down = self.levels[0](coarse)
        outputs = [out]
        for level, route, skip in zip(self.levels[1:], self.routes, finer, strict=True):
            up = F.interpolate(route(down), scale_factor=2.0, mode="nearest")
            out, down = level(torch.cat([up, skip], 1))
            outputs.append(out)
        return tuple(outputs)
