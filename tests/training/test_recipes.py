"""Recipes by their kind, with another learning rate."""

import math

import pytest
from torch import nn

from paretodet.errors import InputError
from paretodet.training.optimizers import BASE_LR, scale_lr
from paretodet.training.recipes import make_recipe

BIASES_TWICE = "ssd_liu-vgg16-300"


@pytest.mark.parametrize(
    ("kind", "name", "rates"),
    [
        ("quick", "ssd-mobilenet_v1-300", [0.02, 0.02, 0.02]),
        ("published", BIASES_TWICE, [0.02, 0.04, 0.02]),
        ("published", "ssd-mobilenet_v1-300", [0.02, 0.02, 0.02]),
    ],
)
def test_the_groups_of_the_optimizer_get_the_learning_rate_and_keep_their_multiples(kind, name, rates):
    """Of weights, biases and norms; the schedule then multiplies them."""
    recipe = make_recipe(kind, name, learning_rate=0.02)
    optimizer = recipe.optimizer.build(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(rates)
    assert [group[BASE_LR] for group in optimizer.param_groups] == pytest.approx(rates)
    scale_lr(optimizer, 0.1)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([rate / 10 for rate in rates])


@pytest.mark.parametrize("kind", ["quick", "published"])
def test_nothing_but_the_learning_rate_changes(kind):
    recipe, changed = (make_recipe(kind, BIASES_TWICE, learning_rate=rate) for rate in (None, 0.5))
    assert changed.optimizer.lr == 0.5 and changed.schedule == recipe.schedule
    assert make_recipe(kind, BIASES_TWICE, learning_rate=recipe.optimizer.lr) == recipe


def test_a_given_learning_rate_is_not_called_that_of_another_batch():
    assert "learning rate" in (make_recipe("published", BIASES_TWICE, batch=4).assumption or "")
    assert make_recipe("published", BIASES_TWICE, batch=4, learning_rate=1e-4).assumption is None


@pytest.mark.parametrize("rate", [0.0, -1e-3, math.nan, math.inf])
def test_a_learning_rate_that_learns_nothing_is_refused(rate):
    with pytest.raises(InputError, match="learning-rate: got") as error:
        make_recipe("quick", BIASES_TWICE, learning_rate=rate)
    assert error.value.id == "option-range"
