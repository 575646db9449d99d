"""SSD's extra layers, plain and separable."""

import pytest
import torch
from torch import nn

from paretodet.layers.activations import Relu6
from paretodet.layers.norms import BatchNorm
from paretodet.necks.extra import Extra, ExtraLayers, SeparableExtraLayers
from paretodet.types import FeatureInfo

INFO = FeatureInfo((8, 16), (16, 32))
LAYERS = (Extra(squeeze=8, channels=24), Extra(squeeze=16, channels=8))


def built(kind):
    return kind(layers=LAYERS, norm=BatchNorm(eps=1e-3), activation=Relu6()).build(INFO).eval()


@pytest.mark.parametrize("kind", [ExtraLayers, SeparableExtraLayers])
def test_each_layer_adds_a_map_of_half_the_side(kind):
    neck = built(kind)
    maps = neck((torch.rand(1, 8, 9, 9), torch.rand(1, 16, 5, 5)))
    assert [each.shape[1:] for each in maps] == [(8, 9, 9), (16, 5, 5), (24, 3, 3), (8, 2, 2)]
    assert neck.info == ((8, 16, 24, 8), (16, 32, 64, 128))


def test_a_separable_layer_is_a_depthwise_and_a_pointwise_convolution():
    """3x3 of one channel each, then 1x1; both with norm and activation."""
    plain, separable = built(ExtraLayers), built(SeparableExtraLayers)
    depthwise, pointwise = separable.steps[0].grow
    assert (depthwise.conv.groups, depthwise.conv.stride, pointwise.conv.kernel_size) == (8, (2, 2), (1, 1))
    assert [type(part) for part in depthwise][1:] == [type(part) for part in pointwise][1:]
    weights = [
        sum(m.weight.numel() for m in neck.steps.modules() if isinstance(m, nn.Conv2d)) for neck in (plain, separable)
    ]
    squeezes = 16 * 8 + 24 * 16
    assert weights == [squeezes + 9 * (8 * 24 + 16 * 8), squeezes + 9 * (8 + 16) + 8 * 24 + 16 * 8]


def test_a_separable_layer_has_no_other_padding():
    with pytest.raises(ValueError, match="layers: got a padding of 1"):
        SeparableExtraLayers(layers=(Extra(squeeze=8, channels=8, padding=1),), norm=BatchNorm(), activation=Relu6())
