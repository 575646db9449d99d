"""Initialization of dense heads, and the maps that can share one."""

import math

import pytest
import torch

from paretodet.detectors.families import spec
from paretodet.heads.dense import ProposalHead, SeparableHead
from paretodet.types import FeatureInfo

INFO = FeatureInfo((256, 256), (8, 16))


def proposal_conv(name):
    torch.manual_seed(0)
    return spec(name).stages[0].head.build(INFO, (3, 3), 2).conv


@pytest.mark.parametrize(
    "name", ["faster_rcnn_ren-vgg16-600x850-p300", "mask_rcnn-resnet50-800x1024", "mask_rcnn_tv-resnet50-800x1344"]
)
def test_proposals_start_from_a_plain_normal(name):
    """systems.md 10.1: N(0, .01); one in twenty is beyond two standard deviations."""
    conv = proposal_conv(name)
    assert conv.weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert (conv.weight.abs() > 0.02).float().mean().item() == pytest.approx(0.0455, rel=0.05)
    assert not conv.bias.any()


def test_huangs_proposals_start_from_a_truncated_one():
    """paper.md 2.6."""
    weight = proposal_conv("faster_rcnn-resnet101-600-s16-p300").weight
    assert 0.0199 < weight.abs().max() <= 0.02


def new_layers(made):
    torch.manual_seed(0)
    neck = made.neck.build(FeatureInfo((512, 1024), (8, 16)))
    heads = made.stages[0].head.build(neck.info, made.anchors.per_cell, 81)
    found = [m for part in (neck, heads) for m in part.modules() if isinstance(m, torch.nn.Conv2d)]
    return [m for m in found if m.weight.numel() > 20_000]  # enough to estimate the bounds


def test_lius_new_layers_start_from_caffes_xavier():
    """Liu et al. section 3; systems.md 7.1: zero bias."""
    layers = new_layers(spec("ssd_liu-vgg16-300"))
    assert len(layers) == 8 + 6 + 6  # extra, boxes, scores
    for layer in layers:
        assert layer.weight.abs().max().item() == pytest.approx(math.sqrt(3 / layer.weight[0].numel()), rel=0.01)
        assert not layer.bias.any()


def test_huangs_new_ssd_layers_start_from_a_truncated_normal():
    """paper.md 4.1: 0.03, cut at two deviations."""
    for layer in new_layers(spec("ssd-vgg16-300")):
        assert 0.0595 < layer.weight.abs().max() <= 0.06


@pytest.mark.parametrize(("channels", "per_cell"), [((256, 512), (3, 3)), ((256, 256), (3, 4)), ((256,), (3, 3))])
def test_a_shared_head_needs_equal_levels(channels, per_cell):
    with pytest.raises(ValueError, match="^neck: got .* channels"):
        ProposalHead().build(FeatureInfo(channels, (8, 16)), per_cell, 2)


def test_a_separable_head_has_a_depthwise_convolution_with_norm_before_each_pointwise_one():
    head = SeparableHead().build(FeatureInfo((16, 8), (16, 32)), (3, 6), 5)
    for parts, width in ((head.boxes, 4), (head.scores, 5)):
        for part, channels, anchors in zip(parts, (16, 8), (3, 6), strict=True):
            depthwise, pointwise = part.depthwise.conv, part.pointwise
            assert (depthwise.groups, depthwise.kernel_size, depthwise.bias) == (channels, (3, 3), None)
            assert part.depthwise.norm.eps == 1e-3
            assert (pointwise.out_channels, pointwise.kernel_size) == (anchors * width, (1, 1))
            assert pointwise.bias is not None
    found = head((torch.rand(2, 16, 5, 7), torch.rand(2, 8, 3, 4)))
    assert found.codes.shape == (2, 3 * 35 + 6 * 12, 4) and found.logits.shape == (2, 3 * 35 + 6 * 12, 5)
