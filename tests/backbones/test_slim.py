"""The backbones equal TF-slim's with the same random weights.

The golden maps are those of scripts/record_slim_golden.py, which says how they were made; each file names its versions.
"""

import numpy as np
import pytest
import torch

from paretodet.layers.padding import SameConv2d
from random_weights import draw
from record_slim_golden import CASES, FOLDER, KEPT, PACKAGES, SEED, ours


def golden(name):
    with np.load(FOLDER / f"slim-{name}.npz") as kept:
        return dict(kept)


def built(name, kept):
    return draw(CASES[name].choice.build(), kept["gains"], SEED)


def apart(net, name, kept):
    """The largest difference of each map, as a share of its largest magnitude."""
    found = ours(CASES[name], net)
    wanted = [torch.from_numpy(kept[f"map{index}"]) for index in range(len(found))]
    assert [m[:, ::KEPT].shape for m in found] == [m.shape for m in wanted]
    return [
        ((mine[:, ::KEPT] - theirs).abs().max() / theirs.abs().max()).item()
        for mine, theirs in zip(found, wanted, strict=True)
    ]


@pytest.mark.parametrize("name", CASES)
def test_maps_are_slims(name):
    kept = golden(name)
    assert max(apart(built(name, kept), name, kept)) < 1e-4


@pytest.mark.parametrize("name", CASES)
def test_golden_maps_have_unit_scale_and_name_their_versions(name):
    """A map of zeros, or one dominated by one channel, would prove nothing."""
    kept = golden(name)
    assert [line.split()[0] for line in kept["made_with"]] == list(PACKAGES)
    maps = [value for key, value in kept.items() if key.startswith("map")]
    assert len(maps) == len(CASES[name].choice.taps) + (CASES[name].crop > 0)
    for each in maps:
        assert 0.2 < each.std() < 20
        assert np.abs(each).max() < 20 * each.std()


def test_the_golden_maps_detect_symmetric_padding():
    """Where TF pads only bottom and right, torch's padding is far outside the tolerance."""
    kept = golden("mobilenet_v1")
    net = built("mobilenet_v1", kept)
    for part in list(net.modules()):
        if isinstance(part, SameConv2d):
            part.padding = (1, 1)
            part.forward = torch.nn.Conv2d.forward.__get__(part)
    assert min(apart(net, "mobilenet_v1", kept)) > 0.05
