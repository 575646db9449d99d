"""Crops equal TensorFlow's, on the same recorded maps and boxes, some of which cross the canvas.

The golden file is that of scripts/record_tf_rules_golden.py, which says how it was made; it names its versions.
"""

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from paretodet.ops.roi import crop_and_resize, position_sensitive_crop
from record_tf_rules_golden import BINS, CANVAS, CROPS, OPS, SAMPLES_A_BIN, boxes, features


@pytest.fixture(scope="module")
def golden():
    with np.load(OPS) as kept:
        return {key: torch.from_numpy(value) for key, value in kept.items() if value.dtype.kind != "U"}


def rois():
    return torch.from_numpy(boxes(32, 31)).view(2, 16, 4)


def apart(found, wanted):
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


@pytest.mark.parametrize("bins", CROPS)
def test_crops_are_crop_and_resizes(golden, bins):
    found = crop_and_resize(torch.from_numpy(features(4)), rois(), bins, CANVAS)
    assert apart(found, golden[f"crop_{bins}"]) < 1e-4


def test_crops_are_position_sensitive_crop_regions(golden):
    """TF gives every sample, ours the mean of each bin's."""
    maps = torch.from_numpy(features(BINS * BINS * 2))
    found = position_sensitive_crop(maps, rois(), BINS, CANVAS, samples=SAMPLES_A_BIN)
    wanted = avg_pool2d(golden["position_sensitive"].flatten(0, 1), SAMPLES_A_BIN).view(found.shape)
    assert apart(found, wanted) < 1e-4
