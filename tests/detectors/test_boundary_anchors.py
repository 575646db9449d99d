"""Anchors that cross the border: dropped in training and clipped in inference by Huang et al.'s Faster R-CNN and R-FCN,
and by Mask R-CNN of their code.

TF's faster_rcnn_meta_arch removes them, with codes and logits, before it matches and proposes, and clips the anchors
to the window before it decodes at inference. Caffe, Detectron and torchvision keep them.
"""

import math
from dataclasses import replace

import pytest
import torch

from paretodet.detectors.catalogue import names
from paretodet.detectors.detector import Detector, canvas, without_empty
from paretodet.detectors.families import Override, spec
from paretodet.detectors.names import parse
from paretodet.ops.geometry import area, contained
from paretodet.rules.samplers import AllSampler
from paretodet.types import Images, References, Targets

HUANG = ("faster_rcnn-mobilenet_v1-300-s16-p10", "rfcn-mobilenet_v1-300-s16-p10")
KEPT = "faster_rcnn_ren-vgg16-600x850-p300"
SIZES = torch.tensor([[160.0, 144.0], [131.0, 160.0]])  # the second ends between two cells


def small(name):
    """An eighth of the width at 160 px, with large codes and logits in the first stage; in training the second stage
    predicts for all proposals.
    """
    made = spec(name, Override(height=160, width=160, labels=("a", "b")))
    first, last = made.stages
    torch.manual_seed(0)
    stages = (first, replace(last, sampler=AllSampler()))
    detector = Detector(replace(made, backbone=replace(made.backbone, width=0.125), stages=stages)).eval()
    with torch.no_grad():
        for parameter in detector.heads[0].parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return detector


def batch():
    noise = torch.Generator().manual_seed(0)
    return Images(torch.randint(0, 256, (2, 3, 160, 160), dtype=torch.uint8, generator=noise), SIZES)


def first_stage(detector, images):
    """For each image its size, and (anchor, code, logits) of each anchor as numbers."""
    maps = detector.features(images)
    anchors = detector.spec.anchors(maps, canvas(images)).boxes.tolist()
    predictions = detector.heads[0](maps)
    parts = zip(images.sizes.tolist(), predictions.codes.tolist(), predictions.logits.tolist(), strict=True)
    return [(size, list(zip(anchors, codes, logits, strict=True))) for size, codes, logits in parts]


def clipped(box, size):
    return [min(max(v, 0), limit) for v, limit in zip(box, (size[1], size[0]) * 2, strict=True)]


def crosses(box, size):
    return clipped(box, size) != box


def decoded(box, code):
    """R-CNN's code by hand."""
    width, height = box[2] - box[0], box[3] - box[1]
    right, down, wider, higher = (part / weight for part, weight in zip(code, (10, 10, 5, 5), strict=True))
    x, y = (box[0] + box[2]) / 2 + right * width, (box[1] + box[3]) / 2 + down * height
    width, height = width * math.exp(wider), height * math.exp(higher)
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def selected(select, rows, size):
    """The proposals of one image from [(anchor, code, logits)]."""
    boxes = torch.tensor([[decoded(box, code) for box, code, _ in rows]])
    scores = torch.tensor([[logits for *_, logits in rows]]).softmax(-1)[..., 1:]
    return select(boxes, scores, (len(rows),), torch.tensor([size])).boxes[0]


def training_pass(detector, images):
    """(the proposals that the second stage is trained on, the terms of the loss)."""
    seen = []
    handle = detector.heads[1].register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    boxes = torch.tensor([[[8.0, 8.0, 70.0, 60.0], [40.0, 20.0, 120.0, 110.0]]] * 2)
    marks = torch.ones(2, 2, dtype=torch.bool)
    targets = Targets(boxes, torch.tensor([[0, 1]] * 2), marks, ~marks)
    terms = detector.loss(images, targets, noise=torch.rand(2, 3000, generator=torch.Generator().manual_seed(0)))
    handle.remove()
    return seen[0].boxes, terms


@pytest.mark.parametrize("name", HUANG)
@torch.no_grad()
def test_in_inference_anchors_are_clipped_before_decoding(name):
    detector, images = small(name), batch()
    found = detector.propose(detector.features(images), images).boxes
    select = detector.spec.stages[0].select
    for boxes, (size, rows) in zip(found, first_stage(detector, images), strict=True):
        inside = [(clipped(box, size), code, logits) for box, code, logits in rows]
        torch.testing.assert_close(boxes, selected(select, inside, size), atol=1e-3, rtol=1e-4)
        assert not torch.allclose(boxes, selected(select, rows, size), atol=1.0)


