"""The mask branch without a pyramid: the channels that the API computes, and its enlargement."""

import pytest
import torch
import torch.nn.functional as F

from paretodet.heads.mask import TailMaskHead
from paretodet.heads.region import CropAndResize
from paretodet.types import FeatureInfo

INFO = FeatureInfo((4,), (16,))


@pytest.mark.parametrize(
    ("channels", "classes", "depth"),
    [(1024, 90, 256), (2048, 90, 256), (1536, 90, 256), (1024, 1, 16), (1024, 5, 32), (2048, 20, 128)],
)
def test_the_channels_are_those_of_the_api(channels, classes, depth):
    """By `_get_mask_predictor_conv_depth` with its weights of 3 and 2."""
    with torch.device("meta"):
        head = TailMaskHead(convs=3).build(INFO, channels, classes)
    assert [tuple(conv.weight.shape[:2]) for conv in head.convs] == [
        (depth, channels),
        (depth, depth),
        (classes, depth),
    ]


@torch.no_grad()
def test_the_tail_is_enlarged_from_corner_to_corner_and_masks_are_those_of_the_labels():
    torch.manual_seed(0)
    head = TailMaskHead(crop=CropAndResize(bins=6, pool=2), convs=1, side=5).build(INFO, 4, 3)
    maps, boxes = (torch.randn(1, 4, 8, 8),), torch.tensor([[[0.0, 0, 64, 64], [20, 30, 90, 100]]])
    tail = lambda crops: crops[:, :, :2, :2] * 2  # noqa: E731
    crops = head.crop(maps, boxes, (128, 128))
    assert crops.shape == (2, 4, 3, 3)
    points = torch.linspace(0, 1, 5)  # between the two cells of each side
    rows = torch.stack([1 - points, points], 1)
    enlarged = rows @ tail(crops) @ rows.T
    every = F.conv2d(enlarged, head.convs[0].weight, head.convs[0].bias, padding=1)
    found = head(maps, boxes, torch.tensor([[2, 0]]), (128, 128), tail)
    assert found.shape == (1, 2, 5, 5)
    torch.testing.assert_close(found[0], torch.stack([every[0, 2], every[1, 0]]))


def test_a_backbone_without_a_tail_is_refused():
    with pytest.raises(ValueError, match="tail: got a backbone with 0 channels"):
        TailMaskHead().build(INFO, 0, 3)
