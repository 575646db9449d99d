"""A region stage that draws its references before it predicts learns exactly what it would learn from all of them."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from paretodet.detectors.detector import Detector, sample_regions
from paretodet.detectors.families import Override, spec
from paretodet.detectors.scale_width import scale_width
from paretodet.rules.losses import (
    BoxLoss,
    PerBatchSample,
    PerImage,
    PerImagePositive,
    PerPositive,
    PerReference,
    PerSample,
)
from paretodet.rules.samplers import BalancedSampler
from paretodet.types import Images, References, Sampler, Targets

DRAWING = {
    "faster_rcnn-resnet101-300-s16-p10": 132,
    "faster_rcnn-inception_v3-300-s16-p10": 132,
    "faster_rcnn-mobilenet_v1-300-s16-p10": 132,
    "faster_rcnn_ren-vgg16-600x850-p300": 132,
    "faster_rcnn_tv-resnet50-800x1344": 96,
    "mask_rcnn-resnet50-800x1024": 96,
    "mask_rcnn_tv-resnet50-800x1344": 96,
}
MINING = {"rfcn-resnet101-300-s16-p10": 132, "rfcn-inception_resnet_v2-300-s16-p10": 132}
EACH = pytest.mark.parametrize("name", DRAWING)
SIZE = 12  # of about 40 proposals


@dataclass(frozen=True, kw_only=True)
class Seeing:
    """A sampler that says it mines: its stage predicts everything first."""

    sampler: Sampler
    mines: ClassVar[bool] = True
    size: ClassVar[None] = None

    def __call__(self, assignment, cost, decoded, noise):
        return self.sampler(assignment, cost, decoded, noise)


def built(name):
    side = (DRAWING | MINING)[name]
    made = scale_width(spec(name, Override(height=side, width=side, labels=("a", "b", None))), 0.125)
    first, last = made.stages
    select = replace(first.train_select or first.select, keep=40, keep_per_class=None, min_size=0.0)
    sampler = replace(last.sampler, size=SIZE) if last.sampler.size else last.sampler
    made = replace(made, stages=(replace(first, train_select=select, select=select), replace(last, sampler=sampler)))
    torch.manual_seed(0)
    return Detector(made).train()


def changed(detector, **fields):
    """The same weights with another region stage."""
    first, last = detector.spec.stages
    detector.spec = replace(detector.spec, stages=(first, replace(last, **fields)))
    return detector


def images(detector):
    side = detector.spec.height
    pixels = torch.randint(0, 256, (2, 3, side, side), generator=torch.Generator().manual_seed(0))
    return Images(pixels.to(torch.uint8), torch.tensor([[side, side], [side - 7, side - 20]]).float())


@torch.no_grad()
def truths(detector, usable, crowd=False):
    """Six boxes that the first stage proposes, of which the first `usable` are truths, the second perhaps a crowd."""
    batch = images(detector)
    found = detector.propose(detector.features(batch), batch).boxes
    boxes = found[:, 1:37:6] + 0.25
    valid = (torch.arange(6) < usable).expand(2, 6)
    masks = torch.rand(2, 6, 28, 28, generator=torch.Generator().manual_seed(0)) if detector.spec.masks else None
    return Targets(boxes, torch.tensor([[0, 1, 0, 1, 1, 0]] * 2), valid, valid & (torch.arange(6) == 1) & crowd, masks)


def learned(detector, targets, seed=0):
    """Terms of the loss, gradients, and how many references of an image the region head saw."""
    seen = []
    hook = detector.heads[-1].register_forward_pre_hook(lambda _, args: seen.append(args[1].boxes.shape[1]))
    detector.zero_grad(set_to_none=True)
    terms = detector.loss(
        images(detector), targets, noise=torch.rand(2, 20000, generator=torch.Generator().manual_seed(seed))
    )
    sum(terms.values()).backward()
    hook.remove()
    gradients = {n: p.grad.clone() for n, p in detector.named_parameters() if p.grad is not None}
    return {n: t.detach() for n, t in terms.items()}, gradients, seen


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-4 * value.abs().max().item() + 1e-9, msg=name)


@EACH
@pytest.mark.parametrize(("usable", "crowd"), [(6, False), (3, True), (0, False)], ids=["six", "crowd", "none"])
def test_drawing_first_learns_the_same(name, usable, crowd):
    detector = built(name)
    targets = truths(detector, usable, crowd)
    terms, gradients, seen = learned(detector, targets)
    changed(detector, sampler=Seeing(sampler=detector.spec.stages[-1].sampler))
    wanted, wanted_gradients, all_seen = learned(detector, targets)
    assert seen == [SIZE] and all_seen[0] >= 40
    assert (wanted["stage2/box"] > 0) == (usable > 0)
    assert_same(terms, wanted)
    assert_same(gradients, wanted_gradients)


@pytest.mark.parametrize("name", MINING)
def test_who_mines_predicts_everything(name):
    detector = built(name)
    _, _, seen = learned(detector, truths(detector, 6))
    assert seen == [40]


@pytest.mark.parametrize(
    ("normalizer", "first"),
    [
        (PerSample(), True),
        (PerBatchSample(), True),
        (PerImage(), True),
        (PerReference(), False),
        (PerPositive(), False),
        (PerImagePositive(), False),
    ],
    ids=repr,
)
def test_a_loss_that_counts_what_is_not_drawn_gets_everything(normalizer, first):
    detector = built("faster_rcnn_tv-resnet50-800x1344")
    last = detector.spec.stages[-1]
    changed(detector, losses=replace(last.losses, normalizer=normalizer))
    targets = truths(detector, 6)
    terms, _, seen = learned(detector, targets)
    assert seen == [SIZE if first else 46]
    changed(detector, sampler=Seeing(sampler=last.sampler))
    assert_same(terms, learned(detector, targets)[0])


def test_what_is_drawn_is_what_the_sampler_weighs_in_order():
    """Fewer references than slots leave fewer; the rest of the slots has weight 0."""
    stage = spec("faster_rcnn_tv-resnet50-800x1344").stages[1]
    boxes = torch.tensor([[[0.0, 0, 9, 9], [20, 20, 30, 30], [0, 0, 0, 0], [1, 0, 10, 9], [50, 50, 60, 60]]])
    refs, sizes = References(boxes, torch.ones(5, 1), (5,)), torch.tensor([[99.0, 99.0]])
    one = torch.ones(1, 1, dtype=torch.bool)
    targets = Targets(boxes[:, :1], torch.zeros(1, 1, dtype=torch.int64), one, ~one)
    noise = torch.tensor([[0.1, 0.5, 0.9, 0.8, 0.7]])
    few = replace(stage, sampler=BalancedSampler(size=2, positive_fraction=0.5))
    lesson = sample_regions(few, refs, targets, sizes, noise)
    assert torch.equal(lesson.references.boxes, boxes[:, 3:])  # the luckiest positive and the luckiest negative
    assert lesson.assignment.positive.tolist() == [[True, False]] and lesson.weight.tolist() == [[1, 1]]
    every = sample_regions(stage, refs, targets, sizes, noise)  # 512 slots
    assert every.references.boxes.shape == (1, 5, 4) and every.references.counts == (5,)
    assert every.weight.tolist() == [[1, 1, 1, 1, 0]]


def test_no_cost_is_counted_for_who_does_not_mine(monkeypatch):
    def refuse(*_):
        raise AssertionError("a cost that nobody reads")

    monkeypatch.setattr(BoxLoss, "cost", refuse)
    detector = built("faster_rcnn_tv-resnet50-800x1344")
    assert len(learned(detector, truths(detector, 6))[0]) == 4
    with pytest.raises(AssertionError, match="nobody reads"):
        learned(mining := built("rfcn-resnet101-300-s16-p10"), truths(mining, 6))
