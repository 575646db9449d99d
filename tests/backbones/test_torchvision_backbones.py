"""ResNet and MobileNet against torchvision's and timm's networks with the same weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from paretodet.backbones.resnet import ResNet
from record_torchvision_backbones import CASES, FOLDER, KEPT, calibrated, drawn, input_image

SIZES = ((64, 64), (97, 65), (225, 161))
# SAME pads even sides only at their end, timm by one pixel on every side.
LIVE = [(name, size) for name in CASES for size in SIZES if (name, size) != ("mobilenet_v1-timm", (64, 64))]
APART = 1e-4  # of a map's largest magnitude


def apart(found, wanted):
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, wanted, strict=True))


def recorded(name):
    with np.load(FOLDER / f"{name}.npz") as kept:
        maps = [torch.from_numpy(kept[f"map{i}"]) for i in range(len(kept.files) - 2)]
        return kept["gains"], maps


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_maps_are_as_recorded(name):
    """Recorded by scripts/record_torchvision_backbones.py, which documents versions and settings."""
    gains, wanted = recorded(name)
    case = CASES[name]
    found = [m[:, ::KEPT] for m in drawn(case, gains).trunk(input_image(case))]
    assert [m.shape for m in found] == [m.shape for m in wanted]
    assert all(0.1 < m.std() < 10 for m in wanted)
    assert apart(found, wanted) <= APART


@torch.no_grad()
def test_the_record_distinguishes_the_layouts():
    """With the same weights and the stride in another place the maps differ."""
    name = "resnet50-torchvision"
    gains, wanted = recorded(name)
    moved = replace(CASES[name], choice=replace(CASES[name].choice, layout="caffe"))
    found = [m[:, ::KEPT] for m in drawn(moved, gains).trunk(input_image(moved))]
    assert apart(found[:1], wanted[:1]) <= APART
    assert min(apart([a], [b]) for a, b in zip(found[1:], wanted[1:], strict=True)) > 0.1


@torch.no_grad()
@pytest.mark.full
@pytest.mark.parametrize(("name", "size"), LIVE)
def test_maps_are_those_of_the_installed_library(name, size):
    """If the library is installed."""
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    pytest.importorskip("timm", reason="timm is not installed")
    case = replace(CASES[name], size=size)
    fresh = case.choice.build()
    net = drawn(case, calibrated(fresh, lambda: fresh.trunk(input_image(case)), 1))
    assert apart(net.trunk(input_image(case)), case.theirs(case, net)) <= APART


@pytest.mark.parametrize("depth", [50, 101, 152])
@pytest.mark.parametrize("layout", ["slim", "caffe", "torchvision"])
def test_parameters_are_torchvisions_without_the_classifier(depth, layout):
    """25,557,032, 44,549,160 and 60,192,808 in all: torchvision's model table."""
    whole = {50: 25_557_032, 101: 44_549_160, 152: 60_192_808}
    with torch.device("meta"):
        net = ResNet(depth=depth, layout=layout, taps=(5,), tail=False).build()
    assert sum(p.numel() for p in net.parameters()) == whole[depth] - (2048 * 1000 + 1000)
