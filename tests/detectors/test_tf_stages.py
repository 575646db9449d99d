"""R-FCN's predictor and the way from codes to proposals beside TensorFlow's detection API, on the same drawn inputs.

The golden file is that of scripts/record_tf_stages_golden.py, which says how it was made; it names its versions.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from paretodet.detectors.detector import clip_anchors, select_to_learn
from paretodet.detectors.families import spec
from paretodet.heads.position_sensitive import PositionSensitiveHead
from paretodet.ops.geometry import contained, iou
from paretodet.types import FeatureInfo, Predictions, References
from record_tf_rules_golden import CANVAS
from record_tf_stages_golden import (
    CHANNELS,
    CLASSES,
    DEPTH,
    FILE,
    HEADS,
    KEEP,
    MAP,
    features,
    first_stage,
    regions,
    weights,
)

SIZES = torch.tensor([CANVAS] * 2, dtype=torch.float32)


@pytest.fixture(scope="module")
def golden():
    with np.load(FILE) as kept:
        return {key: torch.from_numpy(value) for key, value in kept.items() if value.dtype.kind != "U"}


@torch.no_grad()
def predicted(name):
    """Our head with the recorded weights, on a backbone without a tail."""
    rule, drawn = HEADS[name], weights(HEADS[name])
    made = PositionSensitiveHead(bins=rule.bins, crop=rule.crop, depth=DEPTH)
    head = made.build(FeatureInfo((CHANNELS,), (16,)), 0, CLASSES, CLASSES + 1)
    for layer, kernel, bias in zip((head.reduce, head.boxes, head.scores), drawn[:3], drawn.biases, strict=True):
        layer.weight.copy_(torch.from_numpy(kernel).reshape(layer.weight.shape))
        layer.bias.copy_(torch.from_numpy(bias))
    boxes = torch.from_numpy(regions())
    refs = References(boxes, torch.ones(boxes.shape[1], 1), (boxes.shape[1],))
    return head((torch.from_numpy(features()),), refs, CANVAS, lambda crops: crops)


@pytest.mark.parametrize("name", HEADS)
def test_codes_and_logits_are_rfcn_box_predictors(golden, name):
    """Including the layout of the weights, boxes that cross the edge and the mean of the bins."""
    for found, field in zip(predicted(name), ("codes", "logits"), strict=True):
        wanted = golden[f"{field}_{name}"]
        assert wanted.std() > 0.05  # not constant
        assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max(), field


def proposed(name):
    """Proposals of Huang et al.'s first stage from the recorded codes, in inference or training."""
    made = spec(f"rfcn-resnet101-300-s16-p{KEEP}")
    stage = replace(made.stages[0], train_select=made.stages[0].select)
    anchors = made.anchors((torch.empty(2, 1, *MAP),), CANVAS)
    predictions = Predictions(*map(torch.from_numpy, first_stage()))
    if name == "trained":
        return select_to_learn(stage, predictions, anchors, SIZES), anchors
    refs = clip_anchors(stage, anchors, SIZES)
    boxes = stage.coder.decode(predictions.codes, refs)
    return stage.select(boxes, stage.scores(predictions.logits), refs.counts, SIZES), anchors


@pytest.mark.parametrize("name", ["tested", "trained"])
def test_proposals_are_the_meta_architectures(golden, name):
    """Anchors at the border are clipped in inference and dropped in training; scores do not tie, so that slots
    agree.
    """
    (boxes, scores, _, _), anchors = proposed(name)
    wanted = golden[f"proposals_{name}"]
    assert boxes.shape == (2, KEEP, 4)
    assert torch.allclose(scores, wanted[..., 4], rtol=1e-4, atol=0)
    assert torch.allclose(boxes, wanted[..., :4], rtol=0, atol=0.01)
    assert 0.2 < contained(anchors.boxes, SIZES).float().mean() < 0.8


def test_the_two_records_of_proposals_differ(golden):
    """So that the test distinguishes the two rules at the border."""
    same = iou(golden["proposals_tested"][..., :4], golden["proposals_trained"][..., :4]).amax(-1) > 0.99
    assert same.float().mean() < 0.8
