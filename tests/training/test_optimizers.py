"""Optimizers against their definitions written in numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from paretodet.layers.frozen import FrozenNorm2d
from paretodet.training.optimizers import AdamW, RmsProp, Sgd, parameter_groups, scale_lr


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.frozen = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), FrozenNorm2d(4)
        self.up, self.out = nn.ConvTranspose2d(4, 4, 2), nn.Linear(4, 2, bias=False)
        self.scale = nn.Parameter(torch.ones(4))


def updates(spec, gradients, rates):
    """The weight of a 1 x n layer after each gradient, from 0.5 everywhere, as float64."""
    layer = nn.Linear(gradients.shape[1], 1, bias=False).double()
    nn.init.constant_(layer.weight, 0.5)
    optimizer = spec.build(layer)
    seen = []
    for gradient, rate in zip(gradients, rates, strict=True):
        scale_lr(optimizer, rate)
        layer.weight.grad = torch.from_numpy(gradient)[None].clone()
        optimizer.step()
        seen.append(layer.weight.detach().numpy()[0].copy())
    return np.stack(seen)


GRADIENTS = np.random.default_rng(0).normal(size=(30, 7)) * np.logspace(-4, 3, 7)
RATES = np.where(np.arange(30) < 15, 1.0, 0.1)


def tensorflow(gradients, rates, *, lr, smoothing, momentum, eps, weight_decay):
    """tf.compat.v1.train.RMSPropOptimizer, not centered, by its documentation; the L2 term is part of the gradient."""
    weight, square, moving = np.full(7, 0.5), np.ones(7), np.zeros(7)
    for gradient, factor in zip(gradients, rates, strict=True):
        gradient = gradient + weight_decay * weight
        square = smoothing * square + (1 - smoothing) * gradient**2
        moving = momentum * moving + lr * factor * gradient / np.sqrt(square + eps)
        weight = weight - moving
        yield weight


@pytest.mark.parametrize(("eps", "decay"), [(1.0, 0.0), (1.0, 4e-5), (1e-10, 0.01)])
def test_rmsprop_is_tensorflows(eps, decay):
    settings = {"lr": 0.004, "smoothing": 0.9, "momentum": 0.9, "eps": eps, "weight_decay": decay}
    wanted = np.stack(list(tensorflow(GRADIENTS, RATES, **settings)))
    np.testing.assert_allclose(updates(RmsProp(**settings), GRADIENTS, RATES), wanted, rtol=1e-12)


def test_rmsprops_first_step_by_hand():
    # ms = 0.9 * 1 + 0.1 * 4 = 1.3; 0.1 * 2 / sqrt(1.3 + 1) = 0.131876
    (found,) = updates(RmsProp(lr=0.1), np.array([[2.0]]), [1.0])
    assert found[0] == pytest.approx(0.5 - 0.1 * 2 / 2.3**0.5)


def test_rmsprop_is_not_torchs():
    layer = nn.Linear(7, 1, bias=False).double()
    nn.init.constant_(layer.weight, 0.5)
    other = torch.optim.RMSprop(layer.parameters(), lr=0.004, alpha=0.9, eps=1.0, momentum=0.9)
    for gradient in GRADIENTS:
        layer.weight.grad = torch.from_numpy(gradient)[None].clone()
        other.step()
    ours = updates(RmsProp(lr=0.004), GRADIENTS, np.ones(30))[-1]
    assert np.abs(ours - layer.weight.detach().numpy()).max() > 1e-3


def test_sgd_by_hand():
    # v: 1 + 0.1 * 0.5 = 1.05, w = 0.5 - 0.2 * 1.05 = 0.29; v: 0.9 * 1.05 + 1 + 0.029 = 1.974, w = 0.29 - 0.02 * 1.974
    found = updates(Sgd(lr=0.2, momentum=0.9, weight_decay=0.1), np.ones((2, 1)), [1.0, 0.1])
    assert found[:, 0] == pytest.approx([0.29, 0.29 - 0.02 * 1.974])


def test_adamw_decays_the_weight_not_the_gradient():
    found = updates(AdamW(lr=0.1, weight_decay=0.2), np.full((1, 1), 3.0), [1.0])
    assert found[0, 0] == pytest.approx(0.5 * (1 - 0.1 * 0.2) - 0.1, rel=1e-6)


def test_only_weights_of_convolutions_and_linear_layers_decay():
    model = Layers()
    names = {id(p): name for name, p in model.named_parameters()}
    found = {
        names[id(p)]: (g["lr"], g["weight_decay"])
        for g in parameter_groups(model, 0.1, 5e-4, bias_lr_factor=2.0)
        for p in g["params"]
    }
    decayed, biases, others = (0.1, 5e-4), (0.2, 0.0), (0.1, 0.0)
    assert found == {
        "conv.weight": decayed,
        "up.weight": decayed,
        "out.weight": decayed,
        "conv.bias": biases,
        "up.bias": biases,
        "norm.weight": others,
        "norm.bias": others,
        "scale": others,
    }  # those of the frozen norm are in no group


def test_scaling_keeps_the_factor_of_biases():
    optimizer = Sgd(lr=0.1, bias_lr_factor=2.0).build(Layers())
    for factor in (0.5, 0.25):
        scale_lr(optimizer, factor)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.025, 0.05, 0.025])


@pytest.mark.parametrize("kind", [Sgd, AdamW, RmsProp])
@pytest.mark.parametrize(("field", "value"), [("lr", 0.0), ("lr", float("nan")), ("weight_decay", -1.0)])
def test_settings_out_of_range_are_refused(kind, field, value):
    with pytest.raises(ValueError, match=f"{field}: got"):
        kind(**({"lr": 0.1} | {field: value}))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sgd(lr=0.1, momentum=1.0), "momentum: got 1.0"),
        (lambda: AdamW(lr=0.1, betas=(0.9, 1.0)), "momentum: got 1.0"),
        (lambda: RmsProp(lr=0.1, eps=0.0), "eps: got 0.0"),
    ],
)
def test_momenta_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
