"""From files to a detector's loss: labels of every format, synthetic shapes with masks, one detector of each shape."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from paretodet.detectors.detector import Detector
from paretodet.detectors.families import spec
from paretodet.detectors.scale_width import scale_width
from paretodet.labels.read import read_labels
from paretodet.loader.batches import Batches, Batching
from paretodet.loader.shapes import Shapes
from paretodet.transforms.augment import Flip
from paretodet.transforms.published import DARKNET, SSD_LIU
from paretodet.transforms.resize_policy import ShortSide, Stretch


def test_blood_cells_augmented_as_each_family_trains(data_folder: Path) -> None:
    """Every box has an area inside of its canvas, and most boxes stay."""
    data = read_labels(data_folder / "bccd", split="val")
    for steps, side in ((SSD_LIU, 300), (DARKNET, 416)):
        choices = Batching(fits=(Stretch(height=side, width=side),), images=4, augmentation=steps)
        stream = Batches(data, choices, tell=pytest.fail)
        for batch in islice(stream, 4):
            boxes = batch.targets.boxes[batch.targets.valid]
            assert len(boxes) > 8 and boxes.min() >= 0 and boxes.max() <= side
            assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_photographs_and_their_outlines_in_canvases_that_lie_and_stand(data_folder: Path) -> None:
    data = read_labels(data_folder / "coco_val2017_44")
    fit = ShortSide(short=200, long=333, multiple=32)
    stream = Batches(data, Batching(fits=(fit,), images=4, augmentation=Flip(), masks=14), tell=pytest.fail)
    batches = list(islice(stream, stream.epoch_length))
    assert {tuple(batch.images.pixels.shape[2:]) for batch in batches} == {(224, 352), (352, 224), (352, 352)}
    assert sum(tuple(batch.images.pixels.shape[2:]) == (352, 352) for batch in batches) == 1
    assert sum(int(batch.targets.valid.sum()) for batch in batches) == 304
    assert sum(int(batch.targets.crowd.sum()) for batch in batches) == 3
    for batch in batches:
        assert batch.targets.masks is not None
        covered = batch.targets.masks[batch.targets.valid].mean((1, 2))
        assert (covered > 0.05).all() and covered.mean() < 0.95  # outlines, not boxes


def test_shapes_fill_the_crops_as_their_classes_imply(tmp_path: Path) -> None:
    data = read_labels(Shapes(count=12, height=96, width=96, most=1, scale=(0.4, 0.6)).write(tmp_path))
    choices = Batching(fits=(Stretch(height=96, width=128),), images=12, augmentation=Flip(), masks=28)
    batch = next(iter(Batches(data, choices)))
    assert batch.targets.masks is not None
    promised = {"disc": np.pi / 4, "rectangle": 1.0, "triangle": 0.5}
    for mask, label in zip(batch.targets.masks[:, 0], batch.targets.labels[:, 0], strict=True):
        name = data.labels[int(label)]
        assert abs(float(mask.mean()) - promised[name]) < 0.04, name


@pytest.mark.parametrize("name", ["ssd_liu-vgg16-300", "yolo_v3_tiny-416", "mask_rcnn-resnet50-800x1024"])
def test_a_batch_is_what_a_detectors_loss_takes(tmp_path: Path, name: str) -> None:
    data = read_labels(Shapes(count=2, height=96, width=96).write(tmp_path))
    choices = Batching(fits=(Stretch(height=320, width=320),), images=2, augmentation=Flip(), masks=28, most=8)
    batch = next(iter(Batches(data, choices)))
    detector = Detector(scale_width(spec(name), 0.125)).train()
    noise = torch.from_numpy(np.random.default_rng(0).random((2, 200_000), np.float32))
    terms = detector.loss(batch.images, batch.targets, noise=noise)
    assert terms and all(bool(term.isfinite()) for term in terms.values())
    assert ("masks/mask" in terms) == name.startswith("mask")
