"""Inception V2 and V3: their published counts, TF-slim's and torchvision's maps, and all their cuts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from paretodet.backbones import inception_v2, inception_v3
from paretodet.backbones.inception_v2 import InceptionV2
from paretodet.backbones.inception_v3 import InceptionV3
from paretodet.layers.activations import Relu6
from paretodet.layers.fold import fold_norms
from paretodet.layers.norms import BatchNorm, FrozenNorm, NoNorm
from random_weights import uniform
from record_inception_golden import FOLDER, KEPT, RECORDINGS, SEED, drawn
from record_inception_golden import input_image as recorded

REGION_V2 = InceptionV2(taps=("Mixed_4e",), tail=True)
REGION_V3 = InceptionV3(taps=("Mixed_6e",), tail=True)
WHOLE = (replace(REGION_V2, taps=("Mixed_4e", "Mixed_5c"), tail=False), InceptionV3(taps=("Mixed_6e", "Mixed_7c")))
CUT = (REGION_V2, REGION_V3)
both = pytest.mark.parametrize("choice", [REGION_V2, REGION_V3], ids=["v2", "v3"])


def input_image(size):
    """[1, 3, H, W] in -1..1"""
    return uniform((1, 3, *size), -1, 1, SEED)


def mixed(table):
    return [name for name in table if name.startswith("Mixed_")]


def traced(choice, height, width=None):
    with torch.device("meta"):
        net = choice.build().eval()
        with FlopCounterMode(display=False) as counter:
            maps = net.trunk(torch.zeros(1, 3, height, width or height))
    return net, [tuple(m.shape[1:]) for m in maps], counter.get_total_flops() // 2


def thin(choice, **fields):
    """A quarter as wide, with statistics and affine parameters that reveal a missing term."""
    torch.manual_seed(0)
    net = replace(choice, width=0.25, **fields).build()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.2, 0.2)
            part.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)
    return net.eval()


@pytest.mark.parametrize("name", RECORDINGS)
@torch.no_grad()
def test_maps_are_tf_slims_and_torchvisions(name):
    """Recorded by scripts/record_inception_golden.py with the same random weights in both networks."""
    choice, _ = RECORDINGS[name]
    with np.load(FOLDER / f"{name}.npz") as golden:
        maps = drawn(choice, golden["gains"]).trunk(recorded())
        for tap, found in zip(choice.taps, maps, strict=True):
            wanted = torch.from_numpy(golden[tap])
            assert found[:, ::KEPT].shape == wanted.shape
            assert (found[:, ::KEPT] - wanted).abs().max() < 1e-4 * wanted.abs().max()


@torch.no_grad()
def test_the_golden_maps_detect_a_wrong_padding():
    """Averages that count their padding, as torchvision's do, are far outside the tolerance."""
    choice, _ = RECORDINGS["inception_v3-slim"]
    with np.load(FOLDER / "inception_v3-slim.npz") as golden:
        net = drawn(choice, golden["gains"])
        for branches in net.layers.values():
            if hasattr(branches, "Branch_3"):
                branches.Branch_3[0] = nn.AvgPool2d(3, 1, 1)
        first = torch.from_numpy(golden[choice.taps[0]])
    assert (net.trunk(recorded())[0][:, ::KEPT] - first).abs().max() > 0.05 * first.abs().max()


@pytest.mark.parametrize(
    ("choice", "side", "macs", "shapes"),
    [
        # Multiply-adds of slim's graphs; at 299 with its 2,048,000 of fc, V3 is torchvision's published 5.713 G
        (InceptionV2(), 224, 1_933_833_216, [(576, 14, 14), (1024, 7, 7)]),
        (InceptionV2(), 300, 3_594_196_832, [(576, 19, 19), (1024, 10, 10)]),
        (InceptionV2(), 600, 14_081_714_560, [(576, 38, 38), (1024, 19, 19)]),
        (REGION_V2, 300, 2_841_319_264, [(576, 19, 19)]),
        (REGION_V2, 600, 11_275_595_136, [(576, 38, 38)]),
        (InceptionV3(), 299, 5_711_168_096, [(288, 35, 35), (768, 17, 17), (2048, 8, 8)]),
        (InceptionV3(), 300, 5_711_168_096, [(288, 35, 35), (768, 17, 17), (2048, 8, 8)]),
        (InceptionV3(), 600, 24_304_898_144, [(288, 72, 72), (768, 35, 35), (2048, 17, 17)]),
        (REGION_V3, 300, 4_709_229_152, [(768, 17, 17)]),
        (REGION_V3, 600, 19_845_410_912, [(768, 35, 35)]),
    ],
)
def test_multiply_adds_and_maps(choice, side, macs, shapes):
    net, found, counted = traced(choice, side)
    assert counted == macs
    assert found == shapes
    assert net.info.channels == tuple(channels for channels, _, _ in shapes)


