"""Invariants of all detectors, on small canvases."""

import math
from dataclasses import replace

import pytest
import torch

from paretodet.detectors.detector import Detector, append, inside
from paretodet.detectors.families import Override, spec
from paretodet.detectors.scale_width import scale_width as thin
from paretodet.detectors.spec import from_json, to_json
from paretodet.detectors.worst_case import fill_every_slot
from paretodet.ops.geometry import area
from paretodet.types import Images, References, Targets

SHAPES = {
    "ssd-mobilenet_v1-300": Override(height=96, labels=("a", "b", None)),
    "ssd_liu-vgg16-300": Override(labels=("a", "b")),
    "yolo_v2-darknet19-416": Override(height=96, width=64, labels=tuple("abcdefgh")),
    "yolo_v2_2016-darknet19-416": Override(height=64, width=96, labels=tuple("abcdefgh")),
    "yolo_v3_tiny-416": Override(height=96, width=64, labels=("a", "b", "c")),
    "yolo_v3-darknet53-416": Override(height=96, width=64, labels=("a", "b", "c")),
    "retinanet-resnet50-800": Override(height=96, width=64, labels=("a", "b")),
    "fcos-resnet50-800x1344": Override(height=96, width=64, labels=("a", "b")),
    "retinanet_tv-resnet50-800": Override(height=64, width=96, labels=(None, "a", "b")),
    "faster_rcnn-resnet101-300-s8-p10": Override(height=64),
    "mask_rcnn-resnet50-800x1024": Override(height=64, width=96, proposals=10, labels=("a", "b", None)),
    "mask_rcnn_tv-resnet50-800x1344": Override(height=96, width=64, proposals=10, labels=("a", "b", None)),
    "cascade_rcnn-resnet50-800x1344": Override(height=64, width=96, proposals=10, labels=("a", "b", None)),
}
EACH = pytest.mark.parametrize("name", SHAPES)


def small(name):
    made = spec(name, SHAPES[name])
    return narrow(made) if "mask" in name or "cascade" in name else made


def narrow(made):
    """A detector of few channels and few detections, and so few masks."""
    thinner = thin(made, 0.125)
    *earlier, last = thinner.stages
    return replace(thinner, stages=(*earlier, replace(last, select=replace(last.select, keep=6))))


def build(made, seed=0):
    torch.manual_seed(seed)
    return Detector(made).eval()


def few_proposals(made):
    """Ten proposals in training too, so that the second stage is fast."""
    first, *rest = made.stages
    select = first.train_select and replace(first.train_select, keep=10)
    return replace(made, stages=(replace(first, train_select=select), *rest))


def images(made, batch=1, seed=0):
    noise = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (batch, 3, made.height, made.width), dtype=torch.uint8, generator=noise)
    return Images(pixels, torch.tensor([[float(made.height), float(made.width)]] * batch))


@EACH
def test_spec_reads_back_from_json(name):
    made = small(name)
    assert from_json(to_json(made)) == made
    assert hash(from_json(to_json(made))) == hash(made)


@EACH
@torch.no_grad()
def test_detections_are_sorted_inside_and_of_fixed_capacity(name):
    made = small(name)
    found = build(made)(images(made, batch=2))
    keep = made.stages[-1].select.keep
    assert found.boxes.shape == (2, keep, 4)
    assert found.scores.shape == found.labels.shape == (2, keep)
    assert (found.scores[:, :-1] >= found.scores[:, 1:]).all()
    assert found.scores.min() >= 0 and found.scores.max() <= 1
    assert found.labels.min() >= 0 and found.labels.max() < made.classes
    limit = torch.tensor([made.width, made.height, made.width, made.height])
    assert (found.boxes >= 0).all() and (found.boxes <= limit).all()


@EACH
@torch.no_grad()
def test_capacity_fills_every_slot(name):
    made = fill_every_slot(small(name))
    detector = build(made)
    batch = images(made)
    found = detector(batch)
    assert (found.boxes[..., 2:] > found.boxes[..., :2]).all(-1).all()
    references = detector.propose(detector.features(batch), batch)
    assert made.proposals in (None, references.boxes.shape[1])
    assert (references.boxes[..., 2:] > references.boxes[..., :2]).all()


@EACH
def test_capacity_is_not_for_training(name):
    made = fill_every_slot(small(name))
    assert all(stage.losses is stage.matcher is stage.sampler is None for stage in made.stages)
    assert from_json(to_json(made)) == made


@EACH
@torch.no_grad()
def test_stages_compose_to_forward(name):
    made = small(name)
    detector, state = build(made), images(made)
    expected = detector(state)
    for _, step in detector.stages():
        state = step(state)
    for found, wanted in zip(state, expected, strict=True):
        assert found is wanted is None or torch.equal(found, wanted)


@EACH
@torch.no_grad()
def test_a_batch_of_two_is_two_of_one(name):
    made = small(name)
    detector, pair = build(made), images(made, batch=2)
    both = detector(pair)
    for index in range(2):
        one = detector(Images(*(field[index : index + 1] for field in pair)))
        torch.testing.assert_close(both.scores[index], one.scores[0], atol=1e-4, rtol=1e-3)


@pytest.mark.full
@EACH
@torch.no_grad()
def test_strict_export_equals_eager(name):
    """In the short tier the battery exports each family."""
    made = small(name)
    detector, batch = build(made), images(made)
    exported = torch.export.export(detector, (batch,), strict=True).module()
    for found, wanted in zip(exported(batch), detector(batch), strict=True):
        assert found is wanted is None or torch.equal(found, wanted)


