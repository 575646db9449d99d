"""Inception-ResNet V2: counts and maps of its publications, its two strides, its two paddings, its cuts."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from paretodet.backbones.inception_resnet_v2 import InceptionResNetV2, ResidualNet, ResidualStep
from paretodet.layers.activations import NoActivation, Relu
from paretodet.layers.branches import Conv, ConvStyle, branches
from paretodet.layers.fold import fold_norms
from paretodet.layers.norms import BatchNorm, FrozenNorm, NoNorm

THIN = {"width": 0.125, "norm": BatchNorm(eps=1e-3, scale=False)}
DETECTOR = {"taps": ("Mixed_6a",), "tail": True}


def net(**fields):
    torch.manual_seed(0)
    return InceptionResNetV2(**THIN, **fields).build().eval()


def traced(call, *shape):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        made = call(torch.zeros(1, *shape))
    return made, counter.get_total_flops() // 2


def meta(**fields):
    with torch.device("meta"):
        return InceptionResNetV2(**fields).build()


@pytest.mark.parametrize("cut", [{}, DETECTOR, {"taps": ("Conv2d_7b",)}, {"padding": "valid"}])
def test_the_papers_count(cut):
    """Table 2 of Huang et al.: weights, the biases of the expansions, and beta, mean, variance of every norm."""
    made = meta(**cut)
    norms = sum(m.num_features for m in made.modules() if isinstance(m, nn.BatchNorm2d))
    convs = [m for m in made.modules() if isinstance(m, nn.Conv2d)]
    assert norms == 30_272
    assert sum(m.weight.numel() for m in convs) + sum(m.bias.numel() for m in convs if m.bias is not None) == 54_245_920
    assert sum(p.numel() for p in made.parameters()) == 54_245_920 + norms
    buffers = sum(b.numel() for name, b in made.named_buffers() if "running" in name)
    assert sum(p.numel() for p in made.parameters()) + buffers == 54_336_736


@pytest.mark.parametrize(
    ("stride", "side", "macs", "cells"),
    [(16, 300, 13_407_289_728, 19), (8, 300, 39_916_634_496, 38), (16, 600, 53_302_593_024, 38)],
)
def test_multiply_adds_of_the_detectors_trunk(stride, side, macs, cells):
    """Slim's graph with aligned maps to PreAuxLogits: 13.4, 39.9 and 53.3 G."""
    maps, counted = traced(meta(taps=("Mixed_6a",), output_stride=stride).trunk, 3, side, side)
    assert counted == macs
    assert [tuple(m.shape) for m in maps] == [(1, 1088, cells, cells)]


def test_multiply_adds_of_a_crop():
    """2.09 G for a crop of 17x17, which Mixed_7a takes unpadded: 8x8."""
    made = meta(**DETECTOR)
    vectors, counted = traced(made.tail, 1088, 17, 17)
    assert counted == 2_090_131_456
    assert vectors.shape == (1, 1536, 8, 8)
    assert made.tail_channels == 1536


def test_the_classifiers_maps():
    """Szegedy et al. Fig. 15: 299 px give 35x35, 17x17 and 8x8."""
    made = meta(padding="valid")
    maps, _ = traced(made.trunk, 3, 299, 299)
    assert [tuple(m.shape[1:]) for m in maps] == [(1088, 17, 17), (1536, 8, 8)]
    assert made.info.channels == (1088, 1536)
    assert made.info.strides == (16, 32)
    assert made.tail_channels == 0


