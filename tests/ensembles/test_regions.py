"""The union of proposals: one member gives its own result, copies and order do not matter."""

import itertools
from dataclasses import replace

import pytest
import torch
from ensemble_candidates import filled, random_images, run, tiny

from paretodet.candidate import NetworkCandidate
from paretodet.detectors.detector import Detector
from paretodet.diagnosis import check_contract
from paretodet.ensembles.regions import RegionEnsemble, RegionUnion, common_select
from paretodet.rules.select import PostProcess
from paretodet.types import Detections, Images

MOBILE, VGG = "faster_rcnn-mobilenet_v1-96-s16-p8", "faster_rcnn-vgg16-96-s16-p5"


def same(one, other, tolerance=0.0):
    return all(torch.allclose(a, b, rtol=0, atol=tolerance) for a, b in zip(one[:3], other[:3], strict=True))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", [MOBILE, "rfcn-mobilenet_v1-96-s16-p8", "faster_rcnn_ren-vgg16-96-p8"])
def test_one_member_gives_its_result(name, full):
    member, images = tiny(name, full=full), random_images(2)
    alone = run(member, images)
    assert alone.scores[0, 0] > 0
    assert same(run(RegionEnsemble([member]), images), alone)


def test_copies_of_a_member_give_its_result():
    """Its proposals come three times with equal scores and boxes, and suppression leaves one of each."""
    images = random_images(2)
    alone = run(tiny(), images)
    found = run(RegionEnsemble([tiny() for _ in range(3)]), images)
    assert len(filled(alone)) > 3
    assert same(found, alone, 1e-3)


def by_hand(members, batch):
    """The union of proposals, scored by every member, averaged and suppressed, one proposal at a time."""
    detectors = [member.session.module for member in members]
    maps = [detector.features(batch) for detector in detectors]
    union = [detector.propose(own, batch) for detector, own in zip(detectors, maps, strict=True)]
    boxes, scores = [], []
    for proposals in union:
        for place in range(proposals.boxes.shape[1]):
            one = proposals._replace(boxes=proposals.boxes[:, place : place + 1], cell=proposals.cell[:1], counts=(1,))
            predictions = [detector.refine(own, one, batch) for detector, own in zip(detectors, maps, strict=True)]
            lasts = [detector.spec.stages[-1] for detector in detectors]
            pairs = list(zip(lasts, predictions, strict=True))
            boxes.append(sum(last.coder.decode(s.codes, one) for last, s in pairs) / len(members))
            scores.append(sum(last.scores(s.logits) for last, s in pairs) / len(members))
    boxes, scores = torch.cat(boxes, 1), torch.cat(scores, 1)
    return detectors[0].spec.stages[-1].select(boxes, scores, (boxes.shape[1],), batch.sizes)


@torch.inference_mode()
def test_members_of_two_kinds_by_hand():
    members = [tiny(MOBILE), tiny(VGG, seed=1)]
    made, images = RegionEnsemble(members), random_images(1)
    batch = made.prepare(images)
    assert made.union.propose(made.union.features(batch), batch).boxes.shape == (1, 13, 4)
    found = made.infer(batch)
    assert len(filled(found)) > 3
    assert same(found, by_hand(members, batch), 1e-3)


def test_the_order_of_members_does_not_matter():
    members, images = [tiny(MOBILE), tiny(VGG, seed=1), tiny(MOBILE, seed=2)], random_images(2)
    first, *others = (run(RegionEnsemble(each), images) for each in itertools.permutations(members))
    for other in others:
        assert same(other, first, 1e-3)


def test_one_box_per_proposal_and_one_per_class_can_be_combined():
    members = [tiny(MOBILE), tiny("rfcn-mobilenet_v1-96-s16-p8", seed=1)]
    for each in (members, members[::-1]):
        assert len(filled(run(RegionEnsemble(each), random_images(1)))) > 3


