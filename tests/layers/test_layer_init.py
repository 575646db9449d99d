import math

import pytest
import torch
from torch import nn

from paretodet.layers.init import (
    CaffeXavier,
    Normal,
    TruncatedNormal,
    caffe_xavier_,
    he_,
    normal_,
    prior_bias,
    trunc_normal_,
    xavier_,
)


def test_truncation_is_at_two_standard_deviations():
    conv = nn.Conv2d(64, 64, 3)
    trunc_normal_(conv, 0.03)
    assert conv.weight.abs().max() <= 0.06
    # a unit normal cut at +-2 has deviation 0.8796
    assert conv.weight.std().item() == pytest.approx(0.03 * 0.8796, rel=0.02)
    assert conv.bias.abs().max() == 0


def test_standard_deviations():
    net = nn.Sequential(nn.Conv2d(32, 64, 3), nn.Linear(100, 200))
    normal_(net, 0.01)
    assert net[1].weight.std().item() == pytest.approx(0.01, rel=0.03)
    he_(net)
    assert net[0].weight.std().item() == pytest.approx(math.sqrt(2 / (32 * 9)), rel=0.03)
    xavier_(net)
    assert net[1].weight.abs().max().item() == pytest.approx(math.sqrt(6 / 300), rel=0.01)
    caffe_xavier_(net)
    assert net[1].weight.abs().max().item() == pytest.approx(math.sqrt(3 / 100), rel=0.01)


@pytest.mark.parametrize(
    ("init", "function"),
    [
        (TruncatedNormal(std=0.03), lambda m: trunc_normal_(m, 0.03)),
        (Normal(std=0.01), lambda m: normal_(m, 0.01)),
        (CaffeXavier(), caffe_xavier_),
    ],
)
def test_specs_equal_their_functions(init, function):
    layers = nn.Conv2d(4, 8, 3), nn.Conv2d(4, 8, 3)
    for layer, start in zip(layers, (init, function), strict=True):
        torch.manual_seed(0)
        start(layer)
        assert layer.bias.abs().max() == 0
    assert torch.equal(layers[0].weight, layers[1].weight)


@pytest.mark.parametrize("std", [0, -0.01, math.inf, math.nan])
@pytest.mark.parametrize("kind", [Normal, TruncatedNormal])
def test_a_standard_deviation_of_0_is_refused(kind, std):
    with pytest.raises(ValueError, match="^std: got"):
        kind(std=std)


def test_prior_bias():
    assert torch.sigmoid(torch.tensor(prior_bias(0.01))).item() == pytest.approx(0.01)
    with pytest.raises(ValueError, match="probability: got 1"):
        prior_bias(1)


@pytest.mark.parametrize("init", [Normal(std=0.1), TruncatedNormal(std=0.1), CaffeXavier(), he_, xavier_])
def test_nothing_is_drawn_on_the_meta_device(init, monkeypatch):
    """torch would import its compiler for it."""
    layer = nn.Conv2d(3, 4, 3)
    before = layer.weight.clone()
    init(layer)
    assert not torch.equal(layer.weight, before)
    for name in ("normal_", "uniform_", "trunc_normal_"):
        monkeypatch.setattr(torch.Tensor, name, None, raising=False)
    with pytest.raises(TypeError):
        init(layer)
    init(layer.to("meta"))