def counts(choice):
    """Weights of convolutions, and channels that are normalized."""
    with torch.device("meta"):
        parts = list(choice.build().modules())
    weights = sum(part.weight.numel() for part in parts if isinstance(part, nn.Conv2d))
    return weights, sum(part.num_features for part in parts if isinstance(part, nn.BatchNorm2d))


def test_the_papers_count_of_inception_v2():
    """Table 2 of Huang et al. counts slim's classifier: weights, three values for each normalized channel (no gamma),
    and the first layer's 64 biases, which it has in place of a norm.
    """
    weights, channels = counts(REGION_V2)
    assert (weights, channels - 64) == (10_143_384, 9_888)
    assert weights + 3 * (channels - 64) + 64 == 10_173_112


def test_the_papers_count_of_inception_v3():
    """Table 2 of Huang et al.: weights and three values for each normalized channel, without heads."""
    weights, channels = counts(REGION_V3)
    assert (weights, channels) == (21_751_136, 17_216)
    assert weights + 3 * channels == 21_802_784
    assert weights + 2 * channels == 27_161_264 - 3_326_696 - 2_049_000  # torchvision's, less auxiliary head and fc


@pytest.mark.parametrize(
    ("choice", "norm", "learned"),
    [
        (REGION_V2, BatchNorm(), 10_143_384 + 2 * 9_952),
        (REGION_V2, BatchNorm(scale=False), 10_143_384 + 9_952),
        (REGION_V2, FrozenNorm(), 10_143_384),
        (REGION_V3, BatchNorm(scale=False), 21_751_136 + 17_216),
        (REGION_V3, NoNorm(), 21_751_136 + 17_216),
        (REGION_V3, FrozenNorm(scale=False), 21_751_136),
    ],
)
def test_trainable_parameters(choice, norm, learned):
    with torch.device("meta"):
        net = replace(choice, norm=norm).build()
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == learned


def test_defaults_are_as_released():
    """Slim's classifiers have no gamma; the released detectors on Inception V2 do."""
    assert InceptionV2().norm == BatchNorm(eps=1e-3, momentum=3e-4)
    assert InceptionV3().norm == BatchNorm(eps=1e-3, momentum=3e-4, scale=False)


@pytest.mark.parametrize(
    ("choice", "table", "channels"),
    [
        (InceptionV2(), inception_v2.TABLE, [256, 320, *(576,) * 5, *(1024,) * 3]),
        (InceptionV3(), inception_v3.TABLE, [256, 288, 288, *(768,) * 5, 1280, 2048, 2048]),
    ],
    ids=["v2", "v3"],
)
def test_every_mixed_map_can_be_tapped(choice, table, channels):
    """Channels as TF-slim's comments give them."""
    net, shapes, _ = traced(replace(choice, taps=tuple(mixed(table))), 299)
    assert list(net.info.channels) == [depth for depth, _, _ in shapes] == channels
    for stride, (_, side, _) in zip(net.info.strides, shapes, strict=True):
        assert 299 // stride - 2 <= side <= -(-299 // stride)


@pytest.fixture(scope="module")
def thinnest():
    """Map sizes of both networks at any canvas, on the meta device."""
    with torch.device("meta"):
        nets = {choice: replace(choice(), width=0.125).build().eval() for choice in (InceptionV2, InceptionV3)}
    return lambda choice, *size: [
        tuple(m.shape[2:]) for m in nets[choice].trunk(torch.zeros(1, 3, *size, device="meta"))
    ]