def test_the_facts_count_every_proposal_at_every_member():
    """Twice the second stage's work for the doubled proposals, at each of two members."""
    one, many = tiny(), tiny("faster_rcnn-mobilenet_v1-96-s16-p16")
    alone, doubled = one.facts(), many.facts()
    found = RegionEnsemble([one, tiny(seed=1)]).facts()
    assert found.proposals == 16
    assert found.parameters == 2 * alone.parameters and found.buffers == 2 * alone.buffers
    assert found.macs == 2 * doubled.macs > 2 * alone.macs
    assert found.load == "data" and found.classes == 3 and (found.height, found.width) == (96, 96)
    twice = RegionEnsemble([one, one]).facts()
    assert twice.parameters == alone.parameters and twice.macs == found.macs


def test_load_is_capacity_if_every_slot_is_full():
    made = RegionEnsemble([tiny(full=True), tiny(full=True, seed=1)])
    assert made.facts().load == "capacity"
    twice = RegionEnsemble(made.members, select=replace(made.select, threshold=0.5))
    assert twice.facts().load == "data" and twice.facts().artefact != made.facts().artefact


def test_it_passes_the_doctor():
    made = RegionEnsemble([tiny(MOBILE, full=True), tiny(VGG, full=True, seed=1)])
    assert [finding.broken for finding in check_contract(made, random_images(2)) if finding.broken] == []


def test_the_network_exports():
    members = [tiny(VGG), tiny("faster_rcnn-vgg16-96-s16-p8", seed=1)]  # of the backbone with the fewest layers
    union = RegionEnsemble(members).union
    images = Images(torch.zeros(1, 3, 96, 96, dtype=torch.uint8), torch.tensor([[96.0, 96.0]]))
    program = torch.export.export(union, (images,), strict=True)
    random = Images(torch.randint(0, 256, (1, 3, 96, 96), dtype=torch.uint8), images.sizes)
    with torch.no_grad():
        assert same(program.module()(random), union(random), 1e-4)


def test_selections_that_differ_in_keep_agree_on_the_largest():
    """As for Huang et al.'s members: ResNet-101 keeps 300, Inception-ResNet V2 100."""
    one, two = PostProcess(overlap=0.6, keep=300), PostProcess(overlap=0.6, keep=100)
    assert common_select([one, two]) == common_select([two, one]) == one
    with pytest.raises(ValueError, match="select: differs"):
        common_select([one, PostProcess(overlap=0.5, keep=300)])


def other(**changes):
    """A candidate with a changed spec and an unchanged network."""
    member = tiny()
    module = member.session.module
    module.spec = replace(module.spec, **changes)
    return member


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (list, "members: got none"),
        (lambda: [tiny("ssd-mobilenet_v1-128")], "stages: ssd-mobilenet_v1-128 has one"),
        (lambda: [tiny(), tiny(labels=("a", "b"))], "labels: differs"),
        (lambda: [tiny(), tiny("faster_rcnn-mobilenet_v1-112-s16-p8")], "fit: differs"),
        (lambda: [tiny(), other(height=112)], "height: differs"),
        (lambda: [tiny(), tiny("faster_rcnn_ren-vgg16-96-p8")], "fit: differs|select: differs"),
    ],
)
def test_members_that_cannot_be_combined_are_refused(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        RegionEnsemble(wrong())


def test_masks_are_refused():
    with pytest.raises(ValueError, match="masks: "):
        RegionEnsemble([other(masks=object())])


def test_members_on_two_devices_are_refused():
    member = tiny()
    object.__setattr__(member.runtime, "device", "cuda")
    with pytest.raises(ValueError, match="device: got cpu, cuda"):
        RegionEnsemble([tiny(), member])


def test_a_union_is_a_module_of_any_detectors():
    detectors = [tiny().session.module, tiny(seed=1).session.module]
    union = RegionUnion(detectors, detectors[0].spec.stages[-1].select)
    assert isinstance(detectors[0], Detector) and isinstance(tiny(), NetworkCandidate)
    assert sum(p.numel() for p in union.parameters()) == 2 * sum(p.numel() for p in detectors[0].parameters())
    images = Images(torch.zeros(1, 3, 96, 96, dtype=torch.uint8), torch.tensor([[96.0, 96.0]]))
    value = images
    for _, step in union.stages():
        value = step(value)
    with torch.no_grad():
        assert isinstance(value, Detections) and same(value, union(images))
