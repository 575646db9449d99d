"""A region stage that samples its references before predicting has the same loss as one that predicts for all."""

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

SAMPLING = {
    "faster_rcnn-resnet101-300-s16-p10": 132,
    "faster_rcnn-inception_v3-300-s16-p10": 132,
    "faster_rcnn-mobilenet_v1-300-s16-p10": 132,
    "faster_rcnn_ren-vgg16-600x850-p300": 132,
    "faster_rcnn_tv-resnet50-800x1344": 96,
    "mask_rcnn-resnet50-800x1024": 96,
    "mask_rcnn_tv-resnet50-800x1344": 96,
}
MINING = {"rfcn-resnet101-300-s16-p10": 132, "rfcn-inception_resnet_v2-300-s16-p10": 132}
EACH = pytest.mark.parametrize("name", SAMPLING)
SIZE = 12  # of about 40 proposals


@dataclass(frozen=True, kw_only=True)
class DeclaredMiner:
    """A sampler that declares to mine, so that its stage predicts for all references first."""

    sampler: Sampler
    mines: ClassVar[bool] = True
    size: ClassVar[None] = None

    def __call__(self, assignment, cost, decoded, noise):
        return self.sampler(assignment, cost, decoded, noise)


def built(name):
    side = (SAMPLING | MINING)[name]
    made = scale_width(spec(name, Override(height=side, width=side, labels=("a", "b", None))), 0.125)
    first, last = made.stages
    select = replace(first.train_select or first.select, keep=40, keep_per_class=None, min_size=0.0)
    sampler = replace(last.sampler, size=SIZE) if last.sampler.size else last.sampler
    made = replace(made, stages=(replace(first, train_select=select, select=select), replace(last, sampler=sampler)))
    torch.manual_seed(0)
    return Detector(made).train()


def changed(detector, **fields):
    """The detector with other fields of its region stage."""
    first, last = detector.spec.stages
    detector.spec = replace(detector.spec, stages=(first, replace(last, **fields)))
    return detector


def images(detector):
    side = detector.spec.height
    pixels = torch.randint(0, 256, (2, 3, side, side), generator=torch.Generator().manual_seed(0))
    return Images(pixels.to(torch.uint8), torch.tensor([[side, side], [side - 7, side - 20]]).float())


@torch.no_grad()
def truths(detector, usable, crowd=False):
    """Six proposals of the first stage; the first `usable` are ground truths, the second may be a crowd."""
    batch = images(detector)
    found = detector.propose(detector.features(batch), batch).boxes
    boxes = found[:, 1:37:6] + 0.25
    valid = (torch.arange(6) < usable).expand(2, 6)
    masks = torch.rand(2, 6, 28, 28, generator=torch.Generator().manual_seed(0)) if detector.spec.masks else None
    return Targets(boxes, torch.tensor([[0, 1, 0, 1, 1, 0]] * 2), valid, valid & (torch.arange(6) == 1) & crowd, masks)


def training_pass(detector, targets, seed=0):
    """Terms of the loss, gradients, and the number of references of an image in the region head."""
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
def test_sampling_first_gives_the_same_loss_and_gradients(name, usable, crowd):
    detector = built(name)
    targets = truths(detector, usable, crowd)
    terms, gradients, seen = training_pass(detector, targets)
    changed(detector, sampler=DeclaredMiner(sampler=detector.spec.stages[-1].sampler))
    wanted, wanted_gradients, all_seen = training_pass(detector, targets)
    assert seen == [SIZE] and all_seen[0] >= 40
    assert (wanted["stage2/box"] > 0) == (usable > 0)
    assert_same(terms, wanted)
    assert_same(gradients, wanted_gradients)


@pytest.mark.parametrize("name", MINING)
def test_a_mining_stage_predicts_for_all_references(name):
    detector = built(name)
    _, _, seen = training_pass(detector, truths(detector, 6))
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
def test_a_loss_that_counts_all_references_gets_all(normalizer, first):
    detector = built("faster_rcnn_tv-resnet50-800x1344")
    last = detector.spec.stages[-1]
    changed(detector, losses=replace(last.losses, normalizer=normalizer))
    targets = truths(detector, 6)
    terms, _, seen = training_pass(detector, targets)
    assert seen == [SIZE if first else 46]
    changed(detector, sampler=DeclaredMiner(sampler=last.sampler))
    assert_same(terms, training_pass(detector, targets)[0])


def test_sampled_references_are_those_with_weight():
    """With fewer references than slots there are fewer; others have weight 0."""
    stage = spec("faster_rcnn_tv-resnet50-800x1344").stages[1]
    boxes = torch.tensor([[[0.0, 0, 9, 9], [20, 20, 30, 30], [0, 0, 0, 0], [1, 0, 10, 9], [50, 50, 60, 60]]])
    refs, sizes = References(boxes, torch.ones(5, 1), (5,)), torch.tensor([[99.0, 99.0]])
    one = torch.ones(1, 1, dtype=torch.bool)
    targets = Targets(boxes[:, :1], torch.zeros(1, 1, dtype=torch.int64), one, ~one)
    noise = torch.tensor([[0.1, 0.5, 0.9, 0.8, 0.7]])
    few = replace(stage, sampler=BalancedSampler(size=2, positive_fraction=0.5))
    sampled = sample_regions(few, refs, targets, sizes, noise)
    assert torch.equal(sampled.references.boxes, boxes[:, 3:])  # the positive and the negative with the largest noise
    assert sampled.assignment.positive.tolist() == [[True, False]] and sampled.weight.tolist() == [[1, 1]]
    every = sample_regions(stage, refs, targets, sizes, noise)  # 512 slots
    assert every.references.boxes.shape == (1, 5, 4) and every.references.counts == (5,)
    assert every.weight.tolist() == [[1, 1, 1, 1, 0]]


def test_no_cost_is_computed_without_mining(monkeypatch):
    def refuse(*_):
        raise AssertionError("an unused cost")

    monkeypatch.setattr(BoxLoss, "cost", refuse)
    detector = built("faster_rcnn_tv-resnet50-800x1344")
    assert len(training_pass(detector, truths(detector, 6))[0]) == 4
    with pytest.raises(AssertionError, match="unused cost"):
        training_pass(mining := built("rfcn-resnet101-300-s16-p10"), truths(mining, 6))
