import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.layers.padding import SameAvgPool2d, SameConv2d, SameMaxPool2d, fixed_padding, same_padding

SIZES = st.integers(1, 23)


def pad(x: torch.Tensor, kernel: int, stride: int, dilation: int = 1, value: float = 0.0) -> torch.Tensor:
    """The definition, written out: total padding first, its smaller half before."""
    amounts = []
    for size in (x.shape[3], x.shape[2]):
        out = (size + stride - 1) // stride
        total = max((out - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
        amounts += [total // 2, total - total // 2]
    return F.pad(x, amounts, value=value)


def test_same_padding_is_asymmetric_at_even_sizes():
    # TensorFlow's documented rule: 3x3 stride 2 on 300 pads 0 before and 1 after, on 75 one on each side
    assert same_padding(300, 3, 2) == (0, 1)
    assert same_padding(75, 3, 2) == (1, 1)
    assert same_padding(224, 7, 2) == (2, 3)
    assert same_padding(8, 1, 2) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, st.integers(1, 5), st.integers(1, 3), st.integers(1, 2))
def test_same_conv_equals_explicit_padding(height, width, kernel, stride, dilation):
    torch.manual_seed(0)
    conv = SameConv2d(2, 3, kernel, stride, dilation=dilation)
    x = torch.randn(1, 2, height, width)
    want = F.conv2d(pad(x, kernel, stride, dilation), conv.weight, conv.bias, stride, 0, dilation)
    got = conv(x)
    assert got.shape[2:] == (-(-height // stride), -(-width // stride))
    torch.testing.assert_close(got, want)


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, st.integers(1, 5), st.integers(1, 3))
def test_same_max_pool_equals_explicit_padding(height, width, kernel, stride):
    x = torch.randn(1, 2, height, width, generator=torch.Generator().manual_seed(1)) - 3  # a zero pad would win
    want = F.max_pool2d(pad(x, kernel, stride, value=-1e9), kernel, stride)
    torch.testing.assert_close(SameMaxPool2d(kernel, stride)(x), want)


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, st.sampled_from([(1, 1), (3, 1), (5, 1), (2, 2), (3, 2), (3, 3)]))
def test_same_average_does_not_count_padding(height, width, shape):
    kernel, stride = shape
    x = torch.randn(1, 2, height, width, generator=torch.Generator().manual_seed(2))
    total = F.avg_pool2d(pad(x, kernel, stride), kernel, stride)
    inside = F.avg_pool2d(pad(torch.ones_like(x), kernel, stride), kernel, stride)
    torch.testing.assert_close(SameAvgPool2d(kernel, stride)(x), total / inside)


def test_darknet_pool_of_two_at_stride_one_pads_right_and_bottom():
    # systems.md 4: darknet's 2/1 pool keeps 13x13, the last row and column see themselves only
    x = torch.arange(4.0).view(1, 1, 2, 2) - 10
    assert SameMaxPool2d(2, 1)(x).flatten().tolist() == [-7, -7, -7, -7]
    assert SameMaxPool2d(2, 1)(torch.zeros(1, 1, 13, 13)).shape[2:] == (13, 13)


def test_fixed_padding():
    assert fixed_padding(7) == (3, 3)
    assert fixed_padding((1, 7)) == (0, 3)
    assert fixed_padding(3, dilation=2) == (2, 2)
    with pytest.raises(ValueError, match="kernel: got 2"):
        fixed_padding(2)
    with pytest.raises(ValueError, match="kernel: got 2"):
        SameAvgPool2d(2, 1)


def test_same_layers_export():
    net = torch.nn.Sequential(SameConv2d(3, 4, 3, 2), SameMaxPool2d(3, 2), SameAvgPool2d(3, 1)).eval()
    x = torch.randn(1, 3, 30, 41)
    program = torch.export.export(net, (x,), strict=True)
    torch.testing.assert_close(program.module()(x), net(x))
