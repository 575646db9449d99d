import pytest

from paretodet.detectors.spec import from_data, to_data
from paretodet.training.optimizers import Sgd
from paretodet.training.published_recipes import published_recipe
from paretodet.training.quick_recipe import quick_recipe
from paretodet.training.recipe import Recipe

SGD = Sgd(lr=0.1)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("steps", 0, "steps: got 0, allowed 1 or more"),
        ("batch", 0, "batch: got 0"),
        ("accumulate", 0, "accumulate: got 0"),
        ("accumulate", 3, "accumulate: got 3, allowed a divisor of the batch of 8"),
        ("norm_momentum", 0.0, "norm_momentum: got 0.0, allowed above 0 to 1"),
        ("early", -1, "early: got -1, allowed 0 or more"),
        ("precision", "fp8", "precision: got 'fp8', allowed fp32, bf16, fp16"),
    ],
)
def test_values_out_of_range_are_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**({"optimizer": SGD, "steps": 1, "batch": 8} | {field: value}))


def test_a_part_has_the_images_of_one_pass():
    assert Recipe(optimizer=SGD, steps=1, batch=8, accumulate=4).part == 2


@pytest.mark.parametrize(
    "made", [quick_recipe(), published_recipe("yolo_v3-darknet53-416"), published_recipe("ssd-vgg16-300")]
)
def test_a_recipe_reads_back_from_data(made):
    assert from_data(to_data(made)) == made and hash(made) == hash(from_data(to_data(made)))