@EACH
@torch.no_grad()
def test_bf16_stays_close(name):
    made = small(name)
    detector, batch = build(made), images(made)
    wanted = detector.features(batch)
    for part in detector.children():
        part.bfloat16()
    for found, full in zip(detector.features(batch), wanted, strict=True):
        assert found.dtype == torch.bfloat16
        assert (found.float() - full).abs().max() <= 0.1 * full.abs().max()
    assert detector(batch).boxes.dtype == torch.float32


@EACH
@pytest.mark.parametrize("truths", [0, 3])
def test_loss_is_finite_and_reaches_every_parameter(name, truths):
    made = few_proposals(small(name))
    detector = build(made).train()
    boxes = torch.tensor([[[8.0, 8.0, 40.0, 40.0], [4.0, 20.0, 60.0, 50.0], [30.0, 4.0, 34.0, 9.0]]]).expand(2, 3, 4)
    valid = (torch.arange(3) < truths).expand(2, 3)
    labels, crowd, masks = (
        torch.tensor([[0, 1, 0]]).expand(2, 3),
        torch.zeros(2, 3, dtype=torch.bool),
        torch.ones(2, 3, 8, 8),
    )
    targets = Targets(boxes, labels, valid, crowd, masks)
    noise = torch.rand(2, 20000, generator=torch.Generator().manual_seed(0))
    terms = detector.loss(images(made, batch=2), targets, noise=noise)
    total = sum(terms.values())
    assert math.isfinite(total.item()) and all(term.dim() == 0 for term in terms.values())
    total.backward()
    lost = [n for n, p in detector.named_parameters() if p.requires_grad and p.grad is None]
    assert not lost
    if truths:
        assert not [n for n, p in detector.named_parameters() if p.requires_grad and not p.grad.isfinite().all()]
        assert not made.masks or any(p.grad.any() for p in detector.mask_head.parameters())


def test_ground_truth_is_appended_without_padding_and_crowds():
    boxes = torch.tensor([[[8.0, 8, 40, 40], [4, 20, 60, 50], [30, 4, 34, 9]]])
    marks = torch.tensor([[True, True, False]]), torch.tensor([[False, True, False]])
    refs = References(torch.full((1, 2, 4), 7.0), torch.ones(2, 1), (2,))
    found = append(refs, Targets(boxes, torch.zeros(1, 3, dtype=torch.int64), *marks))
    assert found.counts == (5,) and torch.equal(found.boxes[:, :2], refs.boxes)
    assert found.boxes[0, 2:].tolist() == [[8, 8, 40, 40], [0, 0, 0, 0], [0, 0, 0, 0]]


@torch.no_grad()
def test_padding_does_not_matter():
    """Padding is 0 after normalization, as in Detectron and torchvision."""
    made = small("mask_rcnn_tv-resnet50-800x1344")
    detector, batch = build(made), images(made, batch=2)
    sizes = torch.tensor([[70.0, 64.0], [96.0, 50.0]])
    other = batch.pixels.clone()
    other[0, :, 70:], other[1, :, :, 50:] = 255, 0
    for one, two in zip(*(detector.features(Images(p, sizes)) for p in (batch.pixels, other)), strict=True):
        assert torch.equal(one, two)
    assert inside(Images(batch.pixels, sizes)).sum((1, 2, 3)).tolist() == [70 * 64, 96 * 50]


@torch.no_grad()
def test_masks_belong_to_the_final_boxes():
    made = fill_every_slot(small("mask_rcnn-resnet50-800x1024"))
    detector, batch = build(made), images(made)
    found = detector(batch)
    assert found.masks.shape == (1, 6, 28, 28) and found.masks.dtype == torch.float32
    assert found.masks.min() >= 0 and found.masks.max() <= 1
    alone = detector.masks(detector.features(batch), found._replace(masks=None), batch)
    torch.testing.assert_close(alone.masks, found.masks)
    assert [name for name, _ in detector.stages()] == ["features", "propose", "refine", "select", "masks"]


def test_training_a_mask_branch_needs_its_loss_and_targets():
    made = few_proposals(small("mask_rcnn-resnet50-800x1024"))
    targets = Targets(torch.tensor([[[8.0, 8, 40, 40]]]), torch.zeros(1, 1, dtype=torch.int64), *_marks())
    noise = torch.rand(1, 20000)
    with pytest.raises(ValueError, match="targets: got no masks"):
        build(made).loss(images(made), targets, noise=noise)
    with pytest.raises(ValueError, match="masks: loss is needed"):
        build(replace(made, masks=replace(made.masks, loss=None))).loss(images(made), targets, noise=noise)


def _marks():
    return torch.tensor([[True]]), torch.tensor([[False]])


def test_capacity_crops_to_the_canvas_of_the_papers_timing():
    made = fill_every_slot(spec("faster_rcnn-resnet101-600-s16-p10"))
    assert made.fit.canvas((480, 640)) == made.fit.canvas((640, 480)) == (600, 600)
    assert spec("faster_rcnn-resnet101-600-s16-p10").fit.canvas((480, 640)) == (600, 800)


def test_empty_slots_of_proposals_become_no_detections():
    """They decode to boxes without area, which nothing suppresses."""
    detector = build(thin(spec("mask_rcnn-resnet50-64"), 0.125))
    with torch.no_grad():
        detector.heads[1].head.scores.bias[1] += 6
    pixels = torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    found = detector(Images(pixels, torch.tensor([[64.0, 64.0]])))
    assert (found.scores > 0).any()
    assert (area(found.boxes)[found.scores > 0] > 0).all()
