"""Networks as tables: consecutive steps, and parallel branches whose outputs are concatenated by channel.

A step is data; its `build` takes the number of input channels and returns that of output channels, so that a table has
only depths, kernels and strides.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from paretodet.layers.activations import Activation
from paretodet.layers.conv import conv_norm_act, separable_conv
from paretodet.layers.norms import Norm
from paretodet.layers.padding import Pair, SameAvgPool2d, SameConv2d, SameMaxPool2d
from paretodet.layers.width import scaled

Padding = Literal["same", "valid"]  # TensorFlow's


@dataclass(frozen=True, kw_only=True)
class ConvStyle:
    """What all convolutions of a network share."""

    norm: Norm
    activation: Activation
    width: float = 1.0


class Built(NamedTuple):
    """The module of a step and its output channels."""

    module: nn.Module
    channels: int


class LayerSpec(Protocol):
    """One layer or several, as data."""

    @property
    def stride(self) -> int: ...

    def build(self, channels: int, style: ConvStyle) -> Built: ...


@dataclass(frozen=True)
class Conv:
    """A convolution to `depth` channels, its norm and its activation."""

    depth: int
    kernel: int | Pair = 1
    stride: int = field(default=1, kw_only=True)
    dilation: int = field(default=1, kw_only=True)
    padding: Padding = field(default="same", kw_only=True)

    def build(self, channels: int, style: ConvStyle) -> Built:
        depth = scaled(self.depth, style.width)
        block = conv_norm_act(
            channels,
            depth,
            kernel=self.kernel,
            stride=self.stride,
            dilation=self.dilation,
            padding=0 if self.padding == "valid" else None,
            conv=SameConv2d if self.stride > 1 and self.padding == "same" else nn.Conv2d,
            norm=style.norm,
            activation=style.activation,
        )
        return Built(block, depth)


@dataclass(frozen=True)
class Separable:
    """Slim's separable convolution, "SAME"; the multiplier is reduced so that channels * multiplier is at most
    depth.
    """

    depth: int
    kernel: int = 3
    stride: int = field(default=1, kw_only=True)
    multiplier: int = field(default=1, kw_only=True)

    def build(self, channels: int, style: ConvStyle) -> Built:
        depth = scaled(self.depth, style.width)
        layers = separable_conv(
            channels,
            depth,
            kernel=self.kernel,
            stride=self.stride,
            multiplier=max(1, min(depth // channels, self.multiplier)),
            conv=SameConv2d,
            norm=style.norm,
            activation=style.activation,
        )
        return Built(layers, depth)


@dataclass(frozen=True)
class MaxPool:
    """Max-pooling."""

    kernel: int = 3
    stride: int = field(default=1, kw_only=True)
    padding: Padding = field(default="same", kw_only=True)

    def build(self, channels: int, style: ConvStyle) -> Built:
        pool = SameMaxPool2d if self.padding == "same" else nn.MaxPool2d
        return Built(pool(self.kernel, self.stride), channels)


@dataclass(frozen=True)
class AvgPool:
    """Average-pooling, "SAME": padding is not counted."""

    kernel: int = 3
    stride: int = field(default=1, kw_only=True)

    def build(self, channels: int, style: ConvStyle) -> Built:
        return Built(SameAvgPool2d(self.kernel, self.stride), channels)


@dataclass(frozen=True)
class Branches:
    """Rows of steps with the same input; their outputs are concatenated by channel."""

    rows: tuple[tuple[LayerSpec, ...], ...]

    @property
    def stride(self) -> int:
        return prod(step.stride for step in self.rows[0])

    def build(self, channels: int, style: ConvStyle) -> Built:
        built = [chain(row, channels, style) for row in self.rows]
        return Built(Concatenated(row.module for row in built), sum(row.channels for row in built))


class Concatenated(nn.Module):
    """Concatenates the outputs of its children, named `Branch_0`, `Branch_1` and so on as in TF-slim, by channel."""

    def __init__(self, rows: Iterable[nn.Module]):
        super().__init__()
        for index, row in enumerate(rows):
            self.add_module(f"Branch_{index}", row)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, sum of the branches' channels, H', W']"""
        return torch.cat([row(x) for row in self.children()], 1)


def branches(*rows: tuple[LayerSpec, ...]) -> Branches:
    """Parallel rows of steps."""
    return Branches(rows)


def chain(steps: Iterable[LayerSpec], channels: int, style: ConvStyle) -> Built:
    """Consecutive steps as one `nn.Sequential`."""
    modules = []
    for step in steps:
        module, channels = step.build(channels, style)
        modules.append(module)
    return Built(nn.Sequential(*modules), channels)
