"""YOLO v3's top-down path (Redmon and Farhadi 2018, section 2.3): each level convolves, then feeds the finer one."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paretodet.layers.activations import Leaky
from paretodet.layers.conv import conv_norm_act
from paretodet.layers.norms import BatchNorm, FrozenNorm
from paretodet.types import FeatureInfo


@dataclass(frozen=True, kw_only=True)
class TopDown:
    """Maps coarse to fine: five convolutions a level, a 3x3 for the head; 1x1, upsample, concatenate to go down."""

    norm: BatchNorm | FrozenNorm = BatchNorm(eps=1e-5, momentum=0.01)

    def build(self, info: FeatureInfo) -> nn.Module:
        return _TopDown(self, info)


class _Level(nn.Module):
    """Alternating 1x1 and 3x3 convolutions; gives the map for the head and the one for the way down."""

    def __init__(self, channels: int, depth: int, norm: BatchNorm | FrozenNorm):
        super().__init__()
        widths = (channels, depth, depth * 2, depth, depth * 2, depth)
        self.convs = nn.Sequential(
            *(
                conv_norm_act(c, d, kernel=3 if i % 2 else 1, norm=norm, activation=Leaky())
                for i, (c, d) in enumerate(zip(widths, widths[1:], strict=False))
            )
        )
        self.out = conv_norm_act(depth, depth * 2, kernel=3, norm=norm, activation=Leaky())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        down = self.convs(x)
        return self.out(down), down


class _TopDown(nn.Module):
    def __init__(self, spec: TopDown, info: FeatureInfo):
        super().__init__()
        channels = info.channels[::-1]
        depths = tuple(c // 2 for c in channels)
        self.info = FeatureInfo(channels, info.strides[::-1])
        inputs = (channels[0], *(d // 2 + c for d, c in zip(depths, channels[1:], strict=False)))
        self.levels = nn.ModuleList(_Level(c, d, spec.norm) for c, d in zip(inputs, depths, strict=True))
        self.routes = nn.ModuleList(
            conv_norm_act(d, d // 2, kernel=1, norm=spec.norm, activation=Leaky()) for d in depths[:-1]
        )

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        coarse, *finer = maps[::-1]
        out, down = self.levels[0](coarse)
        found = [out]
        for level, route, skip in zip(self.levels[1:], self.routes, finer, strict=True):
            up = F.interpolate(route(down), scale_factor=2.0, mode="nearest")
            out, down = level(torch.cat([up, skip], 1))
            found.append(out)
        return tuple(found)
