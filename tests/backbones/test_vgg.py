"""VGG-16's cuts against Simonyan and Zisserman's table, Caffe's pooling and Girshick's fully connected tail."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from paretodet.backbones.vgg import VGG16, VGG16Reduced
from paretodet.heads.region import RoIPool
from paretodet.layers.fold import fold_norms
from paretodet.layers.norms import BatchNorm, NoNorm
from record_vgg_golden import CANVAS, FILE, SIZES, WIDTH, crops, draw, input_image


def built(spec, device="meta"):
    torch.manual_seed(0)
    with torch.device(device):
        return spec.build().eval()


def parameters(net):
    return sum(p.numel() for p in net.parameters())


def convolutions(module):
    return [m for m in module.modules() if isinstance(m, torch.nn.Conv2d)]


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        (VGG16(tail=False), 14_714_688),  # Huang et al. Table 2: the 13 convolutions
        (VGG16(), 14_714_688 + 102_764_544 + 16_781_312),  # fc6 reads 7 x 7 x 512, fc7 4096
        (VGG16Reduced(), 14_714_688 + 4_719_616 + 1_049_600),  # SSD's fc6 and fc7 as convolutions
        (VGG16(tail=False, norm=BatchNorm()), 14_714_688 + 4224),  # a gamma and a beta for every bias
    ],
)
def test_parameters(spec, count):
    assert parameters(built(spec)) == count


@pytest.mark.parametrize(("ceil", "gflops", "cells"), [(True, 313.70, (38, 54)), (False, 311.09, (37, 53))])
def test_caffes_ceil_pooling(ceil, gflops, cells):
    """At 600 x 850 Caffe rounds maps up, floor pooling down: 313.70 and 311.09 G, both by published layers."""
    net = built(VGG16())
    for layer in net.modules():
        if isinstance(layer, torch.nn.MaxPool2d):
            assert layer.ceil_mode
            layer.ceil_mode = ceil
    with FlopCounterMode(display=False) as counter:
        (found,) = net.trunk(torch.zeros(1, 3, 600, 850, device="meta"))
    assert found.shape == (1, 512, *cells)
    assert round(counter.get_total_flops() / 1e9, 2) == gflops


@pytest.mark.parametrize("taps", [(5,), (3, 4, 5), (4,), (1, 2, 3, 4, 5)])
def test_info_is_that_of_the_taps(taps):
    net = built(VGG16(taps=taps, tail=False, width=0.125), "cpu")
    maps = net.trunk(torch.zeros(1, 3, 65, 33))
    assert net.info.channels == tuple(m.shape[1] for m in maps)
    for found, stride in zip(maps, net.info.strides, strict=True):
        assert found.shape[2:] == (-(-65 // stride), -(-33 // stride))


def test_layers_after_the_last_tap_are_not_built():
    assert len(convolutions(built(VGG16(taps=(3,), tail=False)))) == 7


def test_the_tail_reads_channel_then_row_then_column():
    """Caffe flattens C, H, W: its fc6 is a 7 x 7 convolution with the same weights."""
    net = built(VGG16(width=0.0625), "cpu")
    crops = torch.rand(3, 32, 7, 7)
    as_convolution = F.conv2d(crops, net.fc6.weight.view(-1, 32, 7, 7), net.fc6.bias).relu().flatten(1)
    torch.testing.assert_close(net.tail(crops), F.linear(as_convolution, net.fc7.weight, net.fc7.bias).relu())
    assert net.tail(crops).shape == (3, net.tail_channels)


@pytest.mark.parametrize("spec", [VGG16(norm=BatchNorm(), width=0.125), VGG16Reduced(norm=BatchNorm(), width=0.125)])
def test_every_norm_folds_away(spec):
    net = built(spec, "cpu")
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.01 * torch.rand_like(p))
    folded, pixels = fold_norms(net), torch.rand(1, 3, 40, 40)
    assert not [m for m in folded.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for found, wanted in zip(folded.trunk(pixels), net.trunk(pixels), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * wanted.abs().max().item())


@torch.no_grad()
@pytest.mark.parametrize("spec", [VGG16(tail=False, width=0.25), VGG16Reduced(width=0.25)])
def test_a_network_without_norms_keeps_its_variance(spec):
    """He et al. 2015: the standard deviation is preserved through ReLUs; PyTorch's default initialization leaves 4e-5
    of it at fc7.
    """
    noise = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    for found in built(spec, "cpu").trunk(noise):
        assert 0.03 < found.std((2, 3)).mean() < 3


def test_names_of_the_reduced_network_do_not_change():
    names = list(built(VGG16Reduced()).state_dict())
    assert names[0] == "conv4_3.0.0.weight" and names[-4:] == ["fc6.weight", "fc6.bias", "fc7.weight", "fc7.bias"]
    assert len(names) == 2 * 15


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: VGG16(taps=()), "taps"),
        (lambda: VGG16(taps=(5, 4)), "taps"),
        (lambda: VGG16(taps=(6,)), "taps"),
        (lambda: VGG16(taps=(4,), tail=True), "tail"),
        (lambda: VGG16(width=0), "width"),
        (lambda: VGG16Reduced(width=-1), "width"),
    ],
)
def test_bad_fields_are_named(make, field):
    with pytest.raises(ValueError, match=f"^{field}: got"):
        make()


@pytest.fixture(scope="module")
def golden():
    return np.load(FILE)


@torch.no_grad()
@pytest.mark.parametrize("norm", [NoNorm(), BatchNorm()])
@pytest.mark.parametrize("size", SIZES)
def test_maps_are_torchvisions(golden, norm, size):
    """torchvision 0.28, the same weights; with sides that are multiples of 32 nothing is rounded."""
    wanted = torch.from_numpy(golden[f"{'plain' if norm == NoNorm() else 'norm'}_{size[0]}x{size[1]}"])
    (found,) = draw(VGG16(tail=False, norm=norm, width=WIDTH).build()).trunk(input_image(size))
    assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@torch.no_grad()
def test_vectors_of_boxes_are_those_of_torchvisions_roi_pool(golden):
    """Ours takes half-open boxes where Caffe and torchvision end on the last pixel."""
    wanted, (features, boxes) = torch.from_numpy(golden["vectors"]), crops()
    net = VGG16(width=WIDTH).build()
    draw(torch.nn.Sequential(net.fc6, net.fc7))
    found = net.tail(RoIPool(bins=7, stride=16)((features,), boxes, CANVAS))
    assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()