@pytest.mark.parametrize("side", [33, 97, 300, 301])
def test_aligned_sides_round_up(side):
    maps, _ = traced(meta(**THIN).trunk, 3, side, side)
    assert [tuple(m.shape[2:]) for m in maps] == [(-(-side // s),) * 2 for s in (16, 32)]


@torch.no_grad()
@pytest.mark.parametrize("side", [65, 72])
def test_stride_8_contains_stride_16(side):
    """For an odd side of the map before Mixed_6a, so that both pad it equally."""
    coarse, dense = (net(taps=("Mixed_6a",), output_stride=stride) for stride in (16, 8))
    dense.load_state_dict(coarse.state_dict())
    pixels = torch.randn(1, 3, side, side)
    (a,), (b,) = coarse.trunk(pixels), dense.trunk(pixels)
    assert a.shape[2] * 2 - 1 == b.shape[2]
    assert torch.allclose(a, b[:, :, ::2, ::2], rtol=1e-4, atol=1e-4 * a.abs().max())


@torch.no_grad()
def test_names_of_weights_do_not_depend_on_the_cut():
    """With "valid" everywhere, the tail on the whole map equals the end of the trunk."""
    whole, cut = net(padding="valid"), net(padding="valid", **DETECTOR)
    cut.load_state_dict(whole.state_dict())
    pixels = torch.randn(1, 3, 139, 139)
    middle, last = whole.trunk(pixels)
    assert torch.equal(cut.trunk(pixels)[0], middle)
    assert torch.equal(cut.tail(middle), last)


@torch.no_grad()
def test_the_scales_of_its_blocks():
    """Section 3.3 and slim: 10 of 0.17, 20 of 0.10, 9 of 0.20, and a last one, linear, of 1."""
    blocks = [m for m in net(**DETECTOR).modules() if isinstance(m, ResidualNet)]
    assert [b.scale for b in blocks] == [0.17] * 10 + [0.1] * 20 + [0.2] * 9 + [1.0]
    assert [type(b.activation) for b in blocks] == [nn.ReLU] * 39 + [nn.Identity]


@torch.no_grad()
def test_a_residual_block_adds_its_scaled_branches():
    style = ConvStyle(norm=NoNorm(), activation=Relu())
    block, channels = ResidualStep(branches((Conv(8),), (Conv(8), Conv(12, 3))), 0.25, NoActivation()).build(6, style)
    x = torch.randn(2, 6, 5, 5)
    assert channels == 6
    added = block(x) - x
    block.scale = 1.0
    assert torch.allclose(added * 4, block(x) - x, atol=1e-5)


def test_reduced_width_keeps_eight_channels():
    made = net(**DETECTOR)
    depths = {m.out_channels for m in made.modules() if isinstance(m, nn.Conv2d)}
    assert min(depths) == 8
    assert made.tail_channels == 192


def test_frozen_norms_have_no_gradient():
    with torch.device("meta"):
        made = InceptionResNetV2(width=0.125, norm=FrozenNorm(eps=1e-3, scale=False)).build()
    assert not any(p.requires_grad for name, p in made.named_parameters() if ".norm." in name)
    assert all(p.requires_grad for name, p in made.named_parameters() if ".conv." in name)


def test_every_weight_gets_a_gradient():
    made = net()
    sum(m.square().mean() for m in made.train().trunk(torch.randn(2, 3, 65, 65))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())


@torch.no_grad()
def test_folded_norms_change_nothing():
    made, pixels = net(), torch.randn(1, 3, 65, 65)
    for found, expected in zip(fold_norms(made).trunk(pixels), made.trunk(pixels), strict=True):
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max())


class Trunk(nn.Module):
    def __init__(self, made):
        super().__init__()
        self.made = made

    def forward(self, pixels):
        (middle,) = self.made.trunk(pixels)
        return middle, self.made.tail(middle)


@torch.no_grad()
@pytest.mark.full
@pytest.mark.parametrize("stride", [8, 16])
def test_strict_export_equals_eager(stride):
    made = Trunk(net(**DETECTOR, output_stride=stride))
    pixels = torch.randn(2, 3, 65, 70)
    exported = torch.export.export(made, (pixels,), strict=True).module()
    for found, expected in zip(exported(pixels), made(pixels), strict=True):
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"taps": ()}, "taps"),
        ({"taps": ("Conv2d_7b", "Mixed_6a")}, "taps"),
        ({"taps": ("Mixed_5b",)}, "taps"),
        ({"padding": "full"}, "padding: got 'full', allowed same, valid"),
        ({"output_stride": 32}, "output_stride: got 32"),
        ({"output_stride": 8}, r"output_stride: got 8 .*, allowed 16"),
        ({"taps": ("Mixed_6a",), "output_stride": 4}, "output_stride: got 4 .*, allowed 8, 16"),
        ({"tail": True}, "tail"),
        ({"width": 0.0}, "width"),
    ],
)
def test_bad_fields_are_named(fields, words):
    with pytest.raises(ValueError, match=words):
        InceptionResNetV2(**fields)
