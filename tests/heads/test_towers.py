"""RetinaNet's subnets: shared by levels, with the counts and initialization of the paper."""

import pytest
import torch

from paretodet.heads.towers import TowerHead
from paretodet.types import FeatureInfo

INFO = FeatureInfo((8, 8), (8, 16))


def head(classes=3, anchors=2):
    torch.manual_seed(0)
    return TowerHead().build(INFO, (anchors, anchors), classes).eval()


def test_parameters():
    with torch.device("meta"):
        built = TowerHead().build(FeatureInfo((256,) * 5, (8, 16, 32, 64, 128)), (9,) * 5, 80)
    assert sum(p.numel() for p in built.parameters()) == 6_463_220  # systems.md 8.1


def test_levels_share_the_subnets_and_follow_one_another():
    net, maps = head(), (torch.randn(2, 8, 4, 6), torch.randn(2, 8, 2, 3))
    both = net(maps)
    each = [net((x,)) for x in maps]
    assert both.codes.shape == (2, (24 + 6) * 2, 4) and both.logits.shape == (2, 60, 3)
    torch.testing.assert_close(both.codes, torch.cat([e.codes for e in each], 1))
    torch.testing.assert_close(both.logits, torch.cat([e.logits for e in each], 1))


def test_channels_are_anchor_then_class():
    """systems.md 8.2: class channel = anchor * classes + class, box channel = anchor * 4 + code."""
    net, x = head(classes=3, anchors=2), torch.randn(1, 8, 2, 3)
    found = net((x,))
    scores, boxes = net.scores(x), net.boxes(x)
    row, column, anchor = 1, 2, 1
    index = (row * 3 + column) * 2 + anchor
    torch.testing.assert_close(found.logits[0, index], scores[0, anchor * 3 : anchor * 3 + 3, row, column])
    torch.testing.assert_close(found.codes[0, index], boxes[0, anchor * 4 : anchor * 4 + 4, row, column])


def test_initialization():
    """Section 4.1: normal weights with standard deviation 0.01, and a foreground probability of 0.01."""
    built = TowerHead().build(FeatureInfo((64, 64), (8, 16)), (9, 9), 20)
    assert torch.sigmoid(built.scores.out.bias).allclose(torch.tensor(0.01))
    assert built.boxes.out.bias.abs().max() == 0
    assert built.scores.convs[0].conv.weight.std().item() == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize(
    ("info", "per_cell"), [(FeatureInfo((8, 16), (8, 16)), (9, 9)), (INFO, (9, 6)), (INFO, (9, 9, 9))]
)
def test_unequal_levels_cannot_share(info, per_cell):
    with pytest.raises(ValueError, match="neck: got .* channels"):
        TowerHead().build(info, per_cell, 3)


@pytest.mark.parametrize(
    ("change", "message"), [({"convs": -1}, "convs: got -1"), ({"prior": 1.0}, "probability: got 1")]
)
def test_bad_choices(change, message):
    with pytest.raises(ValueError, match=message):
        TowerHead(**change)
