"""Rules equal those of TensorFlow's detection API, on the same recorded inputs.

The golden file is that of scripts/record_tf_rules_golden.py, which says how it was made; it names its versions.
"""

import numpy as np
import pytest
import torch
from torch import Tensor

from paretodet.rules.anchors import GridAnchors, MultiGridAnchors
from paretodet.rules.coders import DeltaCoder
from paretodet.rules.losses import BoxLoss, PerImage, SigmoidBackgroundScore, SoftmaxScore
from paretodet.rules.matchers import ArgmaxMatcher
from paretodet.rules.samplers import BalancedSampler, HardNegativeMiner, OnlineHardSampler
from paretodet.rules.select import PostProcess
from paretodet.types import Assignment, Predictions, References, Targets
from record_tf_rules_golden import (
    CANVAS,
    GRID_MAPS,
    MATCHES,
    RULES,
    SAMPLES,
    SSD_MAPS,
    SUPPRESSIONS,
    boxes,
    candidates,
    columns,
    crowded,
    logits_and_labels,
    matched,
    normal,
    positives,
    regressions,
    scores,
    truths,
)

SIZES = torch.tensor([CANVAS], dtype=torch.float32)


@pytest.fixture(scope="module")
def golden():
    with np.load(RULES) as kept:
        return {key: torch.from_numpy(value) for key, value in kept.items() if value.dtype.kind != "U"}


def batch(array) -> Tensor:
    return torch.from_numpy(array)[None]


def references(found: Tensor) -> References:
    return References(found, torch.ones(len(found), 1), (len(found),))


def targets() -> Targets:
    found = batch(truths())
    sound = torch.ones(found.shape[:2], dtype=torch.bool)
    return Targets(found, torch.zeros(found.shape[:2], dtype=torch.long), sound, ~sound)


