"""FCOS's loss by hand, a point at a time."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.rules.anchors import PyramidAnchors
from paretodet.rules.centerness import CenternessLoss, centerness
from paretodet.rules.coders import DistanceCoder
from paretodet.rules.matchers import PointMatcher
from paretodet.rules.samplers import AllSampler
from paretodet.types import Predictions, Targets

K = 3
MAPS = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 4, 4)
CELLS = PyramidAnchors(strides=(8, 16), shapes=((1.0, 1.0),))(MAPS, (64, 64))
N = len(CELLS.boxes)
SIZES = torch.tensor([[64.0, 64.0]] * 2)
LOSS = CenternessLoss(coder=DistanceCoder(trim=1.0))


def predictions(seed=0):
    noise = torch.Generator().manual_seed(seed)
    parts = torch.randn(2, N, 4, generator=noise) + 2, torch.randn(2, N, 1 + K, generator=noise)
    return Predictions(*(part.requires_grad_() for part in parts))


def targets(boxes=((4.0, 4.0, 40.0, 44.0), (30.0, 30.0, 62.0, 50.0))):
    boxes = torch.tensor(boxes).expand(2, -1, 4)
    marks = torch.ones(boxes.shape[:2], dtype=torch.bool)
    marks[1] = False
    return Targets(boxes, (torch.arange(boxes.shape[1]) % K).expand(2, -1), marks, torch.zeros_like(marks))


def learned(predicted, truth):
    assignment = PointMatcher(trim=1.0)(CELLS, truth, CELLS.boxes, SIZES)
    weight = AllSampler()(assignment, torch.zeros(2, N), CELLS.boxes, torch.rand(2, N))
    decoded = LOSS.coder.decode(predicted.codes, CELLS)
    return LOSS(predicted, CELLS, decoded, truth, assignment, weight), assignment


def test_terms_by_hand():
    predicted, truth = predictions(), targets()
    terms, assignment = learned(predicted, truth)
    box = score = central = weights = count = 0.0
    for image in range(2):
        for n in range(N):
            logits = predicted.logits[image, n].tolist()
            x, y = ((CELLS.boxes[n, i] + CELLS.boxes[n, i + 2]).item() / 2 for i in (0, 1))
            positive, index = assignment.positive[image, n].item(), assignment.truth[image, n].item()
            for k in range(K):
                p = 1 / (1 + math.exp(-logits[1 + k]))
                hit = positive and truth.labels[image, index].item() == k
                score += -0.25 * (1 - p) ** 2 * math.log(p) if hit else -0.75 * p**2 * math.log(1 - p)
            if not positive:
                continue
            x1, y1, x2, y2 = truth.boxes[image, index].tolist()
            wanted = [x - x1, y - y1, x2 - 1 - x, y2 - 1 - y]
            got = [math.exp(c) for c in predicted.codes[image, n].tolist()]
            across, along = sorted(wanted[::2]), sorted(wanted[1::2])
            middle = math.sqrt(across[0] / across[1] * along[0] / along[1])
            sides = [min(a, b) for a, b in zip(got, wanted, strict=True)]
            common, one, other = ((s[0] + s[2]) * (s[1] + s[3]) for s in (sides, got, wanted))
            box -= middle * math.log((common + 1) / (one + other - common + 1))
            p = 1 / (1 + math.exp(-logits[0]))
            central -= middle * math.log(p) + (1 - middle) * math.log(1 - p)
            weights, count = weights + middle, count + 1
    assert count > 5 and weights > 1
    wanted = {"box": box / weights, "score": score / count, "centerness": central / count}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(wanted, rel=1e-4)


def test_without_truths_only_the_classes_learn():
    predicted, truth = predictions(), targets()
    terms, assignment = learned(predicted, truth._replace(valid=torch.zeros_like(truth.valid)))
    assert not assignment.positive.any()
    assert terms["box"] == terms["centerness"] == 0 and terms["score"] > 0


side = st.floats(-200, 200, width=32)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(side, side, side, side), min_size=1, max_size=4), st.sampled_from([1, 60]))
def test_any_boxes_give_finite_terms_and_gradients(boxes, scale):
    predicted = predictions()
    predicted = Predictions((predicted.codes.detach() * scale).requires_grad_(), predicted.logits)
    terms, assignment = learned(predicted, targets(tuple(boxes)))
    grads = torch.autograd.grad(sum(terms.values()), predicted, allow_unused=True)
    if scale == 1:
        assert all(term.isfinite() for term in terms.values())
        assert all(grad is None or grad.isfinite().all() for grad in grads)
    elsewhere = ~assignment.positive
    assert not grads[0][elsewhere].any()


def test_centerness_is_one_in_the_middle_and_none_on_a_side():
    found = centerness(torch.tensor([[4.0, 3, 4, 3], [0, 3, 8, 3], [1, 2, 4, 2]]))
    assert found.tolist() == pytest.approx([1, 0, 0.5])
