import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paretodet.layers import winograd
from paretodet.layers.padding import SameConv2d
from paretodet.layers.winograd import WinogradConv2d, with_winograd


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """Small ones too, on which it gains nothing."""
    monkeypatch.setattr(winograd, "GAIN", 0)


def by_definition(conv, x):
    """In float64."""
    bias = None if conv.bias is None else conv.bias.double()
    return F.conv2d(x.double(), conv.weight.double(), bias, padding=getattr(conv, "pad", conv.padding))


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (4, 8), (13, 6), (23, 41)])
@pytest.mark.parametrize("padding", [0, 1, (2, 0)])
@pytest.mark.parametrize("bias", [True, False])
def test_it_equals_the_definition(size, padding, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 7, 3, padding=padding, bias=bias)
    x = torch.randn(2, 5, size[0] + 2, size[1] + 2).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        wanted = by_definition(conv, x)
        torch.testing.assert_close(WinogradConv2d(conv)(x).double(), wanted, atol=2e-5, rtol=0)


def test_many_rows_of_tiles_share_memory(monkeypatch):
    monkeypatch.setattr(winograd, "CHUNK", 12)  # two rows of six tiles of the image's five rows
    conv, x = nn.Conv2d(3, 9, 3, padding=1), torch.randn(1, 3, 20, 24)
    with torch.inference_mode():
        torch.testing.assert_close(WinogradConv2d(conv)(x).double(), by_definition(conv, x), atol=2e-5, rtol=0)


def test_tensorflows_padding_is_kept():
    conv, x = SameConv2d(3, 4, 3), torch.randn(1, 3, 9, 10)
    with torch.inference_mode():
        torch.testing.assert_close(WinogradConv2d(conv)(x), conv(x), atol=2e-5, rtol=0)


def test_convolutions_of_other_forms_stay():
    others = (
        nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, stride=2), nn.Conv2d(4, 4, 3, dilation=2), nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, (3, 5)), nn.Conv2d(4, 4, 3, padding="same"), nn.Conv2d(4, 4, 3, padding_mode="reflect"),
        nn.ConvTranspose2d(4, 4, 3),
    )  # fmt: skip
    kinds = [type(each) for each in with_winograd(nn.Sequential(*others, nn.Conv2d(4, 4, 3)))]
    assert kinds == [*map(type, others), WinogradConv2d]


@pytest.mark.parametrize(("channels", "size", "replaced"), [(16, 64, False), (256, 64, True), (256, 5, False)])
def test_it_is_used_where_it_needs_far_fewer_multiplications(monkeypatch, channels, size, replaced):
    monkeypatch.undo()
    layer = with_winograd(nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1)))[0]
    used = isinstance(layer, WinogradConv2d) and winograd._gain(layer.conv, size, size) >= winograd.GAIN
    assert used == replaced
    x = torch.randn(1, channels, size, size)
    with torch.inference_mode():
        wanted = by_definition(getattr(layer, "conv", layer), x)
        torch.testing.assert_close(layer(x).double(), wanted, atol=1e-4, rtol=0)
