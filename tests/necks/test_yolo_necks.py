"""YOLO's necks: darknet's order of the passed map, and the shapes of both top-down paths."""

import pytest
import torch

from paretodet.necks.passthrough import Passthrough
from paretodet.necks.top_down import TopDown
from paretodet.types import FeatureInfo


def darknet_reorg(x, stride=2):
    """The layer's loop over a map [C, H, W], index by index."""
    channels, height, width = x.shape
    flat, found = x.flatten(), torch.empty(x.numel())
    group = channels // stride**2
    for k in range(channels):
        for j in range(height):
            for i in range(width):
                column, row = i * stride + k // group % stride, j * stride + k // group // stride
                source = column + width * stride * (row + height * stride * (k % group))
                found[i + width * (j + height * k)] = flat[source]
    return found.view(channels * stride**2, height // stride, width // stride)


class Recorder(torch.nn.Module):
    """Records its input."""

    def forward(self, x):
        self.seen = x
        return x


@pytest.mark.parametrize("squeeze", [None, 4])
def test_the_passed_map_comes_first_and_in_darknets_order(squeeze):
    torch.manual_seed(0)
    neck = Passthrough(squeeze=squeeze, depth=6).build(FeatureInfo((8, 5), (16, 32))).eval()
    fine, coarse = torch.randn(1, 8, 4, 6), torch.randn(1, 5, 2, 3)
    neck.out = Recorder()
    neck((fine, coarse))
    passed = neck.squeeze(fine)
    assert passed.shape[1] == (squeeze or 8)
    wanted = torch.cat([darknet_reorg(passed[0]), neck.convs(coarse)[0]])
    assert torch.equal(neck.out.seen[0], wanted)
    assert not torch.equal(darknet_reorg(passed[0]), torch.nn.functional.pixel_unshuffle(passed, 2)[0])


def test_info_of_the_passthrough():
    neck = Passthrough().build(FeatureInfo((512, 1024), (16, 32)))
    (found,) = neck((torch.randn(1, 512, 2, 4), torch.randn(1, 1024, 1, 2)))
    assert neck.info == FeatureInfo((1024,), (32,)) and found.shape == (1, 1024, 1, 2)


@pytest.mark.parametrize(
    ("spec", "channels", "shapes", "convolutions"),
    [
        (TopDown(), (256, 512, 1024), [(1024, 1, 2), (512, 2, 4), (256, 4, 8)], 20),
        (TopDown.tiny(), (256, 1024), [(512, 1, 2), (256, 2, 4)], 4),  # layers 13, 14, 18 and 21 of yolov3-tiny.cfg
    ],
)
def test_top_down(spec, channels, shapes, convolutions):
    levels = len(channels)
    strides = (8, 16, 32)[-levels:]
    neck = spec.build(FeatureInfo(channels, strides)).eval()
    found = neck(tuple(torch.randn(1, c, 32 // s, 64 // s) for c, s in zip(channels, strides, strict=True)))
    assert [tuple(x.shape[1:]) for x in found] == shapes
    assert neck.info == FeatureInfo(tuple(c for c, _, _ in shapes), strides[::-1])
    assert sum(isinstance(each, torch.nn.Conv2d) for each in neck.modules()) == convolutions
