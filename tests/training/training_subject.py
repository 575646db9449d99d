"""Small detectors and drawn batches to train them on; run as a script, a training that a test kills."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.detectors.scale_width import scale_width
from paretodet.detectors.trainable_norms import trainable_norms
from paretodet.layers.frozen import FrozenNorm2d
from paretodet.training.inputs import TrainingBatch, select_images
from paretodet.training.loop import CheckpointPolicy, training_loop
from paretodet.training.quick_recipe import quick_recipe
from paretodet.types import Images, Targets

SHAPES = {
    "one stage": "ssd-mobilenet_v1-300",
    "two stages": "faster_rcnn-mobilenet_v1-300-s16-p10",
    "yolo": "yolo_v3_tiny-416",
}
SIDE = 128


def side(name):
    """Side of the canvas, px: the extra layers of Liu et al. and torchvision need a larger one."""
    return 300 if name.startswith(("ssd_liu", "ssd_tv")) else SIDE


def small(name, width=0.125, labels=("square", "bar"), proposals=20):
    """A narrow detector with a small canvas, trainable norms and few proposals."""
    return few(scale_width(trainable_norms(spec(name, Override(height=side(name), labels=labels))), width), proposals)


def few(made, proposals):
    """The spec with this number of proposals in training, if it has a proposal stage."""
    first, *rest = made.stages
    if rest:
        first = replace(first, train_select=replace(first.train_select or first.select, keep=proposals))
    return replace(made, stages=(first, *rest))


def built(name, seed=0, **choices):
    torch.manual_seed(seed)
    return Detector(small(name, **choices))


def fixed(name, side=SIDE, labels=("square", "bar")):
    """A detector with frozen norms, so that images of a batch do not affect each other."""
    torch.manual_seed(0)
    detector = Detector(few(scale_width(spec(name, Override(height=side, labels=labels)), 0.125), 20))
    for norm in detector.modules():
        if isinstance(norm, FrozenNorm2d):
            norm.running_var.fill_(0.7)
    return detector


def drawn(index, count=2, side=SIDE):
    """`count` images with one bright square and one dark bar each, determined by `index` and the position in
    the batch.
    """
    noise = torch.Generator().manual_seed(index)
    pixels = torch.randint(100, 140, (count, 3, side, side), dtype=torch.uint8, generator=noise)
    boxes = torch.zeros(count, 3, 4)
    for image in range(count):
        x, y = (int(v) for v in torch.randint(4, 40, (2,), generator=noise))
        boxes[image, 0] = torch.tensor([x, y, x + 40, y + 40])
        boxes[image, 1] = torch.tensor([x + 20, y + 50, x + 70, y + 75])
        pixels[image, :, y : y + 40, x : x + 40] = torch.tensor([250, 220, 20], dtype=torch.uint8)[:, None, None]
        pixels[image, :, y + 50 : y + 75, x + 20 : x + 70] = 10
    valid = torch.tensor([[True, True, False]]).expand(count, 3).clone()
    labels = torch.tensor([[0, 1, 0]]).expand(count, 3).clone()
    masks = torch.ones(count, 3, 28, 28)  # whole boxes
    targets = Targets(boxes, labels, valid, torch.zeros_like(valid), masks, valid)
    sizes = torch.full((count, 2), float(side))
    return TrainingBatch(Images(pixels, sizes), targets, tuple(index * count + i for i in range(count)))


class Drawn:
    """Endless batches that repeat after `period`."""

    mixed = False

    def __init__(self, period=1000, count=4, shard=(0, 1), side=SIDE):
        self.period, self.count, self.shard, self.side, self.position = period, count, shard, side, 0

    def seek(self, position):
        self.position = position

    def __iter__(self):
        while True:
            self.position += 1
            whole, (rank, processes) = drawn((self.position - 1) % self.period, self.count, self.side), self.shard
            yield select_images(whole, range(rank, self.count, processes))


def recipe(steps=6, **changes):
    return replace(quick_recipe(steps=steps, batch=4), **({"accumulate": 2} | changes))


def run(folder, name, steps, listener=lambda event: None):
    checkpoints = CheckpointPolicy(folder=Path(folder), every=1, keep=2)
    return training_loop(built(name), Drawn(), recipe=recipe(steps), checkpoints=checkpoints, listener=listener)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, shape, steps = sys.argv[1:]
    run(folder, SHAPES[shape], int(steps), lambda event: print(event, flush=True))
