"""ResNet v1 (He et al. 2015, arXiv 1512.03385) in three common layouts, whole or cut for region heads.

Blocks are numbered as in He et al.'s Table 1: conv2 to conv5 (TF-slim's block1 to block4).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from operator import mul
from typing import Literal, NamedTuple

from torch import Tensor, nn

from paretodet.layers.activations import NoActivation, Relu
from paretodet.layers.conv import conv_norm_act
from paretodet.layers.norms import BatchNorm, FrozenNorm
from paretodet.layers.padding import SameMaxPool2d
from paretodet.layers.width import check_width, scaled
from paretodet.types import FeatureInfo

UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
DEPTHS = (256, 512, 1024, 2048)  # of conv2 to conv5
LAYOUTS = ("slim", "caffe", "torchvision")
Layout = Literal["slim", "caffe", "torchvision"]


@dataclass(frozen=True, kw_only=True)
class ResNet:
    """`taps` are the blocks whose outputs the trunk returns; blocks after the last tap are built only as the tail.

    `layout` is where a block halves the map. "slim": the 3x3 of the last unit of conv2 to conv4. "caffe": the first
    1x1 of the first unit of conv3 to conv5 (He et al., Detectron). "torchvision": the 3x3 of that unit. Slim's
    first pooling has SAME padding, the others have one pixel on every side.

    Strides beyond `output_stride` are replaced by dilation; 32 keeps them all. `tail` builds conv5 for region heads
    with every stride and dilation 1 (Huang et al. 2017 section 3.6.1), for trunks that end in conv4.
    """

    depth: int = 101
    layout: Layout = "slim"
    taps: tuple[int, ...] = (4,)
    tail: bool = True
    output_stride: int = 16
    width: float = 1.0
    norm: BatchNorm | FrozenNorm = FrozenNorm(eps=1e-5)

    def __post_init__(self) -> None:
        if self.depth not in UNITS:
            raise ValueError(f"depth: got {self.depth}, allowed {', '.join(map(str, UNITS))}")
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout: got {self.layout!r}, allowed {', '.join(LAYOUTS)}")
        if not self.taps or list(self.taps) != sorted({2, 3, 4, 5}.intersection(self.taps)):
            raise ValueError(f"taps: got {self.taps}, allowed increasing numbers in 2..5")
        if self.tail and self.taps[-1] != 4:
            raise ValueError(f"tail: got True with taps {self.taps}, allowed if the last tap is 4")
        if self.output_stride not in (8, 16, 32):
            raise ValueError(f"output_stride: got {self.output_stride}, allowed 8, 16, 32")
        check_width(self.width)

    def build(self) -> "ResNetNet":
        return ResNetNet(self)


class ResNetStage(NamedTuple):
    """Strides and dilation of one unit."""

    squeeze: int = 1  # stride of the first 1x1
    spatial: int = 1  # stride of the 3x3
    dilation: int = 1  # of the 3x3

    @property
    def stride(self) -> int:
        return self.squeeze * self.spatial


def steps(units: tuple[int, ...], layout: Layout, output_stride: int) -> Iterator[tuple[ResNetStage, ...]]:
    """The strides and dilations of every unit, block by block; beyond `output_stride` dilation replaces strides.

    In the unit whose stride is replaced, the 3x3 is dilated if the stride was before it, else not: every other pixel of
    the dilated network then equals the strided one.
    """
    reached, dilation = 4, 1
    for block, count in enumerate(units):
        halving = (count - 1 if block < 3 else None) if layout == "slim" else (0 if block else None)
        stages = []
        for index in range(count):
            before, stride = dilation, 2 if index == halving else 1
            if reached * stride > output_stride:
                dilation, stride = 2 * dilation, 1
            reached *= stride
            first = layout == "caffe"
            stages.append(ResNetStage(stride, 1, dilation) if first else ResNetStage(1, stride, before))
        yield tuple(stages)


def block(number: int, stages: tuple[ResNetStage, ...], spec: ResNet) -> Iterator["Bottleneck"]:
    """The units of conv`number`."""
    before, depth = (scaled(d, spec.width) for d in (64, *DEPTHS)[number - 2 : number])
    inner = scaled(DEPTHS[number - 2] // 4, spec.width)
    for index, step in enumerate(stages):
        yield Bottleneck(depth if index else before, depth, inner, step, spec.norm)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a shortcut: a projection if the number of channels changes, else the subsampled input."""

    def __init__(self, channels: int, depth: int, inner: int, step: ResNetStage, norm: BatchNorm | FrozenNorm):
        super().__init__()
        self.stride = step.stride
        self.shortcut = (
            conv_norm_act(channels, depth, kernel=1, stride=self.stride, norm=norm, activation=NoActivation())
            if channels != depth
            else None
        )
        self.squeeze = conv_norm_act(channels, inner, kernel=1, stride=step.squeeze, norm=norm, activation=Relu())
        self.spatial = conv_norm_act(
            inner, inner, kernel=3, stride=step.spatial, dilation=step.dilation, norm=norm, activation=Relu()
        )
        self.expand = conv_norm_act(inner, depth, kernel=1, norm=norm, activation=NoActivation())

    def forward(self, x: Tensor) -> Tensor:
        kept = self.shortcut(x) if self.shortcut is not None else x[:, :, :: self.stride, :: self.stride]
        return self.expand(self.spatial(self.squeeze(x))).add_(kept).relu_()


class ResNetNet(nn.Module):
    """`blocks` has the units of conv2 to conv4 in sequence; `block4` is conv5, either in the trunk or the tail."""

    def __init__(self, spec: ResNet):
        super().__init__()
        self.layout = spec.layout
        units, wanted = UNITS[spec.depth], range(2, spec.taps[-1] + 1)
        walk = tuple(steps(units, spec.layout, spec.output_stride))
        stem, *depths = (scaled(depth, spec.width) for depth in (64, *DEPTHS))
        self.stem = conv_norm_act(3, stem, kernel=7, stride=2, norm=spec.norm, activation=Relu())
        self.pool = SameMaxPool2d(3, 2) if spec.layout == "slim" else nn.MaxPool2d(3, 2, 1)
        blocks = {n: list(block(n, walk[n - 2], spec)) for n in wanted}
        self.blocks = nn.Sequential(*(unit for n in wanted if n < 5 for unit in blocks[n]))
        self.ends = tuple(sum(units[: n - 1]) for n in spec.taps if n < 5)  # units whose output the trunk returns
        self.ends_in_5 = spec.taps[-1] == 5
        if spec.tail or self.ends_in_5:
            self.block4 = nn.Sequential(*(block(5, (ResNetStage(),) * units[3], spec) if spec.tail else blocks[5]))
        self.tail_channels = depths[3] if spec.tail else 0
        strides = tuple(accumulate((4, *(prod(step.stride for step in b) for b in walk)), mul))[1:]
        self.info = FeatureInfo(tuple(depths[n - 2] for n in spec.taps), tuple(strides[n - 2] for n in spec.taps))

    def trunk(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] -> the tapped blocks, sides ceil(H / stride)."""
        maps, x = [], self.pool(self.stem(pixels))
        for number, unit in enumerate(self.blocks, 1):
            x = unit(x)
            if number in self.ends:
                maps.append(x)
        return (*maps, self.block4(x)) if self.ends_in_5 else tuple(maps)

    def tail(self, crops: Tensor) -> Tensor:
        """[R, C4, h, w] -> [R, C5, h, w] for the depths C4 of conv4 and C5 of conv5 (1024 and 2048)."""
        return self.block4(crops)
