"""Our Mask R-CNN in torchvision's form equals torchvision 0.28's with the same random weights, from images to losses.

The short tier compares with recorded tensors, the full tier with torchvision itself if it is installed. Both sides
sample every box in training. The targets of masks differ: torchvision samples masks of the whole image, shifted by half
a pixel; ours are small crops of their boxes.
"""

from functools import cache

import numpy as np
import pytest
import torch

from paretodet.detectors.detector import Detector
from paretodet.detectors.families import spec
from paretodet.ops.geometry import iou
from paretodet.rules.masks import MaskSample, crops
from paretodet.types import References
from record_torchvision_rcnn_golden import (
    FILE,
    MASKS,
    SIZES,
    Found,
    drawn_proposals,
    ours,
    places,
    scene,
    theirs,
    torchvisions,
)

CLOSE = 1e-4  # of the largest magnitude
FIELDS = ("codes", "logits", "box_codes", "box_logits", "mask_logits")


@cache
@torch.no_grad()
def mine():
    detector, (images, _) = ours(), scene()
    maps = detector.features(images)
    anchors = detector.spec.anchors(maps, (160, 224))
    first = detector.heads[0](maps)
    references = detector.propose(maps, images)
    found = detector.masks(maps, detector.select(detector.refine(maps, references, images), references, images), images)
    boxes, labels = drawn_proposals()
    second = detector.refine(maps, References(boxes, boxes[0, :, :1], (boxes.shape[1],)), images)
    slots = [(found.scores[i] > 0).sum() for i in range(2)]
    boxed = [(b[..., 2:] > b[..., :2]).all(-1) for b in references.boxes]
    return Found(
        codes=first.codes,
        logits=first.logits,
        anchors=anchors.boxes,
        proposals=tuple(b[real] for b, real in zip(references.boxes, boxed, strict=True)),
        box_codes=second.codes,
        box_logits=second.logits,
        mask_logits=detector.mask_head(maps, boxes, labels, (160, 224)),
        boxes=tuple(found.boxes[i, :n] for i, n in enumerate(slots)),
        scores=tuple(found.scores[i, :n] for i, n in enumerate(slots)),
        labels=tuple(found.labels[i, :n] for i, n in enumerate(slots)),
        masks=tuple(found.masks[i, :n] for i, n in enumerate(slots)),
        losses=torch.zeros(0),  # `losses` takes as long as the rest
    )


@cache
@torch.no_grad()
def losses():
    detector, (images, targets) = ours(), scene()
    terms = detector.loss(images, targets, noise=torch.rand(2, 9000, generator=torch.Generator().manual_seed(0)))
    assert len(terms) == 5
    return torch.stack([terms[n] for n in ("stage1/box", "stage1/score", "stage2/box", "stage2/score", "masks/mask")])


@cache
def recorded():
    with np.load(FILE) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


@cache
def live():
    pytest.importorskip("torchvision", reason="needs torchvision 0.28 for the same torch")
    return torchvisions(theirs(ours()), *scene())


def partners(mine, wanted):
    """For each of our detections (boxes, scores, labels) the index of the matching one of theirs, -1 if there is none.

    By overlap, not by slot: near-equal scores may swap and fall off the end. Nearly all must have one.
    """
    assert len(mine[0]) == len(wanted[0])
    same = (iou(mine[0], wanted[0]) > 0.99) & (mine[2][:, None] == wanted[2])
    same &= (mine[1][:, None] - wanted[1]).abs() < CLOSE
    assert same.any(0).float().mean() > 0.98 and same.any(1).float().mean() > 0.98
    torch.testing.assert_close(mine[1], wanted[1], atol=CLOSE, rtol=0)
    return torch.where(same.any(1), same.float().argmax(1), -1)


@pytest.mark.parametrize("field", FIELDS)
def test_predictions_equal_the_record(field):
    found, wanted = torch.from_numpy(places(mine())[field]), recorded()
    assert (found - wanted[field]).abs().max() <= CLOSE * wanted[f"{field}_largest"]


def test_anchors_equal_the_record():
    assert torch.equal(torch.from_numpy(places(mine())["anchors"]), recorded()["anchors"])


@pytest.mark.parametrize("image", [0, 1])
def test_proposals_equal_the_record(image):
    found, wanted = mine().proposals[image], recorded()[f"proposals_{image}"]
    assert abs(len(found) - len(wanted)) <= 2  # of about 600
    assert (iou(found, wanted) > 0.99).any(0).float().mean() > 0.995


@pytest.mark.parametrize("image", [0, 1])
def test_detections_and_their_masks_equal_the_record(image):
    found, wanted = mine(), recorded()
    place = partners(
        (found.boxes[image], found.scores[image], found.labels[image]),
        tuple(wanted[f"{field}_{image}"] for field in ("boxes", "scores", "labels")),
    )
    masks = wanted[f"masks_{image}"].float() / 255
    checked = (place >= 0) & (place < MASKS)
    assert checked.sum() >= MASKS - 1
    assert (found.masks[image][checked] - masks[place[checked]]).abs().max() < 1 / 255 + 1e-3


