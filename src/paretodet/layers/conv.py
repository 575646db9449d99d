"""Convolution, norm and activation: the block from which all networks here are built.

It is an `nn.Sequential` with the names `conv`, `norm` and `activation`, so that weights have the same names everywhere
and `fold_norms` finds the pairs to fold.
"""

from collections import OrderedDict

from torch import nn

from paretodet.layers.activations import Activation
from paretodet.layers.norms import NoNorm, Norm
from paretodet.layers.padding import Pair, SameConv2d, fixed_padding, pair


def conv_norm_act(
    in_channels: int,
    out_channels: int,
    *,
    kernel: int | Pair,
    norm: Norm,
    activation: Activation,
    stride: int = 1,
    padding: int | Pair | None = None,
    dilation: int = 1,
    groups: int = 1,
    conv: type[nn.Conv2d] = nn.Conv2d,
) -> nn.Sequential:
    """A convolution, its norm and its activation; the convolution has a bias only without a norm.

    `padding` None keeps the size at stride 1 (`fixed_padding`); `conv=SameConv2d` pads as TensorFlow's SAME instead.
    """
    layer = conv(
        in_channels,
        out_channels,
        pair(kernel),
        stride,
        padding=_padding(kernel, padding, dilation, conv),
        dilation=dilation,
        groups=groups,
        bias=isinstance(norm, NoNorm),
    )
    return _named(conv=layer, norm=norm.build(out_channels), activation=activation.build())


def depthwise_separable(
    in_channels: int,
    out_channels: int,
    *,
    norm: Norm,
    activation: Activation,
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    conv: type[nn.Conv2d] = nn.Conv2d,
) -> nn.Sequential:
    """MobileNet's block: `depthwise` and `pointwise` convolutions, each with a norm and an activation."""
    depthwise = conv_norm_act(
        in_channels,
        in_channels,
        kernel=kernel,
        norm=norm,
        activation=activation,
        stride=stride,
        dilation=dilation,
        groups=in_channels,
        conv=conv,
    )
    pointwise = conv_norm_act(in_channels, out_channels, kernel=1, norm=norm, activation=activation)
    return _named(depthwise=depthwise, pointwise=pointwise)


def separable_conv(
    in_channels: int,
    out_channels: int,
    *,
    norm: Norm,
    activation: Activation,
    kernel: int = 3,
    stride: int = 1,
    multiplier: int = 1,
    conv: type[nn.Conv2d] = nn.Conv2d,
) -> nn.Sequential:
    """Slim's `separable_conv2d`: a depthwise convolution without norm and activation, then a pointwise one with
    both.
    """
    middle = in_channels * multiplier
    depthwise = conv(
        in_channels,
        middle,
        kernel,
        stride,
        padding=_padding(kernel, None, 1, conv),
        groups=in_channels,
        bias=False,
    )
    pointwise = conv_norm_act(middle, out_channels, kernel=1, norm=norm, activation=activation)
    return _named(depthwise=depthwise, pointwise=pointwise)


def _padding(kernel: int | Pair, padding: int | Pair | None, dilation: int, conv: type[nn.Conv2d]) -> int | Pair:
    if issubclass(conv, SameConv2d):
        if padding is not None:
            raise ValueError(f"padding: got {padding}, allowed None, as SameConv2d computes the padding")
        return 0
    return fixed_padding(kernel, dilation) if padding is None else padding


def _named(**modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(modules))