def test_codes_are_faster_rcnn_box_coders(golden):
    coder, refs = DeltaCoder(), references(torch.from_numpy(boxes(200, 2)))
    encoded = coder.encode(batch(boxes(200, 3)), refs)[0]
    decoded = coder.decode(batch(normal((200, 4), 4) * 2), refs)[0]
    assert torch.allclose(encoded, golden["encoded"], rtol=1e-4, atol=1e-4)
    assert torch.allclose(decoded, golden["decoded"], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", MATCHES)
def test_matches_are_argmax_matchers(golden, name):
    """The recorded ground truths include two equal ones, which claim the same reference, and one with little
    overlap.
    """
    found = references(torch.from_numpy(matched()))
    truth, positive, negative = ArgmaxMatcher(**MATCHES[name]._asdict())(found, targets(), found.boxes[None], SIZES)
    mine = torch.where(positive, truth, torch.where(negative, -1, -2))[0]
    wanted = golden[f"match_{name}"].long()
    assert mine.tolist() == wanted.tolist()
    assert (wanted >= 0).sum() > 50
    assert (9 in wanted) == MATCHES[name].force_best
    assert 11 not in wanted


@pytest.mark.parametrize("stride", GRID_MAPS)
def test_anchors_are_grid_anchor_generators(golden, stride):
    rows, cols = GRID_MAPS[stride]
    found = GridAnchors(stride=stride)((torch.zeros(1, 1, rows, cols),), (rows * stride, cols * stride))
    assert torch.allclose(found.boxes, golden[f"grid_{stride}"], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("canvas", SSD_MAPS)
def test_anchors_are_multiple_grid_anchor_generators(golden, canvas):
    height, width = canvas
    maps = tuple(torch.zeros(1, 1, rows, columns(rows, height, width)) for rows in SSD_MAPS[canvas])
    found = MultiGridAnchors()(maps, canvas).boxes
    wanted = golden[f"ssd_{height}x{width}"] * torch.tensor([width, height, width, height])
    assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("name", SUPPRESSIONS)
def test_detections_are_those_of_multiclass_non_max_suppression(golden, name):
    rule, (boxes, scores) = SUPPRESSIONS[name], candidates(name)
    select = PostProcess(
        threshold=rule.threshold, overlap=rule.overlap, keep=rule.keep, keep_per_class=rule.keep_per_class, clip="after"
    )
    found = select(batch(boxes), batch(scores), (rule.references,), SIZES)
    wanted = golden[f"select_{name}"]
    count = int((found.scores > 0).sum())
    assert count == len(wanted)
    assert torch.equal(found.scores[0, :count], wanted[:, 4])
    assert torch.equal(found.labels[0, :count], wanted[:, 5].long())
    assert torch.allclose(found.boxes[0, :count], wanted[:, :4])


MINERS = {
    "ssd": HardNegativeMiner(ratio=3.0, overlap=0.99, candidates=3000),
    "tight": HardNegativeMiner(ratio=3.0, overlap=0.5, candidates=100),
    "online": OnlineHardSampler(size=64, overlap=0.7),
}


@pytest.mark.parametrize("name", MINERS)
def test_mined_losses_are_hard_example_miners(golden, name):
    place, score = torch.from_numpy(scores((2, 400), 20)), torch.from_numpy(scores((2, 400), 21))
    decoded = torch.from_numpy(np.stack([crowded(400, 22 + 10 * image) for image in range(2)]))
    positive = torch.from_numpy(np.stack([positives(400, 24), np.zeros(400, bool)]))
    assignment = Assignment(torch.zeros(2, 400, dtype=torch.long), positive, ~positive)
    cost = place + score if name == "online" else score
    weight = MINERS[name](assignment, cost, decoded, torch.zeros(2, 400))
    mined = torch.stack([(place * weight).sum(), (score * weight).sum()])
    assert torch.allclose(mined.double(), golden[f"miner_{name}"], rtol=1e-5)


def test_samples_are_balanced_positive_negative_samplers(golden):
    """The selection is random, the numbers of positives and negatives are not."""
    for (size, fraction), counts in zip(((256, 0.5), (64, 0.25)), golden["samples"], strict=True):
        sampler = BalancedSampler(size=size, positive_fraction=fraction)
        for (positive, negative), wanted in zip(SAMPLES, counts.tolist(), strict=True):
            marked = (torch.arange(positive + negative) < positive)[None]
            assignment = Assignment(torch.zeros_like(marked, dtype=torch.long), marked, ~marked)
            taken = sampler(assignment, torch.zeros(marked.shape), torch.zeros(1), torch.rand(marked.shape)) > 0
            assert [int((taken & marked).sum()), int((taken & ~marked).sum())] == wanted


@pytest.mark.parametrize(("name", "score"), [("softmax", SoftmaxScore()), ("sigmoid", SigmoidBackgroundScore())])
def test_score_losses_are_tensorflows(golden, name, score):
    logits, labels = (torch.from_numpy(each) for each in logits_and_labels())
    found = score(logits, labels - 1, labels > 0)
    assert torch.allclose(found, golden[f"loss_{name}"], rtol=1e-5, atol=1e-5)


def test_the_box_loss_is_weighted_smooth_l1(golden):
    """The target codes are those of ground truths, one for each reference."""
    codes, wanted = (torch.from_numpy(each) for each in regressions())
    refs = references(torch.from_numpy(boxes(50, 44)))
    decoded = DeltaCoder().decode(wanted, refs)
    every = torch.ones(2, 50, dtype=torch.bool)
    own = torch.arange(50).expand(2, -1)
    goals = Targets(decoded, torch.zeros_like(own), every, ~every)
    loss = BoxLoss(score=SoftmaxScore(), normalizer=PerImage(), mined="both")
    only = BoxLoss(score=SoftmaxScore(), normalizer=PerImage())
    predictions = Predictions(codes, torch.zeros(2, 50, 3))
    assigned = Assignment(own, every, ~every)
    found = loss.cost(predictions, refs, goals, assigned) - only.cost(predictions, refs, goals, assigned)
    assert torch.allclose(found, golden["loss_place"], rtol=1e-3, atol=1e-3)
