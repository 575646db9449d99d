"""Cascade R-CNN: its numbers, and a chain of region stages by hand."""

from dataclasses import replace

import pytest
import torch
from stages_subject import batch, noise, targets, taught

from counts import counted
from paretodet.detectors.detector import Detector, canvas
from paretodet.detectors.families import Override, spec
from paretodet.detectors.scale_width import scale_width
from paretodet.heads.position_sensitive import PositionSensitiveHead
from paretodet.ops.geometry import area
from paretodet.rules.coders import DETECTRON_CLAMP
from paretodet.rules.samplers import BalancedSampler
from paretodet.rules.select import EveryBox
from paretodet.training.inputs import Noise, TrainingBatch

NAME = "cascade_rcnn-resnet50-800x1344"
HEAD = {  # Detectron-Cascade-RCNN, cascade_rcnn_heads.py: a fully connected layer's outputs and inputs, stage by stage
    "hidden.1": (1024, 256 * 7 * 7),
    "hidden.3": (1024, 1024),
    "head.scores": (81, 1024),
    "head.boxes": (2 * 4, 1024),  # background and object
}


def test_the_numbers_are_the_authors():
    """Detectron-Cascade-RCNN, config.py: FG_THRESHS, BBOX_REG_WEIGHTS, STAGE_WEIGHTS, and its 1x configuration."""
    made = spec(NAME)
    first, *cascade = made.stages
    assert first == spec("mask_rcnn-resnet50-800x1344").stages[0] and made.masks is None
    assert [(s.matcher.positive, s.matcher.negative) for s in cascade] == [(0.5, 0.5), (0.6, 0.6), (0.7, 0.7)]
    assert [s.coder.weights for s in cascade] == [(10, 10, 5, 5), (20, 20, 10, 10), (30, 30, 15, 15)]
    assert {s.coder.clamp for s in cascade} == {DETECTRON_CLAMP}
    assert [s.map_gradient for s in cascade] == [1, 0.5, 0.25]
    assert [s.sampler.size for s in cascade] == [512, None, None]
    assert [s.select for s in cascade[:-1]] == [EveryBox()] * 2
    assert [s.scored_by for s in cascade] == ["head", "head", "cascade"]
    assert all(s.append_targets and s.head.class_agnostic for s in cascade)
    assert (cascade[-1].select.threshold, cascade[-1].select.keep) == (0.05, 100)
    assert made.proposals == 1000 and spec(f"{NAME}-p300").proposals == 300


def test_every_layer_of_the_region_stages_has_the_authors_shape():
    with torch.device("meta"):
        detector = Detector(spec(NAME))
    for head in detector.heads[1:]:
        assert {name: tuple(layer.weight.shape) for name, layer in layers(head)} == HEAD
        assert all(layer.bias.shape == layer.weight.shape[:1] for _, layer in layers(head))


def test_three_stages_run_five_heads():
    """The first two on their own references, all three on those of the third."""
    few, many = (counted(f"{NAME}-p{count}")["macs"] for count in (300, 1000))
    assert many - few == 700 * 5 * sum(outputs * inputs for outputs, inputs in HEAD.values())


def layers(module):
    return [(name, layer) for name, layer in module.named_modules() if isinstance(layer, torch.nn.Linear)]


def small(side=64, proposals=6, **last):
    """An eighth of the width, boxes that move in every stage."""
    made = scale_width(
        spec(NAME, Override(height=side, width=side, labels=("a", "b", "c"), proposals=proposals)), 0.125
    )
    first, *middle, final = made.stages
    first = replace(first, train_select=replace(first.train_select, keep=proposals))
    torch.manual_seed(0)
    detector = Detector(replace(made, stages=(first, *middle, replace(final, **last)))).eval()
    with torch.no_grad():
        for head in detector.heads[1:]:
            head.head.boxes.weight *= 1000
            head.head.scores.weight *= 100
    return detector


def called(detector):
    """(references, predictions) of each call of a region head, filled by what follows."""
    calls = []
    for head in detector.heads[1:]:
        head.register_forward_hook(lambda _, args, out: calls.append((args[1], out)))
    return calls


@torch.no_grad()
def test_boxes_are_refined_stage_by_stage():
    """Decoded, neither clipped nor suppressed, in their order."""
    detector, images = small(), batch()
    calls = called(detector)
    last = detector.propose(detector.features(images), images)
    (first, one), (second, two) = calls
    for stage, before, predictions, after in zip(
        detector.spec.stages[1:3], (first, second), (one, two), (second, last), strict=True
    ):
        assert predictions.codes.shape == (2, 6, 4) and before.counts == (6,)
        decoded = stage.coder.decode(predictions.codes, before)
        assert torch.equal(decoded.masked_fill((area(before.boxes) <= 0)[..., None], 0), after.boxes)
        assert not torch.allclose(decoded, before.boxes, atol=1.0)
    assert last.boxes.min() < 0 or last.boxes.max() > 64


