import pytest
import torch
from torch import nn

from paretodet.training.ema import Ema


def model():
    made = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    made[0].bias.requires_grad_(False)
    return made


def test_the_average_by_hand():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    average = Ema(decay=0.9).build(layer)
    for step, value in enumerate((2.0, 3.0)):
        nn.init.constant_(layer.weight, value)
        average.update(layer, step)
    assert average.weights(layer)["weight"].item() == pytest.approx(0.9 * (0.9 * 1 + 0.1 * 2) + 0.1 * 3)


def test_buffers_and_frozen_parameters_are_not_averaged():
    made = model()
    average = Ema(decay=0.5).build(made)
    with torch.no_grad():
        made[0].weight += 1
        made[1].running_mean += 7
    average.update(made, 0)
    kept = average.weights(made)
    assert kept.keys() == made.state_dict().keys()
    assert torch.equal(kept["1.running_mean"], made[1].running_mean) and torch.equal(kept["0.bias"], made[0].bias)
    torch.testing.assert_close(kept["0.weight"], made[0].weight.detach() - 0.5)


def test_the_ramp_is_that_of_tensorflow():
    average = Ema(decay=0.99, ramp=True)
    assert [average.at(0), average.at(90)] == pytest.approx([1 / 10, 91 / 100]) and average.at(10_000) == 0.99
    assert Ema(decay=0.99).at(0) == 0.99


def test_the_model_is_not_changed():
    made = model()
    before = {name: t.clone() for name, t in made.state_dict().items()}
    Ema(decay=0.5).build(made).update(made, 0)
    assert all(torch.equal(t, before[name]) for name, t in made.state_dict().items())


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match="decay: got"):
        Ema(decay=decay)
