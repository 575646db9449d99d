"""Networks as tables."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from paretodet.layers.activations import Relu, Relu6
from paretodet.layers.branches import AvgPool, Conv, ConvStyle, MaxPool, Separable, branches, chain
from paretodet.layers.norms import BatchNorm, FrozenNorm, NoNorm

PLAIN = ConvStyle(norm=BatchNorm(), activation=Relu())
paddings = st.sampled_from(["same", "valid"])
kernels = st.sampled_from([1, 3, 5, (1, 7), (7, 1), (3, 1)])
convs = st.builds(Conv, st.integers(1, 16), kernels, stride=st.sampled_from([1, 2]), padding=paddings)


def out(size: int, kernel: int, stride: int, padding: str) -> int:
    """TensorFlow's two rules."""
    return -(-size // stride) if padding == "same" else (size - kernel) // stride + 1


@given(convs, st.integers(9, 24), st.integers(9, 24))
def test_sides_follow_tensorflows_rules(step, height, width):
    module, channels = step.build(3, PLAIN)
    sides = step.kernel if isinstance(step.kernel, tuple) else (step.kernel, step.kernel)
    found = module.eval()(torch.zeros(1, 3, height, width)).shape
    rows, columns = (out(n, k, step.stride, step.padding) for n, k in zip((height, width), sides, strict=True))
    assert found == (1, channels, rows, columns)


@given(st.integers(1, 3), st.sampled_from([1, 2]), paddings, st.integers(5, 20))
def test_pooling_keeps_channels_and_follows_the_same_rules(half, stride, padding, side):
    step = MaxPool(2 * half - 1, stride=stride, padding=padding)
    module, channels = step.build(4, PLAIN)
    assert channels == 4
    assert module(torch.zeros(1, 4, side, side)).shape[2] == out(side, step.kernel, stride, padding)


@given(st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=3), min_size=1, max_size=4))
def test_branches_return_their_output_channels(rows):
    step = branches(*(tuple(Conv(depth, 3) for depth in row) for row in rows))
    module, channels = step.build(5, PLAIN)
    assert channels == sum(row[-1] for row in rows) == module.eval()(torch.zeros(1, 5, 4, 4)).shape[1]
    assert [name for name, _ in module.named_children()] == [f"Branch_{i}" for i in range(len(rows))]


def test_branches_are_concatenated_in_order():
    module, channels = branches((MaxPool(1),), (AvgPool(),), (MaxPool(3),)).build(2, PLAIN)
    x = torch.randn(1, 2, 6, 6)
    assert channels == 6
    assert torch.equal(module(x), torch.cat([x, module.Branch_1(x), module.Branch_2(x)], 1))


def test_an_average_does_not_count_padding():
    module, _ = AvgPool().build(1, PLAIN)
    assert torch.allclose(module(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))


def test_strides_multiply_along_a_branch_and_in_nested_ones():
    inner = branches((Conv(8, 3, stride=2),), (MaxPool(stride=2),))
    outer = branches((Conv(8, 3, stride=2), inner), (MaxPool(stride=2), MaxPool(stride=2)))
    module, channels = outer.build(3, PLAIN)
    assert (inner.stride, outer.stride) == (2, 4)
    assert module(torch.zeros(2, 3, 17, 16)).shape == (2, channels, 5, 4)


def test_branches_with_different_strides_cannot_be_concatenated():
    module, _ = branches((Conv(8, stride=2),), (Conv(8),)).build(3, PLAIN)
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        module(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("width", "depths"), [(1.0, (64, 24)), (0.5, (32, 24)), (0.25, (16, 15)), (0.125, (8, 6)), (2.0, (128, 24))]
)
def test_the_multiplier_of_a_narrow_separable_layer_is_reduced(width, depths):
    """TF-slim: depthwise_multiplier = min(int(depth / 3), 8)."""
    layers, channels = Separable(64, 7, stride=2, multiplier=8).build(
        3, ConvStyle(norm=BatchNorm(), activation=Relu(), width=width)
    )
    assert (channels, layers.depthwise.out_channels) == depths
    assert layers(torch.zeros(2, 3, 15, 16)).shape == (2, depths[0], 8, 8)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=5), st.sampled_from([1.0, 0.5, 0.25]))
def test_a_chain_passes_its_channels_on(depths, width):
    net, channels = chain([Conv(d) for d in depths], 3, ConvStyle(norm=NoNorm(), activation=Relu(), width=width))
    made = [layer.conv for layer in net]
    assert all(before.out_channels == after.in_channels for before, after in pairwise(made))
    assert made[-1].out_channels == channels
    assert all(min(8, d) <= conv.out_channels <= max(8, d * width) for conv, d in zip(made, depths, strict=True))


@pytest.mark.parametrize(
    ("norm", "parameters"),
    [
        (BatchNorm(), 3 * 8 + 16),
        (BatchNorm(scale=False), 3 * 8 + 8),
        (FrozenNorm(), 3 * 8 + 16),
        (FrozenNorm(scale=False), 3 * 8 + 8),
        (NoNorm(), 3 * 8 + 8),
    ],
)
def test_the_style_applies_to_every_layer(norm, parameters):
    net, _ = Conv(8).build(3, ConvStyle(norm=norm, activation=Relu6()))
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert isinstance(net.activation, nn.ReLU6)
    assert net(torch.randn(1, 3, 4, 4)).shape == (1, 8, 4, 4)


def test_a_frozen_norm_without_gamma_is_one_with_gamma_one():
    bare, whole = FrozenNorm(scale=False).build(4), FrozenNorm().build(4)
    for name in ("bias", "running_mean", "running_var"):
        getattr(bare, name).data.uniform_(0.5, 2.0)
    assert whole.load_state_dict(bare.state_dict(), strict=False).missing_keys == ["weight"]
    x = torch.randn(2, 4, 3, 3)
    assert torch.equal(bare(x), whole(x))
