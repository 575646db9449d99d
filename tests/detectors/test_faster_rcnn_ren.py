"""Ren et al.'s Faster R-CNN on VGG-16 against its released layers."""

import math
from dataclasses import replace

import pytest
import torch

from paretodet.backbones.vgg import VGG16
from paretodet.bench.flops import count
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.detectors.spec import from_json, to_json
from paretodet.types import Images, Targets

NAME = "faster_rcnn_ren-vgg16-600x850-p300"


def blank(made, device="cpu", batch=1):
    pixels = torch.randint(0, 256, (batch, 3, made.height, made.width), dtype=torch.uint8, device=device)
    return Images(pixels, torch.tensor([[float(made.height), float(made.width)]] * batch, device=device))


def built(name=NAME, change=None):
    made = spec(name, change)
    with torch.device("meta"):
        return made, Detector(made).eval()


def narrow(change=None):
    """An eighth of the width, two classes, 16 proposals also in training."""
    made = spec(NAME, change or Override(height=96, width=128, proposals=16, labels=("a", "b")))
    first, last = made.stages
    first = replace(first, train_select=replace(first.train_select, keep=40))
    torch.manual_seed(0)
    made = replace(made, backbone=VGG16(width=0.125), stages=(first, last))
    return made, Detector(made).eval()


def test_parameters_part_by_part():
    _, detector = built()
    parts = (detector.backbone.blocks, detector.heads[0], (detector.backbone.fc6, detector.backbone.fc7))
    trunk, proposal = (sum(p.numel() for p in part.parameters()) for part in parts[:2])
    region = sum(p.numel() for m in (*parts[2], detector.heads[1]) for p in m.parameters())
    assert (trunk, proposal, region) == (14_714_688, 2_396_744, 121_205_141)
    assert sum(p.numel() for p in detector.parameters()) == 138_316_573


@pytest.mark.parametrize(
    ("ceil", "proposals", "gflops", "anchors"),
    [(True, 300, 396.26, 24_624), (False, 300, 393.20, 23_532), (True, 100, 347.78, 24_624)],
)
def test_work_and_anchors_with_either_pooling(ceil, proposals, gflops, anchors):
    """38 x 54 cells where pooling rounds up, as Caffe does, 37 x 53 where down; 0.2424 G for each proposal."""
    made, detector = built(change=Override(proposals=proposals))
    for layer in detector.modules():
        if isinstance(layer, torch.nn.MaxPool2d):
            layer.ceil_mode = ceil
    images = blank(made, "meta")
    assert 2e-9 * count(detector, images).macs == pytest.approx(gflops, abs=0.006)
    assert made.anchors(detector.features(images), (600, 850)).boxes.shape == (anchors, 4)


def test_work_at_a_thousand_pixels():
    made, detector = built("faster_rcnn_ren-vgg16-600x1000-p300")
    assert round(2e-9 * count(detector, blank(made, "meta")).macs, 1) == 451.9


def test_spec_reads_back_from_json():
    assert from_json(to_json(spec(NAME))) == spec(NAME)


def test_a_photograph_keeps_its_aspect_and_its_long_side_under_a_thousand():
    fit = spec(NAME).fit
    assert fit.canvas((480, 640)) == (600, 800)
    assert fit.canvas((300, 640)) == (469, 1000)


@torch.no_grad()
def test_the_box_of_the_background_is_not_used():
    made, detector = narrow()
    images = blank(made)
    before = detector(images)
    detector.heads[1].boxes.weight[:4].fill_(9.0)
    for found, wanted in zip(detector(images), before, strict=True):
        assert found is wanted is None or torch.equal(found, wanted)


@torch.no_grad()
def test_proposals_are_large_enough_inside_and_apart():
    made, detector = narrow()
    images = blank(made)
    boxes = detector.propose(detector.features(images), images).boxes
    sizes = boxes[..., 2:] - boxes[..., :2]
    real = sizes.amax(-1) > 0
    assert real.any() and (sizes[real] >= 16 * 96 / 480).all()
    assert (boxes >= 0).all() and (boxes <= torch.tensor([128.0, 96.0, 128.0, 96.0])).all()


@torch.no_grad()
def test_an_empty_slot_is_never_detected():
    """A proposal stage without proposals gives boxes of zeros, which must not be detected."""
    made, detector = narrow()
    first, last = made.stages
    detector.spec = replace(made, stages=(replace(first, select=replace(first.select, min_size=1e6)), last))
    found = detector(blank(made))
    assert (found.scores == 0).all()


@torch.no_grad()
@pytest.mark.full
def test_strict_export_equals_eager():
    made, detector = narrow()
    images = blank(made)
    exported = torch.export.export(detector, (images,), strict=True).module()
    for found, wanted in zip(exported(images), detector(images), strict=True):
        assert found is wanted is None or torch.equal(found, wanted)


@pytest.mark.parametrize("truths", [0, 2])
def test_loss_is_finite_and_reaches_every_parameter(truths):
    made, detector = narrow()
    boxes = torch.tensor([[[8.0, 8.0, 70.0, 60.0], [40.0, 20.0, 120.0, 90.0]]]).expand(2, 2, 4)
    valid = (torch.arange(2) < truths).expand(2, 2)
    targets = Targets(boxes, torch.tensor([[0, 1]]).expand(2, 2), valid, torch.zeros(2, 2, dtype=torch.bool))
    terms = detector.train().loss(blank(made, batch=2), targets, noise=torch.rand(2, 2000))
    total = sum(terms.values())
    assert math.isfinite(total.item())
    total.backward()
    assert not [name for name, p in detector.named_parameters() if p.grad is None or not p.grad.isfinite().all()]


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("faster_rcnn_ren-resnet101-600x850-p300", "backbone", "resnet101"),
        ("faster_rcnn_ren-vgg16-600x850-s16-p300", "output_stride", "16"),
        ("faster_rcnn_ren-vgg16-600x850", "proposals", "None"),
        ("faster_rcnn_ren-vgg16-600x850-p1001", "proposals", "1001"),
        ("faster_rcnn_ren-vgg16-20-p300", "size", "20"),
    ],
)
def test_bad_fields_are_named(name, field, value):
    with pytest.raises(ValueError, match=f"{field}: .*{value}"):
        spec(name)
