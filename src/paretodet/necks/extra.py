"""SSD's extra layers: a chain of smaller and smaller maps after the last one of the backbone."""

from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor, nn

from paretodet.layers.activations import Activation
from paretodet.layers.conv import conv_norm_act, depthwise_separable
from paretodet.layers.init import Init, TruncatedNormal
from paretodet.layers.norms import BatchNorm, L2Norm, NoNorm
from paretodet.layers.padding import SameConv2d
from paretodet.types import FeatureInfo


@dataclass(frozen=True, kw_only=True)
class Extra:
    """A 1x1 convolution to `squeeze` channels, then `kernel` to `channels`; padding None is TensorFlow's SAME."""

    squeeze: int
    channels: int
    kernel: int = 3
    stride: int = 2
    padding: int | None = None


@dataclass(frozen=True, kw_only=True)
class ExtraLayers:
    """Each of `layers` adds a map; `scale` is the initial value of the L2 norm's scale of the first map, None: no norm.

    Liu et al. section 3 (ReLU, no norm, conv4_3 normalized to 20, Xavier); Huang et al. section 3.6.3 (batch norm,
    ReLU6, a truncated normal of 0.03).
    """

    layers: tuple[Extra, ...]
    norm: BatchNorm | NoNorm
    activation: Activation
    scale: float | None = None
    init: Init = TruncatedNormal(std=0.03)

    def build(self, info: FeatureInfo) -> nn.Module:
        return _ExtraLayers(self, info, self.scale)

    def larger(self, extra: Extra) -> nn.Module:
        """The larger convolution of a layer, with norm and activation."""
        return conv_norm_act(
            extra.squeeze,
            extra.channels,
            kernel=extra.kernel,
            stride=extra.stride,
            padding=extra.padding,
            norm=self.norm,
            activation=self.activation,
            conv=SameConv2d if extra.padding is None else nn.Conv2d,
        )


@dataclass(frozen=True, kw_only=True)
class SeparableExtraLayers:
    """SSDLite's: the larger convolution of each layer is a depthwise and a pointwise one, each with norm and activation
    (Sandler et al. 2018, arXiv 1801.04381, section 6.2).
    """

    layers: tuple[Extra, ...]
    norm: BatchNorm
    activation: Activation
    init: Init = TruncatedNormal(std=0.03)

    def __post_init__(self) -> None:
        if padded := [extra.padding for extra in self.layers if extra.padding is not None]:
            raise ValueError(f"layers: got a padding of {padded[0]}, allowed None, TensorFlow's SAME")

    def build(self, info: FeatureInfo) -> nn.Module:
        return _ExtraLayers(self, info, None)

    def larger(self, extra: Extra) -> nn.Module:
        """As `ExtraLayers.larger`."""
        return depthwise_separable(
            extra.squeeze,
            extra.channels,
            kernel=extra.kernel,
            stride=extra.stride,
            norm=self.norm,
            activation=self.activation,
            conv=SameConv2d,
        )


def _step(channels: int, extra: Extra, spec: ExtraLayers | SeparableExtraLayers) -> nn.Sequential:
    squeeze = conv_norm_act(channels, extra.squeeze, kernel=1, norm=spec.norm, activation=spec.activation)
    return nn.Sequential(OrderedDict(squeeze=squeeze, grow=spec.larger(extra)))


class _ExtraLayers(nn.Module):
    def __init__(self, spec: ExtraLayers | SeparableExtraLayers, info: FeatureInfo, scale: float | None):
        super().__init__()
        channels, strides, steps = list(info.channels), list(info.strides), []
        for extra in spec.layers:
            steps.append(_step(channels[-1], extra, spec))
            channels.append(extra.channels)
            strides.append(strides[-1] * extra.stride)
        self.scale = L2Norm(info.channels[0], scale) if scale else None
        self.steps = nn.ModuleList(steps)
        self.info = FeatureInfo(tuple(channels), tuple(strides))
        spec.init(self.steps)

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        outputs = list(maps)
        for step in self.steps:
            outputs.append(step(outputs[-1]))
        if self.scale:
            outputs[0] = self.scale(outputs[0])
        return tuple(outputs)
