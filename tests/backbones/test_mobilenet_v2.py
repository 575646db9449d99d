"""MobileNet v2: its published sizes, the map inside of a block, and rounded numbers of channels."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from paretodet.backbones.mobilenet_v2 import POINTS, MobileNetV2, rounded
from paretodet.layers.padding import SameConv2d


def on_meta(**fields):
    with torch.device("meta"):
        return MobileNetV2(**fields).build()


def traced(side, **fields):
    net = on_meta(**fields)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        maps = net.trunk(torch.zeros(1, 3, side, side))
    return net, maps, counter.get_total_flops() // 2


def test_parameters_of_the_classifier():
    """torchvision documents 3,504,872 for its mobilenet_v2, with ImageNet's 1,000 classes."""
    assert sum(p.numel() for p in on_meta().parameters()) + 1281 * 1000 == 3_504_872


@pytest.mark.parametrize(
    ("width", "side", "millions"),
    [(1.0, 224, 300), (1.0, 192, 221), (1.0, 128, 99), (1.4, 224, 582), (1.3, 224, 509)],
)
def test_published_multiply_adds(width, side, millions):
    """TF-slim's table of its checkpoints. The classifier is added."""
    net, _, macs = traced(side, width=width)
    assert (macs + net.info.channels[-1] * 1001) / 1e6 == pytest.approx(millions, rel=0.005)


@pytest.mark.parametrize(("width", "millions"), [(1.0, 3.47), (1.3, 5.34), (1.4, 6.06)])
def test_published_parameters(width, millions):
    """The same table, which counts convolutions and the classifier with its bias, and no norms."""
    net = on_meta(width=width)
    weights = sum(p.numel() for name, p in net.named_parameters() if name.endswith("conv.weight"))
    assert (weights + (net.info.channels[-1] + 1) * 1001) / 1e6 == pytest.approx(millions, abs=0.006)


@pytest.mark.parametrize(("side", "sides"), [(224, (14, 7)), (300, (19, 10)), (33, (3, 2))])
def test_maps(side, sides):
    net, maps, _ = traced(side)
    assert [tuple(each.shape[1:]) for each in maps] == [(576, sides[0], sides[0]), (1280, sides[1], sides[1])]
    assert net.info == ((576, 1280), (16, 32))


def test_every_point_can_be_tapped():
    taps = tuple(point for point in POINTS if point != "expanded_conv_16/expand")
    net, maps, _ = traced(65, taps=taps)
    assert net.info.channels == tuple(each.shape[1] for each in maps)
    assert [each.shape[2] for each in maps] == [-(-65 // stride) for stride in net.info.strides]


def test_what_comes_after_the_last_tap_is_not_built():
    net = on_meta(taps=("expanded_conv_3/expand", "expanded_conv_6"))
    assert len(net.blocks) == 7 and net.last is None
    assert net.info == ((144, 64), (4, 16))


@torch.no_grad()
def test_a_block_adds_its_input_only_where_shapes_are_equal():
    net = MobileNetV2(width=0.5).build()
    assert [index for index, block in enumerate(net.blocks) if block.adds] == [2, 4, 5, 7, 8, 9, 11, 12, 14, 15]
    block, x = net.blocks[2].eval(), torch.rand(1, 16, 5, 5)
    inner = block.expand(x)
    assert torch.allclose(block.contract(inner, x), block.project(block.depthwise(inner)) + x)
    assert block.contract(inner, x).min() < 0, "no activation after a block"


def test_every_depthwise_convolution_is_padded_as_in_tensorflow():
    net = on_meta()
    assert all(isinstance(block.depthwise.conv, SameConv2d) for block in net.blocks)
    assert [block.depthwise.conv.stride[0] for block in net.blocks if block.depthwise.conv.stride[0] > 1] == [2] * 4


@pytest.mark.parametrize(
    ("channels", "width", "wanted"), [(32, 1.4, 48), (24, 0.5, 16), (16, 0.35, 8), (96, 0.35, 32), (1280, 0.75, 960)]
)
def test_channels_are_multiples_of_eight(channels, width, wanted):
    """The nearest one, 12 to 16; 33.6 to 32, but 5.6 to 8."""
    assert rounded(channels, width) == wanted


@pytest.mark.parametrize(
    "taps", [(), ("Conv_2",), ("Conv_1", "expanded_conv_3"), ("expanded_conv_3/expand",), ("expanded_conv/expand",)]
)
def test_bad_taps_are_named(taps):
    with pytest.raises(ValueError, match="taps: got"):
        MobileNetV2(taps=taps)


def test_a_bad_width_is_named():
    with pytest.raises(ValueError, match="width: got 0"):
        MobileNetV2(width=0)
