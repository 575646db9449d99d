"""FCOS's head: shared by the levels but for one number each, counted, centerness before the classes."""

import pytest
import torch

from paretodet.heads.points import PointHead
from paretodet.layers.norms import GroupNorm
from paretodet.types import FeatureInfo

INFO = FeatureInfo((16, 16), (8, 16))


def head(classes=3):
    torch.manual_seed(0)
    return PointHead(convs=2).build(INFO, (1, 1), 1 + classes).eval()


def test_learnable_numbers():
    """The authors' FCOSHead, layer by layer."""
    with torch.device("meta"):
        built = PointHead().build(FeatureInfo((256,) * 5, (8, 16, 32, 64, 128)), (1,) * 5, 81)
    tower = 4 * (256 * 256 * 9 + 256 + 2 * 256)
    assert sum(p.numel() for p in built.parameters()) == 2 * tower + (80 + 4 + 1) * (256 * 9 + 1) + 5


@torch.no_grad()
def test_levels_share_everything_but_a_scale():
    net, maps = head(), (torch.randn(2, 16, 4, 6), torch.randn(2, 16, 2, 3))
    before = net(maps)
    assert before.codes.shape == (2, 24 + 6, 4) and before.logits.shape == (2, 30, 4)
    net.scales.copy_(torch.tensor([1.0, 3.0]))
    after = net(maps)
    assert torch.equal(after.codes[:, :24], before.codes[:, :24]) and torch.equal(after.logits, before.logits)
    torch.testing.assert_close(after.codes[:, 24:], before.codes[:, 24:] * 3)


@torch.no_grad()
def test_centerness_comes_first_and_classes_start_at_the_prior():
    net, x = head(), torch.randn(1, 16, 2, 3)
    found = net((x, x)).logits[0, :6]
    hidden = net.score_tower(x)
    torch.testing.assert_close(found[:, 0], net.centerness(hidden).flatten())
    torch.testing.assert_close(found[:, 1:], net.scores(hidden).flatten(2)[0].T)
    assert found[:, 1:].sigmoid().mean() == pytest.approx(0.01, rel=0.2)


def test_bad_choices():
    with pytest.raises(ValueError, match="convs: got -1"):
        PointHead(convs=-1)
    with pytest.raises(ValueError, match="anchors: got 2 per cell"):
        PointHead().build(INFO, (2, 2), 4)
    with pytest.raises(ValueError, match="channels: got 12, allowed are multiples of 8"):
        GroupNorm(size=8).build(12)