@torch.no_grad()
def test_scores_are_the_mean_of_all_heads_on_the_last_references():
    detector, images = small(), batch()
    maps = detector.features(images)
    references = detector.propose(maps, images)
    each = [head(maps, references, canvas(images), None) for head in detector.heads[1:]]
    found = detector.refine(maps, references, images)
    assert found.logits.shape == (2, 6, 3, 4)
    torch.testing.assert_close(found.codes, each[-1].codes)
    scores = sum(one.logits.softmax(-1)[..., 1:] for one in each) / 3
    last = detector.spec.stages[-1]
    boxes, empty = last.coder.decode(each[-1].codes, references), (area(references.boxes) <= 0)[..., None]
    wanted, alone = (
        last.select(boxes, values.masked_fill(empty, -torch.inf), (6,), images.sizes)
        for values in (scores, each[-1].logits.softmax(-1)[..., 1:])
    )
    assert (wanted.scores > 0).any() and not torch.allclose(alone.scores, wanted.scores, atol=1e-2)
    torch.testing.assert_close(detector.select(found, references, images)[:3], wanted[:3])


def test_every_region_stage_learns_classes(monkeypatch):
    """Only the first of several stages may learn objects without classes."""
    terms, calls = taught(monkeypatch, small())
    assert [call[2].labels[0, :2].tolist() for call in calls] == [[0, 0], [1, 2], [1, 2], [1, 2]]
    assert list(terms) == [f"stage{index}/{term}" for index in (1, 2, 3, 4) for term in ("box", "score")]
    labels = [call[2].labels.gather(1, call[3].truth)[call[3].positive].unique().tolist() for call in calls]
    assert labels == [[0], [1, 2], [1, 2], [1, 2]]


def test_a_stage_learns_from_the_boxes_of_the_sampled_regions(monkeypatch):
    """Decoded by the stage before, ground truth once, in its own place; everything matched anew at the stage's IoU."""
    detector = small()
    truth = targets()
    _, calls = taught(monkeypatch, detector)
    for stage, before, after in zip(detector.spec.stages[1:], calls[1:], calls[2:], strict=False):
        predictions, refs, _, assignment, weight = before
        decoded = stage.coder.decode(predictions.codes, refs).detach()
        own = (refs.boxes == truth.boxes.gather(1, assignment.truth[..., None].expand(-1, -1, 4))).all(-1)
        assert own.sum(1).tolist() == [2, 2]
        expected = decoded.masked_fill(((weight == 0) | own)[..., None], 0)
        assert torch.equal(after[1].boxes, torch.cat([expected, truth.boxes], 1))
    for stage, (_, refs, _, assignment, weight) in zip(detector.spec.stages[2:], calls[2:], strict=True):
        assert torch.equal(assignment.positive, stage.matcher(refs, truth, refs.boxes, batch().sizes).positive)
        assert torch.equal(weight > 0, (refs.boxes[..., 2:] > refs.boxes[..., :2]).all(-1))


def gradients(map_gradient):
    """Of the neck and of the last head, by the last stage's terms alone."""
    detector = small(map_gradient=map_gradient)
    terms = detector.loss(batch(), targets(), noise=noise())
    (terms["stage4/box"] + terms["stage4/score"]).backward()
    parts = detector.neck, detector.heads[3]
    return [torch.cat([p.grad.flatten() for p in part.parameters() if p.grad is not None]) for part in parts]


def test_the_gradient_shrinks_where_it_enters_the_maps_and_nowhere_else():
    """As the authors weight losses by 1, 1/2, 1/4 and the heads' gradients by 1, 2, 4."""
    (neck, head), (whole_neck, whole_head) = gradients(0.25), gradients(1.0)
    assert whole_neck.any() and whole_head.any()
    torch.testing.assert_close(neck, whole_neck / 4, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(head, whole_head)


@pytest.mark.parametrize("change", ["dense", "other crop", "no crop"])
def test_heads_that_cannot_share_crops_score_alone(change):
    made = spec(NAME)
    first, one, two, three = made.stages
    uneven = replace(two, head=replace(two.head, width=8))
    whole = [replace(stage, head=PositionSensitiveHead()) for stage in (one, two, three)]
    stages = {
        "dense": (replace(first, scored_by="cascade"), one, two, three),
        "other crop": (first, one, uneven, three),
        "no crop": (first, *whole),
    }[change]
    with pytest.raises(ValueError, match="scored_by: 'cascade' needs equal heads"):
        replace(made, stages=stages)


def test_a_later_stage_may_sample_again():
    """With noise for every reference that the stages before it can hand on."""
    detector = small()
    first, one, two, three = detector.spec.stages
    sampler = BalancedSampler(size=64, positive_fraction=0.25)
    detector.spec = replace(detector.spec, stages=(first, one, two, replace(three, sampler=sampler)))
    noise = Noise(detector, 0)
    assert noise._proposals(targets()) == 6 + 3 * 3
    terms = detector.loss(batch(), targets(), noise=noise(0, TrainingBatch(batch(), targets(), (0, 1))))
    assert all(term.isfinite() for term in terms.values())