@pytest.mark.parametrize("name", HUANG)
@torch.no_grad()
def test_in_training_crossing_anchors_are_dropped(name):
    detector, images = small(name), batch()
    found, _ = training_pass(detector, images)
    select = detector.spec.stages[0].train_select
    for boxes, (size, rows) in zip(found, first_stage(detector, images), strict=True):
        left = [row for row in rows if not crosses(row[0], size)]
        assert 0 < len(left) < len(rows) / 2
        torch.testing.assert_close(boxes, selected(select, left, size), atol=1e-3, rtol=1e-4)
        assert not torch.allclose(boxes, selected(select, rows, size), atol=1.0)


def keeping(detector):
    first, last = detector.spec.stages
    detector.spec = replace(detector.spec, stages=(replace(first, boundary_anchors="kept"), last))
    return detector


@torch.no_grad()
def test_the_loss_of_the_first_stage_does_not_depend_on_clipping():
    """Only the proposals differ: codes are relative to whole anchors, and crossing anchors are ignored."""
    _, terms = training_pass(small(HUANG[0]), batch())
    _, others = training_pass(keeping(small(HUANG[0])), batch())
    same = {key for key in terms if torch.equal(terms[key], others[key])}
    assert same == {key for key in terms if key.startswith("stage1/")} != set()


@torch.no_grad()
def test_kept_anchors_are_not_clipped():
    detector, images = keeping(small(HUANG[0])), batch()
    tested, trained = detector.propose(detector.features(images), images).boxes, training_pass(detector, images)[0]
    stage = detector.spec.stages[0]
    for index, (size, rows) in enumerate(first_stage(detector, images)):
        for boxes, select in ((tested, stage.select), (trained, stage.train_select)):
            torch.testing.assert_close(boxes[index], selected(select, rows, size), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(("side", "cells", "share"), [(600, 38, 0.58), (300, 19, 0.77)])
def test_the_share_of_crossing_anchors(side, cells, share):
    anchors = spec(HUANG[0], Override(height=side, width=side)).anchors
    boxes = anchors((torch.zeros(1, 1, cells, cells),), (side, side)).boxes
    found = contained(boxes, torch.tensor([[float(side), float(side)]]))
    assert found.logical_not().float().mean().item() == pytest.approx(share, abs=0.005)
    assert found[0].tolist() == [not crosses(box, (side, side)) for box in boxes.tolist()]


def test_only_the_region_families_of_tensorflow_clip():
    found = {}
    for name in names():
        found.setdefault(parse(name).architecture, set()).add(spec(name).stages[0].boundary_anchors)
    assert {architecture for architecture, crossing in found.items() if "clipped" in crossing} == {
        "faster_rcnn",
        "mask_rcnn_zoo",
        "rfcn",
    }
    assert all(len(crossing) == 1 for crossing in found.values())
    with pytest.raises(ValueError, match="^boundary_anchors: got 'cut'"):
        replace(spec(KEPT).stages[0], boundary_anchors="cut")


@pytest.mark.parametrize("seed", [0, 6, 8, 11])
def test_padding_gives_no_proposals(seed):
    """Anchors in the padding are clipped to boxes without area, and get no slot although their scores are as high."""
    detector = small("faster_rcnn-mobilenet_v1-300-s16-p10")
    images = Images(batch().pixels, torch.tensor([[160.0, 160], [100, 60]]))
    with torch.no_grad():
        scores = detector.heads[0].scores  # equal in every cell, different for its anchors
        scores.weight.zero_()
        scores.bias.normal_(std=3, generator=torch.Generator().manual_seed(seed))
        boxes = detector.propose(detector.features(images), images).boxes
    assert (area(boxes) > 0).all()
    assert (boxes[1] <= torch.tensor([60.0, 100, 60, 100])).all()


def test_empty_slots_have_no_score():
    refs = References(torch.tensor([[[0.0, 0, 0, 0], [0, 0, 5, 5]]]), torch.ones(2, 1), (2,))
    assert without_empty(torch.ones(1, 2, 3), refs).tolist() == [[[-math.inf] * 3, [1.0] * 3]]
