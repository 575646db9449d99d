"""For the tests of ensembles: tiny detectors, and a candidate whose boxes are a known function of the pixels."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from paretodet.bench.candidate import ModelInfo
from paretodet.candidate import NetworkCandidate
from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.detectors.worst_case import fill_every_slot
from paretodet.network import detector_network
from paretodet.types import Detections

LABELS = ("a", "b", "c")
SIDE = 96


def tiny(name="faster_rcnn-mobilenet_v1-96-s16-p8", seed=0, *, full=False, labels=LABELS):
    """A narrow detector whose random weights keep every map at about unit scale, so that positions differ."""
    made = spec(name, Override(labels=labels))
    made = replace(made, backbone=replace(made.backbone, width=0.125))
    detector = build(fill_every_slot(made) if full else made, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = {name: each for name, each in detector.named_modules() if isinstance(each, nn.Conv2d | nn.Linear)}
        for layer in layers.values():
            nn.init.kaiming_normal_(layer.weight)
    with torch.no_grad():
        next(iter(layers.values())).weight *= detector.deviation.mean() / 100
        for name in (name for name in layers if name.endswith("boxes")):
            layers[name].weight *= 0.3
    return NetworkCandidate(detector_network(detector))


def random_images(count=2, height=70, width=100, seed=0):
    return [np.random.default_rng(seed + i).integers(0, 256, (height, width, 3), dtype=np.uint8) for i in range(count)]


def run(candidate, images):
    sizes = torch.tensor([image.shape[:2] for image in images], dtype=torch.float32)
    return candidate.finish(candidate.infer(candidate.prepare(images)), sizes)


def filled(found, image=0):
    """Rows (score, label, x1, y1, x2, y2) of the filled slots."""
    rows = torch.cat([found.scores[image, :, None], found.labels[image, :, None], found.boxes[image]], 1)
    return rows[found.scores[image] > 0]


def detections(*rows, slots=None):
    """Detections of one image from rows (score, label, x1, y1, x2, y2)."""
    table = torch.zeros(slots or max(len(rows), 1), 6)
    if rows:
        table[: len(rows)] = torch.tensor(rows, dtype=torch.float32)
    return Detections(table[None, :, 2:], table[None, :, 0], table[None, :, 1].long())


class Blocks:
    """Detects the box around the pixels of brightness 50, 100, 150 and 200; scores and labels follow from it."""

    name = "blocks"
    labels = ("dim", "gray", "pale", "bright")

    def prepare(self, images):
        return [image.copy() for image in images]

    def infer(self, batch):
        return [self._rows(image) for image in batch]

    def finish(self, outputs, sizes):
        return Detections(*(torch.cat(column) for column in list(zip(*outputs, strict=True))[:3]))

    def facts(self):
        return ModelInfo(
            height=8,
            width=8,
            classes=4,
            parameters=5,
            buffers=1,
            macs=7,
            macs_other=0,
            activations_mib=2.0,
            artefact="x",
        )

    def _rows(self, image):
        found = []
        for label, level in enumerate((50, 100, 150, 200)):
            ys, xs = np.nonzero(image[:, :, 0] == level)
            if len(ys):
                found.append((level / 250, label, xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
        rows = detections(*sorted(found, reverse=True), slots=4)
        return rows.boxes, rows.scores, rows.labels


def painted(*blocks, height=60, width=80):
    """A black image with blocks (brightness, x1, y1, x2, y2)."""
    image = np.zeros((height, width, 3), np.uint8)
    for level, x1, y1, x2, y2 in blocks:
        image[y1:y2, x1:x2] = level
    return image
