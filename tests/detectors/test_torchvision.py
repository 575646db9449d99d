"""Our SSD300 and RetinaNet equal torchvision 0.28's with the same random weights, from images to losses.

The short tier compares with recorded tensors, the full tier with torchvision itself if it is installed.
"""

from functools import cache

import numpy as np
import pytest
import torch

from paretodet.detectors.detector import mine_all, stage_loss
from paretodet.detectors.families import spec
from paretodet.ops.geometry import center_size, clip
from paretodet.rules.coders import DETECTRON_CLAMP
from record_torchvision_golden import FOLDER, RETINANET, SSD, Found, ours, places, scene, theirs, torchvisions

EACH = pytest.mark.parametrize("name", [RETINANET, SSD])
CLOSE = 1e-4  # of the largest magnitude


@cache
@torch.no_grad()
def mine(name):
    detector, (images, targets) = ours(name), scene(name)
    maps = detector.features(images)
    predictions = detector.refine(maps, detector.propose(maps, images), images)
    references, (stage,) = detector.propose(maps, images), detector.spec.stages
    decoded = stage.coder.decode(predictions.codes, references)
    found = stage.select(decoded, stage.scores(predictions.logits), references.counts, images.sizes)
    noise = torch.rand(decoded.shape[:2])
    losses = stage_loss(
        stage, predictions, mine_all(stage, predictions, references, targets, images.sizes, noise), targets
    )
    full = (found.scores > 0).sum(1).tolist()
    cut = {f: tuple(v[i, :n] for i, n in enumerate(full)) for f, v in found._asdict().items() if v is not None}
    return Found(
        predictions.codes,
        predictions.logits,
        references.boxes,
        decoded,
        **cut,
        losses=torch.stack([losses["box"], losses["score"]]),
    )


@cache
def recorded(name):
    with np.load(FOLDER / f"{name}-torchvision.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


@cache
def live(name):
    pytest.importorskip("torchvision", reason="needs torchvision 0.28 for the same torch")
    return torchvisions(name, theirs(name, ours(name)), *scene(name))


def same_detections(mine, wanted):
    """(boxes, scores, labels) of one image, matched by coordinates, not by slot: nearly equal scores may swap or drop
    out. Not by overlap, because some boxes are clipped to boxes without area.
    """
    assert len(mine[0]) == len(wanted[0])
    same = ((mine[0][:, None] - wanted[0]).abs().amax(-1) < 0.02) & (mine[2][:, None] == wanted[2])
    same &= (mine[1][:, None] - wanted[1]).abs() < CLOSE
    assert same.any(0).float().mean() > 0.98 and same.any(1).float().mean() > 0.98
    torch.testing.assert_close(mine[1], wanted[1], atol=CLOSE, rtol=0)


@EACH
@pytest.mark.parametrize("field", ["codes", "logits", "decoded"])
def test_predictions_equal_the_record(name, field):
    wanted = recorded(name)
    found = torch.from_numpy(places(mine(name))[field])
    assert (found - wanted[field]).abs().max() <= CLOSE * wanted[f"{field}_largest"]


@EACH
def test_references_equal_the_record(name):
    found = torch.from_numpy(places(mine(name))["anchors"])
    torch.testing.assert_close(found, recorded(name)["anchors"], atol=2e-4, rtol=0)


@EACH
@pytest.mark.parametrize("image", [0, 1])
def test_detections_equal_the_record(name, image):
    found, wanted = mine(name), recorded(name)
    same_detections(
        (found.boxes[image], found.scores[image], found.labels[image]),
        tuple(wanted[f"{field}_{image}"] for field in ("boxes", "scores", "labels")),
    )


@EACH
def test_losses_equal_the_record(name):
    torch.testing.assert_close(mine(name).losses, recorded(name)["losses"], rtol=1e-4, atol=0)


@EACH
@pytest.mark.full
def test_everything_equals_torchvision(name):
    wanted, found = live(name), mine(name)
    for field in ("codes", "logits", "decoded", "anchors"):
        ours_, theirs_ = getattr(found, field), getattr(wanted, field)
        assert (ours_ - theirs_).abs().max() <= CLOSE * theirs_.abs().max(), field
    for image in range(2):
        same_detections(*((f.boxes[image], f.scores[image], f.labels[image]) for f in (found, wanted)))
    torch.testing.assert_close(found.losses, wanted.losses, rtol=1e-4, atol=0)


@EACH
@pytest.mark.full
def test_the_record_is_torchvisions(name):
    found, wanted = places(live(name)), recorded(name)
    for image in range(2):  # matched, as another build of torch swaps nearly equal scores
        fields = [f"{field}_{image}" for field in ("boxes", "scores", "labels")]
        same_detections([torch.from_numpy(found.pop(key)) for key in fields], [wanted[key] for key in fields])
    for key, value in found.items():
        np.testing.assert_allclose(value, wanted[key].numpy(), rtol=1e-3, atol=1e-3, err_msg=key)


def test_where_torchvisions_ssd_differs_from_liu_et_als():
    """The two oblongs of the last level, 261 * sqrt(2) px long, and many decoded boxes pass the canvas; decoded sizes
    are bounded as in Detectron.
    """
    maps = tuple(torch.zeros(1, 1, side, side) for side in (38, 19, 10, 5, 3, 1))
    theirs_, lius = (spec(f"{family}-vgg16-300") for family in ("ssd_tv", "ssd_liu"))
    bounded, free = (center_size(made.anchors(maps, (300, 300)).boxes)[1] for made in (theirs_, lius))
    assert free[free > 300].tolist() == [pytest.approx(261 * 2**0.5)] * 2
    assert torch.equal(bounded, free.clamp(max=300))
    outside = (clip(mine(SSD).decoded, torch.full((2, 2), 300.0)) != mine(SSD).decoded).any(-1)
    assert outside.float().mean() > 0.1
    assert (theirs_.stages[0].select.clip, lius.stages[0].select.clip) == ("before", "after")
    assert (theirs_.stages[0].coder.clamp, lius.stages[0].coder.clamp) == (DETECTRON_CLAMP, None)
