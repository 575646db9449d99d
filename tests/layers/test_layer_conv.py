import pytest
import torch
from torch import nn

from paretodet.layers.activations import Leaky, NoActivation, Relu, Relu6
from paretodet.layers.conv import conv_norm_act, depthwise_separable, separable_conv
from paretodet.layers.fold import fold_norms
from paretodet.layers.frozen import FrozenNorm2d
from paretodet.layers.norms import BatchNorm, FrozenNorm, L2Norm, NoNorm
from paretodet.layers.padding import SameConv2d


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def stir(module: nn.Module) -> nn.Module:
    """Set statistics and affine parameters to values that reveal a missing term."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d | FrozenNorm2d):
            part.running_mean.uniform_(-1, 1)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.bias, -1, 1)
            if part.weight is not None:
                nn.init.uniform_(part.weight, 0.5, 2)
    return module.eval()


@pytest.mark.parametrize(
    ("norm", "parameters"),
    [(BatchNorm(), 3 * 8 * 9 + 16), (BatchNorm(scale=False), 3 * 8 * 9 + 8), (NoNorm(), 3 * 8 * 9 + 8)],
)
def test_parameters_of_a_block(norm, parameters):
    assert count(conv_norm_act(3, 8, kernel=3, norm=norm, activation=Relu())) == parameters


def test_separable_parameters():
    # slim's mobilenet_v1: 3x3 depthwise on 32 and pointwise to 64 hold 288 + 2048 weights
    mobile = depthwise_separable(32, 64, norm=BatchNorm(), activation=Relu6(), stride=2)
    assert count(mobile) == 288 + 64 + 2048 + 128
    # inception_v2's first layer: 7x7, multiplier 8, 3 -> 24 -> 64; one norm
    slim = separable_conv(3, 64, norm=BatchNorm(scale=False), activation=Relu(), kernel=7, stride=2, multiplier=8)
    assert count(slim) == 49 * 24 + 24 * 64 + 64
    assert slim(torch.zeros(1, 3, 32, 32)).shape == (1, 64, 16, 16)


def test_names_are_the_same_everywhere():
    brick = conv_norm_act(3, 8, kernel=1, norm=BatchNorm(), activation=NoActivation())
    assert [name for name, _ in brick.named_children()] == ["conv", "norm", "activation"]


@pytest.mark.parametrize(
    ("activation", "want"),
    [(Relu(), [0, 0.5, 9]), (Relu6(), [0, 0.5, 6]), (Leaky(), [-0.2, 0.5, 9]), (NoActivation(), [-2, 0.5, 9])],
)
def test_activations(activation, want):
    assert activation.build()(torch.tensor([-2.0, 0.5, 9.0])).tolist() == pytest.approx(want)


def test_a_frozen_norm_equals_batch_norm_in_evaluation_without_gradient():
    frozen, norm = FrozenNorm(eps=1e-3).build(5), nn.BatchNorm2d(5, 1e-3)
    stir(norm)
    frozen.load_state_dict({k: v for k, v in norm.state_dict().items() if k != "num_batches_tracked"})
    x = torch.randn(2, 5, 4, 4)
    torch.testing.assert_close(frozen.train()(x), norm(x))
    assert not any(p.requires_grad for p in frozen.parameters())
    assert count(frozen) == 10


def test_l2_norm_gives_every_position_length_twenty():
    x = torch.randn(2, 16, 3, 3)
    torch.testing.assert_close(L2Norm(16)(x).norm(dim=1), torch.full((2, 3, 3), 20.0))
    for dtype in (torch.float32, torch.bfloat16, torch.float16):  # eps inside the root keeps zero finite
        assert L2Norm(4)(torch.zeros(1, 4, 1, 1, dtype=dtype)).abs().max() == 0


@pytest.mark.parametrize("norm", [BatchNorm(eps=1e-3), BatchNorm(scale=False), FrozenNorm(), NoNorm()])
def test_folding_keeps_outputs_and_leaves_the_original(norm):
    torch.manual_seed(0)
    net = nn.Sequential(
        conv_norm_act(3, 8, kernel=3, norm=norm, activation=Relu(), stride=2, conv=SameConv2d),
        depthwise_separable(8, 12, norm=norm, activation=Relu6()),
        nn.Sequential(nn.Conv2d(12, 6, 1), BatchNorm().build(6)),  # a bias before a norm folds too
    )
    before = {k: v.clone() for k, v in stir(net).state_dict().items()}
    folded = fold_norms(net)
    x = torch.randn(2, 3, 17, 20)
    torch.testing.assert_close(folded(x), net(x), atol=1e-5, rtol=1e-5)
    assert not any(isinstance(m, nn.BatchNorm2d | FrozenNorm2d) for m in folded.modules())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_a_norm_without_a_convolution_is_kept():
    net = stir(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)))
    folded = fold_norms(net)
    assert isinstance(folded[1], nn.BatchNorm2d)


def test_same_convolution_takes_no_padding():
    with pytest.raises(ValueError, match="padding: got 1"):
        conv_norm_act(3, 8, kernel=3, padding=1, norm=NoNorm(), activation=Relu(), conv=SameConv2d)


@pytest.mark.parametrize("norm", [BatchNorm(scale=False), FrozenNorm(), BatchNorm()])
def test_blocks_export(norm):
    net = stir(conv_norm_act(3, 8, kernel=3, norm=norm, activation=Leaky(), stride=2))
    x = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(torch.export.export(net, (x,), strict=True).module()(x), net(x))
