"""Inception-ResNet V2 (Szegedy et al. 2016, arXiv 1602.07261) as TF-slim builds it, whole or cut for region heads."""

from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from paretodet.backbones.inception import InceptionNet, Table
from paretodet.layers.activations import Activation, NoActivation, Relu
from paretodet.layers.branches import (
    AvgPool,
    Branches,
    Built,
    Conv,
    ConvStyle,
    LayerSpec,
    MaxPool,
    Padding,
    branches,
    chain,
)
from paretodet.layers.conv import conv_norm_act
from paretodet.layers.norms import BatchNorm, NoNorm, Norm
from paretodet.layers.width import check_width

Tap = Literal["Mixed_6a", "Conv2d_7b"]
TAPS: tuple[tuple[Tap, ...], ...] = (("Mixed_6a",), ("Mixed_6a", "Conv2d_7b"), ("Conv2d_7b",))
PADDINGS = ("same", "valid")


@dataclass(frozen=True)
class ResidualStep:
    """Branches, expanded by a 1x1 convolution to the channels of the input and added to it, multiplied by `scale`.

    Section 3.3: a small scale keeps the sum stable. The expansion has a bias and no norm.
    """

    inner: Branches
    scale: float
    activation: Activation | None = None  # of the sum; None: that of the network
    stride: int = 1

    def build(self, channels: int, style: ConvStyle) -> Built:
        inner, width = self.inner.build(channels, style)
        expand = conv_norm_act(width, channels, kernel=1, norm=NoNorm(), activation=NoActivation())
        activation = (self.activation or style.activation).build()
        return Built(ResidualNet(inner, expand, activation, scale=self.scale), channels)


class ResidualNet(nn.Module):
    def __init__(self, inner: nn.Module, expand: nn.Module, activation: nn.Module, *, scale: float):
        super().__init__()
        self.inner, self.expand, self.activation, self.scale = inner, expand, activation, scale

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape"""
        return self.activation(torch.add(x, self.expand(self.inner(x)), alpha=self.scale))

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


@dataclass(frozen=True)
class StepSequence:
    """Consecutive steps as one step."""

    steps: tuple[LayerSpec, ...]

    @property
    def stride(self) -> int:
        return prod(step.stride for step in self.steps)

    def build(self, channels: int, style: ConvStyle) -> Built:
        return chain(self.steps, channels, style)


BLOCK35 = ResidualStep(branches((Conv(32),), (Conv(32), Conv(32, 3)), (Conv(32), Conv(48, 3), Conv(64, 3))), 0.17)
INNER8 = branches((Conv(192),), (Conv(192), Conv(224, (1, 3)), Conv(256, (3, 1))))


def block17(dilation: int) -> ResidualStep:
    row, column = Conv(160, (1, 7), dilation=dilation), Conv(192, (7, 1), dilation=dilation)
    return ResidualStep(branches((Conv(192),), (Conv(128), row, column)), 0.1)


def mixed_6a(stride: int, padding: Padding) -> Branches:
    last, pool = Conv(384, 3, stride=stride, padding=padding), MaxPool(stride=stride, padding=padding)
    return branches((last,), (Conv(256), Conv(256, 3), last), (pool,))


def mixed_7a(padding: Padding) -> Branches:
    two, three, four = (Conv(depth, 3, stride=2, padding=padding) for depth in (384, 288, 320))
    pool = MaxPool(stride=2, padding=padding)
    return branches((Conv(256), two), (Conv(256), three), (Conv(256), Conv(288, 3), four), (pool,))


def layer_table(spec: "InceptionResNetV2") -> Table:
    """The layers of the whole network."""
    padding, stride = spec.padding, 16 // spec.output_stride
    cropped: Padding = padding if "Conv2d_7b" in spec.taps else "valid"
    half = MaxPool(stride=2, padding=padding)
    return {
        "Conv2d_1a_3x3": Conv(32, 3, stride=2, padding=padding),
        "Conv2d_2a_3x3": Conv(32, 3, padding=padding),
        "Conv2d_2b_3x3": Conv(64, 3),
        "MaxPool_3a_3x3": half,
        "Conv2d_3b_1x1": Conv(80),
        "Conv2d_4a_3x3": Conv(192, 3, padding=padding),
        "MaxPool_5a_3x3": half,
        "Mixed_5b": branches(
            (Conv(96),), (Conv(48), Conv(64, 5)), (Conv(64), Conv(96, 3), Conv(96, 3)), (AvgPool(), Conv(64))
        ),
        "Block35": StepSequence((BLOCK35,) * 10),
        "Mixed_6a": StepSequence((mixed_6a(2 // stride, padding), *(block17(stride),) * 20)),
        "Mixed_7a": mixed_7a(cropped),
        "Block8": StepSequence((*(ResidualStep(INNER8, 0.2),) * 9, ResidualStep(INNER8, 1.0, NoActivation()))),
        "Conv2d_7b": Conv(1536),
    }


@dataclass(frozen=True, kw_only=True)
class InceptionResNetV2:
    """`taps` are the output maps of the trunk; layers after the last tap are built only as the tail.

    "Mixed_6a" is the map after its 20 residual blocks (slim's PreAuxLogits): 1088 channels at `output_stride`, which is
    16, or 8 with stride 1 in Mixed_6a and dilation 2 in its residual blocks. "Conv2d_7b" has 1536 channels at stride
    32.

    `padding` is that of the layers without padding in the classifier: "valid" as there, or "same" as in Huang et al.'s
    detectors (slim's `align_feature_maps`), whose maps have sides ceil(H / stride). `tail` builds Mixed_7a to Conv2d_7b
    for region heads (section 3.6.1); there Mixed_7a does not pad its crop: 17 becomes 8. Slim normalizes without gamma.
    """

    taps: tuple[Tap, ...] = ("Mixed_6a", "Conv2d_7b")
    tail: bool = False
    output_stride: int = 16
    padding: Padding = "same"
    norm: Norm = BatchNorm(eps=1e-3, momentum=3e-4, scale=False)
    activation: Activation = Relu()
    width: float = 1.0

    def __post_init__(self) -> None:
        if self.taps not in TAPS:
            raise ValueError(f"taps: got {self.taps}, allowed {', '.join(map(str, TAPS))}")
        if self.padding not in PADDINGS:
            raise ValueError(f"padding: got {self.padding!r}, allowed {', '.join(PADDINGS)}")
        whole = self.taps[-1] == "Conv2d_7b"
        strides = (16,) if whole else (8, 16)
        if self.output_stride not in strides:
            allowed = ", ".join(map(str, strides))
            raise ValueError(f"output_stride: got {self.output_stride} with taps {self.taps}, allowed {allowed}")
        if whole and self.tail:
            raise ValueError("tail: got True, but nothing follows Conv2d_7b")
        check_width(self.width)

    def build(self) -> InceptionNet:
        return InceptionNet(self, layer_table(self))
