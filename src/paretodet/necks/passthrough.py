"""YOLO v2's passthrough (Redmon and Farhadi 2017, section 2, "Fine-Grained Features"), with darknet's reorg layer."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from paretodet.layers.activations import Leaky
from paretodet.layers.conv import conv_norm_act
from paretodet.layers.init import he_
from paretodet.layers.norms import BatchNorm, FrozenNorm
from paretodet.layers.reorg import Reorg
from paretodet.types import FeatureInfo


@dataclass(frozen=True, kw_only=True)
class Passthrough:
    """Two maps become one coarse map: the fine one, rearranged, concatenated with the coarse one after two 3x3
    convolutions.

    `squeeze` is the number of channels of a 1x1 convolution before the rearrangement; None, as in 2016: no convolution.
    """

    squeeze: int | None = 64
    depth: int = 1024
    norm: BatchNorm | FrozenNorm = BatchNorm(eps=1e-5, momentum=0.01)

    def build(self, info: FeatureInfo) -> nn.Module:
        return _Passthrough(self, info)


class _Passthrough(nn.Module):
    """Its convolutions are registered and run in darknet's order."""

    def __init__(self, spec: Passthrough, info: FeatureInfo):
        super().__init__()
        (fine, coarse), depth = info.channels, spec.depth
        self.info = FeatureInfo((depth,), info.strides[1:])
        passed = spec.squeeze or fine

        def conv(channels: int, depth: int, kernel: int = 3) -> nn.Module:
            return conv_norm_act(channels, depth, kernel=kernel, norm=spec.norm, activation=Leaky())

        self.convs = nn.Sequential(conv(coarse, depth), conv(depth, depth))
        self.squeeze = conv(fine, passed, kernel=1) if spec.squeeze else nn.Identity()
        self.reorg = Reorg()
        self.out = conv(passed * 4 + depth, depth)
        he_(self)

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        fine, coarse = maps
        coarse = self.convs(coarse)
        return (self.out(torch.cat([self.reorg(self.squeeze(fine)), coarse], 1)),)
