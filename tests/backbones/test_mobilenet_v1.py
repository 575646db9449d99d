"""MobileNet v1: its tail for region heads and its width multiplier. Counts of the trunk are in test_golden.py."""

import pytest
import torch
from torch import nn

from paretodet.backbones.mobilenet_v1 import MobileNetV1
from paretodet.layers.padding import SameConv2d


def on_meta(**fields):
    with torch.device("meta"):
        return MobileNetV1(**fields).build()


def test_the_tail_is_two_separable_convolutions():
    """Huang et al.'s released extractor: 3x3 stride 2, then stride 1, 1024 channels, nothing after the depthwise."""
    net = on_meta(taps=(11,), tail=True)
    assert net.tail_channels == 1024
    assert [type(m) for m in net.rest.modules()].count(nn.BatchNorm2d) == 2
    assert [layer.depthwise.stride for layer in net.rest] == [(2, 2), (1, 1)]
    assert all(isinstance(layer.depthwise, SameConv2d) for layer in net.rest)
    weights = 512 * 9 + 512 * 1024 + 1024 * 9 + 1024 * 1024
    assert sum(p.numel() for p in net.rest.parameters()) == weights + 4 * 1024


@pytest.mark.parametrize(("side", "found"), [(14, 7), (7, 4), (1, 1)])
def test_the_tail_halves_and_rounds_up(side, found):
    with torch.device("meta"):
        assert on_meta(taps=(11,), tail=True).tail(torch.zeros(5, 512, side, side)).shape == (5, 1024, found, found)


def test_the_tail_does_not_change_the_trunk():
    """The tail adds layers: names and sizes of the trunk do not change."""
    cut, whole = on_meta(taps=(11,), tail=True), on_meta(taps=(11,))
    trunk = {name: p.shape for name, p in cut.state_dict().items() if not name.startswith("rest.")}
    assert trunk == {name: p.shape for name, p in whole.state_dict().items()}
    assert whole.tail_channels == 0
    assert len(whole.body) == 11


@pytest.mark.parametrize(("width", "millions"), [(1.0, 4.2), (0.75, 2.6), (0.5, 1.3), (0.25, 0.5)])
def test_the_published_sizes_at_each_width(width, millions):
    """Howard et al. 2017 (arXiv 1704.04861), Table 7: parameters in millions with ImageNet's 1000-way layer."""
    net = on_meta(width=width)
    classifier = (net.info.channels[-1] + 1) * 1000
    assert (sum(p.numel() for p in net.parameters()) + classifier) / 1e6 == pytest.approx(millions, abs=0.05)


def test_a_narrow_network_keeps_eight_channels():
    net = on_meta(width=0.125, taps=(3, 11), tail=True)
    assert net.stem.conv.out_channels == 8
    assert net.info == ((16, 64), (4, 16))
    assert net.tail_channels == 128
