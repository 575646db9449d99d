"""The released forms of Huang et al.'s region detectors."""

import pytest

from paretodet.detectors.families import spec
from paretodet.detectors.released import as_released


def head(name):
    made = as_released(spec(name))
    assert made.name == f"{name} as released"
    return made.stages[-1].head


def test_rfcn_has_three_bins_of_six_samples():
    found = head("rfcn-resnet101-600-s16-p300")
    assert (found.bins, found.crop) == (3, 18)


def test_faster_rcnn_on_inception_v2_pools_its_crops():
    assert head("faster_rcnn-inception_v2-600-s16-p300").crop.pool == 2


@pytest.mark.parametrize(
    "name", ["ssd-mobilenet_v1-300", "mask_rcnn_zoo-inception_v2-800x1365-s16", "mask_rcnn-resnet101-800x1024"]
)
def test_other_detectors_are_as_in_the_catalogue(name):
    assert as_released(spec(name)) == spec(name)
