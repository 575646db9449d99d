"""Counts and shapes of the backbones against their publications, on the meta device."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from paretodet.backbones.darknet19 import Darknet19
from paretodet.backbones.darknet53 import Darknet53
from paretodet.backbones.darknet_tiny import DarknetTiny
from paretodet.backbones.mobilenet_v1 import MobileNetV1
from paretodet.backbones.resnet import ResNet
from paretodet.backbones.vgg import VGG16Reduced
from paretodet.layers.norms import BatchNorm


def traced(spec, side):
    with torch.device("meta"):
        net = spec.build()
        with FlopCounterMode(display=False) as counter:
            maps = net.trunk(torch.zeros(1, 3, side, side))
    return net, maps, counter.get_total_flops() // 2


def learnable(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("spec", "side", "macs", "shapes"),
    [
        # 567.7 M multiply-adds at 224: TF-slim's mobilenet_v1
        (MobileNetV1(), 224, 567_716_352, [(512, 14, 14), (1024, 7, 7)]),
        # Darknet-53 at 416, layers 0-74: sum of darknet's printed BFLOPs
        (Darknet53(), 416, 24_515_805_184, [(256, 52, 52), (512, 26, 26), (1024, 13, 13)]),
        # Layers 0-22 of darknet's yolov2.cfg and 0-12 of its yolov3-tiny.cfg, summed over the layers it prints
        (Darknet19(), 416, 9_453_010_944, [(512, 26, 26), (1024, 13, 13)]),
        (DarknetTiny(), 416, 1_869_004_800, [(256, 26, 26), (1024, 13, 13)]),
        # SSD300's conv1_1..fc7, Liu et al. 2016; Caffe's ceil pooling gives 38 and 19
        (VGG16Reduced(), 300, 29_898_443_776, [(512, 38, 38), (1024, 19, 19)]),
        # ResNet-101 conv1..block3 with TF-slim's strides at 300 and 600
        (ResNet(output_stride=16), 300, 12_099_611_392, [(1024, 19, 19)]),
        (ResNet(output_stride=8), 300, 40_507_550_464, [(1024, 38, 38)]),
        (ResNet(output_stride=16), 600, 48_239_492_096, [(1024, 38, 38)]),
    ],
)
def test_multiply_adds_and_maps(spec, side, macs, shapes):
    net, maps, counted = traced(spec, side)
    assert counted == macs
    assert [tuple(m.shape[1:]) for m in maps] == shapes
    assert net.info.channels == tuple(c for c, _, _ in shapes)
    assert [h for _, h, _ in shapes] == [-(-side // stride) for stride in net.info.strides]


def test_the_papers_count_of_mobilenet():
    """Table 2 of Huang et al.: 3,185,088 weights, and one value for each channel of conv0 and the pointwise
    convolutions.
    """
    net = MobileNetV1().build()
    weights = sum(p.numel() for name, p in net.named_parameters() if name.endswith("conv.weight"))
    once = net.stem.norm.num_features + sum(layer.pointwise.norm.num_features for layer in net.body)
    assert weights == 3_185_088
    assert weights + once == 3_191_072


def test_the_papers_count_of_resnet101():
    """Table 2 of Huang et al.: convolutions plus four values for each normalized channel, trunk and tail."""
    with torch.device("meta"):
        net = ResNet().build()
    buffers = sum(b.numel() for name, b in net.named_buffers() if "running" in name)
    assert learnable(net) == 42_500_160
    assert learnable(net) + buffers == 42_605_504


def test_frozen_norms_have_no_gradient():
    with torch.device("meta"):
        frozen, trained = ResNet(depth=50).build(), ResNet(depth=50, norm=BatchNorm()).build()
    assert not any(p.requires_grad for name, p in frozen.named_parameters() if ".norm." in name)
    assert all(p.requires_grad for p in trained.parameters())


@pytest.mark.parametrize("side", [33, 97, 300, 301])
@pytest.mark.parametrize("spec", [MobileNetV1(width=0.1), ResNet(depth=50, output_stride=8)])
def test_odd_sides_round_up(spec, side):
    net, maps, _ = traced(spec, side)
    for found, stride in zip(maps, net.info.strides, strict=True):
        assert found.shape[2:] == (-(-side // stride), -(-side // stride))


@pytest.mark.parametrize(
    ("make", "channels"), [(Darknet19, (64, 128)), (Darknet53, (32, 64, 128)), (DarknetTiny, (32, 128))]
)
def test_narrow_darknets(make, channels):
    """At an eighth of the width every layer has an eighth of the channels, but at least eight."""
    net, maps, _ = traced(make(width=0.125), 64)
    assert net.info.channels == tuple(m.shape[1] for m in maps) == channels
    assert min(m.out_channels for m in net.modules() if isinstance(m, torch.nn.Conv2d)) == 8
    assert net.info.strides == make().build().info.strides


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: MobileNetV1(taps=(14,)), "taps"),
        (lambda: MobileNetV1(taps=(13, 11)), "taps"),
        (lambda: MobileNetV1(tail=True), "tail: got True"),
        (lambda: MobileNetV1(width=0), "width: got 0"),
        (lambda: Darknet19(width=9), "width: got 9"),
        (lambda: Darknet53(width=-1), "width: got -1"),
        (lambda: DarknetTiny(width=float("nan")), "width: got nan"),
    ],
)
def test_bad_fields_are_named(make, field):
    with pytest.raises(ValueError, match=field):
        make()
