"""ResNet v1 (He et al. 2015) with TF-slim's strides: the last unit of blocks 1 to 3 halves the map in its 3x3."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from paretodet.layers.activations import Linear, Relu
from paretodet.layers.conv import conv_norm_act
from paretodet.layers.norms import BatchNorm, FrozenNorm
from paretodet.layers.padding import SameMaxPool2d
from paretodet.types import FeatureInfo

UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@dataclass(frozen=True, kw_only=True)
class ResNet:
    """Trunk conv1..block3 at `output_stride` 8 or 16 by dilation; tail block4, all strides and dilations 1.

    Huang et al. section 3.6.1: the region proposals and crops use block3 (their "conv4"), 1024 channels.
    """

    depth: int = 101
    output_stride: int = 16
    norm: BatchNorm | FrozenNorm = FrozenNorm(eps=1e-5)

    def __post_init__(self) -> None:
        if self.depth not in UNITS:
            raise ValueError(f"depth: {self.depth} is not one of {', '.join(map(str, UNITS))}")
        if self.output_stride not in (8, 16):
            raise ValueError(f"output_stride: {self.output_stride} is not one of 8, 16")

    def build(self) -> "ResNetNet":
        return ResNetNet(self)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a shortcut: a projection where the depth changes, else the subsampled input."""

    def __init__(self, channels: int, depth: int, stride: int, dilation: int, norm: BatchNorm | FrozenNorm):
        super().__init__()
        width = depth // 4
        self.stride = stride
        self.shortcut = (
            conv_norm_act(channels, depth, kernel=1, stride=stride, norm=norm, activation=Linear())
            if channels != depth
            else None
        )
        self.squeeze = conv_norm_act(channels, width, kernel=1, norm=norm, activation=Relu())
        self.spatial = conv_norm_act(
            width, width, kernel=3, stride=stride, dilation=dilation, norm=norm, activation=Relu()
        )
        self.expand = conv_norm_act(width, depth, kernel=1, norm=norm, activation=Linear())

    def forward(self, x: Tensor) -> Tensor:
        kept = self.shortcut(x) if self.shortcut is not None else x[:, :, :: self.stride, :: self.stride]
        return F.relu(kept + self.expand(self.spatial(self.squeeze(x))))


def strides(units: tuple[int, ...], output_stride: int) -> Iterator[tuple[int, int]]:
    """(stride, dilation) of every unit: once the wanted stride is reached, strides turn into dilation."""
    reached, dilation = 4, 1
    for count in units:
        for index in range(count):
            step = 2 if index == count - 1 else 1
            if reached == output_stride:
                yield 1, dilation
                dilation *= step
            else:
                yield step, 1
                reached *= step


class ResNetNet(nn.Module):
    tail_channels = 2048

    def __init__(self, spec: ResNet):
        super().__init__()
        units = UNITS[spec.depth]
        self.info = FeatureInfo((1024,), (spec.output_stride,))
        self.stem = conv_norm_act(3, 64, kernel=7, stride=2, norm=spec.norm, activation=Relu())
        self.pool = SameMaxPool2d(3, 2)
        steps = strides(units[:3], spec.output_stride)
        channels, blocks = 64, []
        for count, depth in zip(units, (256, 512, 1024), strict=False):
            for _ in range(count):
                blocks.append(Bottleneck(channels, depth, *next(steps), spec.norm))
                channels = depth
        self.blocks = nn.Sequential(*blocks)
        self.block4 = nn.Sequential(
            *(Bottleneck(1024 if i == 0 else 2048, 2048, 1, 1, spec.norm) for i in range(units[3]))
        )

    def trunk(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] -> block3 of side ceil(H / output_stride)."""
        return (self.blocks(self.pool(self.stem(pixels))),)

    def tail(self, crops: Tensor) -> Tensor:
        """[R, 1024, h, w] -> [R, 2048, h, w]"""
        return self.block4(crops)
