"""Liu et al.'s two networks against their paper and an open model zoo's counts."""

from dataclasses import replace

import pytest
import torch

from paretodet.backbones.vgg import VGG16Reduced
from paretodet.bench.flops import count
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.types import Images

VOC = Override(labels=tuple(map(str, range(20))))


def blank(made, device="cpu"):
    pixels = torch.zeros(1, 3, made.height, made.width, dtype=torch.uint8, device=device)
    return Images(pixels, torch.tensor([[float(made.height), float(made.width)]], device=device))


@pytest.mark.parametrize(
    ("name", "parameters", "gflops"),
    [("ssd_liu-vgg16-300", 26_285_486, 62.75), ("ssd_liu-vgg16-512", 27_188_676, 180.42)],
)
def test_voc_counts(name, parameters, gflops):
    """With 21 outputs, as Open Model Zoo lists them (26.285 and 27.189 M)."""
    made = spec(name, VOC)
    with torch.device("meta"):
        detector = Detector(made).eval()
    assert sum(p.numel() for p in detector.parameters()) == parameters
    assert round(2e-9 * count(detector, blank(made, "meta")).macs, 2) == gflops


@pytest.mark.parametrize(
    ("side", "maps"),
    [
        (300, [38, 19, 10, 5, 3, 1]),  # Liu et al. figure 2
        (512, [64, 32, 16, 8, 4, 2, 1]),  # section 3.3: conv12_2 of the paper is conv10_2 of the released layers
        (511, [64, 32, 16, 8, 6, 4]),
        (600, [75, 38, 19, 10, 5, 3, 2]),
    ],
)
def test_maps(side, maps):
    made = spec(f"ssd_liu-vgg16-{side}")
    with torch.device("meta"):
        found = Detector(made).features(blank(made, "meta"))
    assert [m.shape[2] for m in found] == [m.shape[3] for m in found] == maps


@pytest.mark.full
@torch.no_grad()
def test_ssd512_exports_strictly_at_an_eighth_of_its_width():
    torch.manual_seed(0)
    made = replace(spec("ssd_liu-vgg16-512", Override(labels=("a",))), backbone=VGG16Reduced(width=0.125))
    detector, batch = Detector(made).eval(), blank(made)
    exported = torch.export.export(detector, (batch,), strict=True).module()
    for found, wanted in zip(exported(batch), detector(batch), strict=True):
        assert found is wanted is None or torch.equal(found, wanted)