@settings(max_examples=12)
@given(height=st.integers(1, 400), width=st.integers(1, 400))
def test_v2_rounds_every_side_up(thinnest, height, width):
    assert thinnest(InceptionV2, height, width) == [(-(-height // s), -(-width // s)) for s in (16, 32)]


def valid(side):
    """The side of Mixed_5d: two halvings and two 3x3 lose borders before the last halving."""
    for kernel, stride in ((3, 2), (3, 1), (3, 2), (3, 1), (3, 2)):
        side = (side - kernel) // stride + 1
    return side


@settings(max_examples=12)
@given(height=st.integers(75, 400), width=st.integers(75, 400))
def test_v3_loses_its_borders(thinnest, height, width):
    rows, columns = valid(height), valid(width)
    for found in thinnest(InceptionV3, height, width):
        assert found == (rows, columns)
        rows, columns = (rows - 1) // 2, (columns - 1) // 2


def test_v3_needs_a_side_of_75():
    _, shapes, _ = traced(InceptionV3(), 75)
    assert shapes[-1] == (2048, 1, 1)
    with pytest.raises(RuntimeError):
        traced(InceptionV3(), 74)


@pytest.mark.parametrize(
    ("choice", "crop", "left"),
    [(REGION_V2, (576, 14), (1024, 7)), (REGION_V2, (576, 7), (1024, 4)), (REGION_V3, (768, 17), (2048, 8))],
)
def test_tails_of_region_detectors(choice, crop, left):
    """Crops of 14, pooled to 7 by the released configuration, and of 17: Huang et al. section 3.6.1."""
    with torch.device("meta"):
        net = choice.build()
        found = net.tail(torch.zeros(5, crop[0], crop[1], crop[1]))
    assert found.shape == (5, left[0], left[1], left[1])
    assert net.tail_channels == left[0]


@pytest.mark.parametrize(("whole", "cut"), list(zip(WHOLE, CUT, strict=True)), ids=["v2", "v3"])
@torch.no_grad()
def test_a_trunk_and_its_tail_are_the_whole_network(whole, cut):
    """And the names of weights do not depend on the cut."""
    uncut, parts = thin(whole), thin(cut)
    assert list(uncut.state_dict()) == list(parts.state_dict())
    middle, last = uncut.trunk(input_image((107, 90)))
    (kept,) = parts.trunk(input_image((107, 90)))
    assert torch.equal(kept, middle)
    assert torch.equal(parts.tail(kept), last)
    assert uncut.tail_channels == 0


@both
def test_layers_after_the_last_tap_are_not_built_without_a_tail(choice):
    with torch.device("meta"):
        short, long = replace(choice, tail=False).build(), choice.build()
    assert list(short.layers) == list(long.layers)[:-3]
    assert list(short.layers)[-1] == choice.taps[-1]


@both
def test_gradients_reach_every_parameter(choice):
    net = thin(choice).train()
    (tapped,) = net.trunk(input_image((139, 107)).repeat(2, 1, 1, 1))
    net.tail(tapped).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


@both
@pytest.mark.parametrize("width", [0.125, 0.25, 0.5])
def test_narrow_networks_keep_their_structure(choice, width):
    with torch.device("meta"):
        net = replace(choice, width=width).build()
        (tapped,) = net.trunk(torch.zeros(1, 3, 107, 107))
    assert tapped.shape[1] == net.info.channels[0]
    assert all(part.out_channels >= 8 for part in net.modules() if isinstance(part, nn.Conv2d) if part.groups == 1)
    assert net.tail(tapped).shape[1] == net.tail_channels


@both
@torch.no_grad()
def test_relu6_bounds_every_map(choice):
    net, pixels = thin(choice, activation=Relu6()), input_image((99, 99)).mul(100)
    first = next(iter(net.layers.values()))
    assert first(pixels).max() == 6
    assert net.trunk(pixels)[0].max() <= 6
    assert not any(isinstance(part, nn.ReLU) for part in net.modules())


@both
@torch.no_grad()
def test_norms_fold_away(choice):
    net = thin(choice)
    folded = fold_norms(net)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
    (wanted,), (found,) = net.trunk(input_image((99, 107))), folded.trunk(input_image((99, 107)))
    assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()


class Whole(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, pixels):
        maps = self.net.trunk(pixels)
        return (*maps, self.net.tail(maps[-1])) if self.net.tail_channels else maps


@pytest.mark.parametrize(
    "choice",
    [
        InceptionV2(taps=("Mixed_3b", "Mixed_4a")),
        pytest.param(REGION_V2, marks=pytest.mark.full),
        pytest.param(REGION_V3, marks=pytest.mark.full),
    ],
    ids=["start", "v2", "v3"],
)
@torch.no_grad()
def test_exports_strictly_and_compiles_without_a_break(choice):
    net, pixels = Whole(thin(choice)).eval(), input_image((99, 107))
    wanted = net(pixels)
    exported = torch.export.export(net, (pixels,), strict=True).module()
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    for run in (exported, compiled):
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(run(pixels), wanted, strict=True))


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: InceptionV2(taps=()), "taps"),
        (lambda: InceptionV2(taps=("Conv2d_2c_3x3",)), "taps"),
        (lambda: InceptionV2(taps=("Mixed_5c", "Mixed_4c")), "taps"),
        (lambda: InceptionV2(taps=("Mixed_4c", "Mixed_4c")), "taps"),
        (lambda: InceptionV2(taps=("Mixed_6e",)), "taps"),
        (lambda: InceptionV2(tail=True), "tail"),
        (lambda: InceptionV2(width=0.0), "width"),
        (lambda: InceptionV3(taps=("Mixed_4e",)), "taps"),
        (lambda: InceptionV3(tail=True), "tail"),
        (lambda: InceptionV3(width=float("nan")), "width"),
    ],
)
def test_bad_fields_are_named(make, field):
    with pytest.raises(ValueError, match=f"^{field}: got"):
        make()
