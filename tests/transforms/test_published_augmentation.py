"""The published augmentations: in the order of their sources, and data like every other choice."""

import json
import pickle

import numpy as np
import pytest

from drawn_sets import sample
from paretodet.detectors.spec import from_data, to_data
from paretodet.loader.batches import Batching
from paretodet.transforms.augment import Chain, Flip, generator
from paretodet.transforms.published import DARKNET, DARKNET_CANVASES, REGIONS, SSD_HUANG, SSD_LIU
from paretodet.transforms.view import whole

SOURCES = (DARKNET, REGIONS, SSD_HUANG, SSD_LIU)


def test_darknets_canvases_are_ten() -> None:
    assert [(fit.height, fit.width) for fit in DARKNET_CANVASES] == [(32 * n, 32 * n) for n in range(10, 20)]


def test_ssd_recolors_then_expands_then_crops_then_flips() -> None:
    assert [type(step).__name__ for step in SSD_LIU.steps] == ["Distort", "Expand", "SampledCrop", "Flip"]


@pytest.mark.parametrize("source", SOURCES, ids=repr)
def test_a_choice_comes_back_from_json_and_from_another_process(source: Chain) -> None:
    choices = Batching(fits=DARKNET_CANVASES, images=8, augmentation=source, masks=28)
    assert from_data(json.loads(json.dumps(to_data(choices)))) == choices
    assert pickle.loads(pickle.dumps(choices)) == choices
    assert hash(choices) == hash(pickle.loads(pickle.dumps(choices)))


def test_a_chain_runs_its_steps_in_order_on_one_noise() -> None:
    view = whole(np.zeros((20, 30, 3), np.uint8), sample([[1, 2, 9, 8]], (20, 30)))
    together, apart = generator(0, 0, 0), generator(0, 0, 0)
    steps = (*SSD_LIU.steps, Flip(chance=1))
    expected = view
    for step in steps:
        expected = step(expected, apart)
    found = Chain(steps=steps)(view, together)
    assert (found.window, found.mirrored, found.tints) == (expected.window, expected.mirrored, expected.tints)
    assert Chain()(view, together) is view
