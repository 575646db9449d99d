import pytest
import torch

from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.detectors.scale_width import scale_width
from paretodet.layers.frozen import FrozenNorm2d
from paretodet.training.quick_recipe import check_norms, quick_recipe
from paretodet.training.recipe import Recipe

FROZEN = ("faster_rcnn-resnet101-600-s16-p300", "retinanet-resnet50-800", "rfcn-mobilenet_v1-300-s16-p10")


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_norms_without_statistics_are_refused(name):
    detector = Detector(scale_width(spec(name, Override(labels=("a",))), 0.125))
    with pytest.raises(ValueError, match="norm: .* frozen norms have no statistics .first backbone"):
        check_norms(detector)
    for norm in detector.modules():
        if isinstance(norm, FrozenNorm2d):
            norm.running_var.fill_(0.5)  # as imported weights do
    check_norms(detector)


def test_the_quick_recipe_warms_up_and_ends_at_0():
    made = quick_recipe(steps=1000)
    assert isinstance(made, Recipe) and made.ema and made.optimizer.lr == 1e-3
    rates = torch.tensor([made.schedule(step) for step in range(1001)])
    assert rates[0] == pytest.approx(0.1) and rates.argmax() == 50 and rates[-1] == pytest.approx(0)
    assert quick_recipe(steps=1).schedule(0) > 0