def test_losses_equal_the_record():
    found, wanted = losses(), recorded()["losses"]
    torch.testing.assert_close(found[:4], wanted[:4], rtol=1e-4, atol=0)
    torch.testing.assert_close(found[4], wanted[4], rtol=0.005, atol=0)


def saturated():
    """Logits of 2,400 anchors of one level, all above 17 and in random order: their sigmoid is 1 in float32."""
    return torch.linspace(17.5, 30, 2400)[torch.randperm(2400, generator=torch.Generator().manual_seed(0))]


def propose(logits):
    """Our proposals of apart boxes, 4 px each, that have these logits."""
    (first, _), count = spec("faster_rcnn_tv-resnet50-800x1344").stages, len(logits)
    corner = 5 * torch.stack([torch.arange(count) % 60, torch.arange(count) // 60], 1).float()
    boxes = torch.cat([corner, corner + 4], 1)
    found = first.select(boxes[None], first.scores(logits[None, :, None]), (count,), torch.tensor([[300.0, 300.0]]))
    return boxes, found.boxes[0]


def test_proposals_are_ranked_by_logit():
    """Of 2,400 boxes whose score is 1 in float32, the 1,000 with the largest logits, in their order."""
    logits = saturated()
    boxes, found = propose(logits)
    assert torch.equal(logits.sigmoid(), torch.ones(2400))
    assert torch.equal(found, boxes[logits.argsort(descending=True)[:1000]])


@pytest.mark.full
def test_proposals_are_ranked_as_torchvisions():
    rpn = pytest.importorskip("torchvision.models.detection.rpn", reason="needs torchvision 0.28")
    logits = saturated()
    boxes, found = propose(logits)
    keep = {"training": 1000, "testing": 1000}
    theirs_ = rpn.RegionProposalNetwork(torch.nn.Identity(), torch.nn.Identity(), 0.7, 0.3, 256, 0.5, keep, keep, 0.7)
    (wanted,), _ = theirs_.eval().filter_proposals(boxes[None], logits[None], [(300, 300)], [2400])
    assert torch.equal(found, wanted)


@pytest.mark.full
def test_everything_equals_torchvision():
    wanted, found = live(), mine()
    for field in (*FIELDS, "anchors"):
        ours_, theirs_ = getattr(found, field), getattr(wanted, field)
        assert (ours_ - theirs_).abs().max() <= CLOSE * theirs_.abs().max(), field
    for i in range(2):
        place = partners(*((f.boxes[i], f.scores[i], f.labels[i]) for f in (found, wanted)))
        apart = found.masks[i][place >= 0] - wanted.masks[i][place[place >= 0]]
        assert apart.abs().max() < 1e-3
    torch.testing.assert_close(losses()[:4], wanted.losses[:4], rtol=1e-4, atol=0)


@pytest.mark.full
def test_the_record_is_torchvisions():
    for key, value in places(live()).items():
        np.testing.assert_allclose(value, recorded()[key].numpy(), rtol=1e-3, atol=1.1e-3, err_msg=key)


@pytest.mark.full
def test_without_the_mask_branch_boxes_are_the_same():
    """torchvision's fasterrcnn_resnet50_fpn is its Mask R-CNN without the branch; so is ours."""
    tv = pytest.importorskip("torchvision", reason="needs torchvision 0.28 for the same torch")
    faster = Detector(spec("faster_rcnn_tv-resnet50-800x1344"))
    assert [k for k in ours().state_dict() if not k.startswith("mask_head.")] == list(faster.state_dict())
    model = tv.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    with_masks = theirs(ours())
    assert set(model.state_dict()) == {k for k in with_masks.state_dict() if "mask" not in k}


@pytest.mark.full
def test_mask_targets_are_torchvisions_except_half_a_pixel():
    heads = pytest.importorskip("torchvision.models.detection.roi_heads", reason="needs torchvision 0.28")
    _, targets = scene()
    boxes, _ = drawn_proposals()
    truth = torch.arange(48).remainder(2).expand(2, -1)
    sample = MaskSample(boxes, truth, truth, torch.ones_like(truth, dtype=torch.bool))
    for i, found in enumerate(crops(sample, targets, 28)):
        masks = torch.zeros(len(targets.boxes[i]), *SIZES[i])
        for mask, (x1, y1, x2, y2) in zip(masks, targets.boxes[i].long().tolist(), strict=True):
            mask[y1:y2, x1:x2] = 1
        # Their samples are at pixel corners: shifted by half a pixel, they are where ours are.
        wanted = heads.project_masks_on_boxes(masks, boxes[i] - 0.5, truth[i], 28)
        assert (found - wanted).abs().mean() < 0.01
