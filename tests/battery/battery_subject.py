"""One entry of the battery: narrow, on a small canvas, with weights that keep every map at unit scale."""

import re
from dataclasses import replace
from functools import cached_property
from itertools import pairwise

import torch
from battery_cover import form
from torch import nn

from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.detectors.scale_width import scale_width
from paretodet.export.onnx import exported
from paretodet.necks.fpn import FPN
from paretodet.ops.geometry import iou
from paretodet.types import Images, Targets
from unit_scale import with_unit_scale

FACTOR = 0.125
SIDES = range(96, 641, 32)  # at 96 the smallest anchors of 64 px are inside
LABELS = (None, "a", "b", "c")  # torchvision's families have an unused slot first
PROPOSALS = 12


class Subject:
    """What the tests of one entry share: the detector, its images, its detections and its exported program.

    Without `repeats`, of like blocks in a row in the backbone only the first is there; pyramids, towers and cascades
    are short.
    """

    def __init__(self, name, *, repeats=True):
        made = few(smallest(name))
        self.spec = scale_width(made if repeats else shallow(made), FACTOR)
        self.detector = built(self.spec, seed=0)
        if not repeats:
            remove_repeats(self.detector, self.images)
        with_unit_scale(self.detector, self.images)

    @cached_property
    def images(self):
        """Two images, the second smaller than its canvas."""
        height, width = self.spec.height, self.spec.width
        pixels = torch.randint(0, 256, (2, 3, height, width), generator=torch.Generator().manual_seed(0))
        sizes = torch.tensor([[height, width], [height - 7, width - 20]])
        return Images(pixels.to(torch.uint8), sizes.float())

    @cached_property
    def first(self):
        return only(self.images, 0)

    @cached_property
    @torch.no_grad()
    def found(self):
        return self.detector(self.images)

    @cached_property
    @torch.no_grad()
    def found_first(self):
        return self.detector(self.first)

    @cached_property
    def program(self):
        return exported(self.detector, strict=True)

    def targets(self, truths):
        """Three slots for ground truths in each image; `truths` of them are used."""
        height, width = self.spec.height, self.spec.width
        sides = torch.tensor([width, height, width, height])
        boxes = torch.tensor([[0.1, 0.1, 0.6, 0.8], [0.1, 0.3, 0.8, 0.8], [0.4, 0.1, 0.5, 0.2]]) * sides
        valid, crowd = (torch.arange(3) < truths).expand(2, 3), torch.zeros(2, 3, dtype=torch.bool)
        masks = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(0)) if self.spec.masks else None
        return Targets(boxes.expand(2, 3, 4), torch.tensor([[1, 2, 3]] * 2), valid, crowd, masks)

    @cached_property
    def noise(self):
        return torch.rand(2, 40000, generator=torch.Generator().manual_seed(0))


def smallest(name):
    """The entry at the first of `SIDES` that its family supports with the same network; never square."""
    whole = spec(name, Override(labels=LABELS))
    proposals = None if whole.proposals is None or "-p" not in name else PROPOSALS
    for side in SIDES:
        try:
            small = spec(name, Override(height=side, width=side + 32, labels=LABELS, proposals=proposals))
        except ValueError:
            continue
        if form(small) == form(whole):
            return small
    raise ValueError(f"{name}: no canvas of {SIDES} will do")


def few(made):
    """At most `PROPOSALS` proposals, in training too, so that region stages are fast."""
    first, *later = made.stages
    return replace(made, stages=(fewer(first) if later else first, *later))


def fewer(stage):
    selects = {name: getattr(stage, name) for name in ("select", "train_select")}
    return replace(stage, **{name: select and replace(select, keep=PROPOSALS) for name, select in selects.items()})


def shallow(made):
    """A pyramid on two maps of the backbone, or one if more than two stages or masks follow, of the highest resolution;
    one layer in each tower; two region stages.
    """
    if not isinstance(made.neck, FPN):
        return made
    left_out = len(made.backbone.taps) - (1 if made.masks or len(made.stages) > 2 else 2)
    repeated = made.stages[2] if len(made.stages) > 3 else None
    levels = {"strides", "sides"} & vars(made.anchors).keys()
    return replace(
        made,
        backbone=replace(made.backbone, taps=made.backbone.taps[:-left_out]),
        anchors=replace(made.anchors, **{name: getattr(made.anchors, name)[:-left_out] for name in levels}),
        stages=tuple(replace(each, head=shallow_head(each.head, left_out)) for each in made.stages if each != repeated),
        masks=made.masks and replace(made.masks, head=shallow_head(made.masks.head, left_out)),
    )


def shallow_head(head, left_out):
    changes = {"convs": 1} if hasattr(head, "convs") else {}
    if hasattr(head, "crop"):
        changes["crop"] = replace(head.crop, strides=head.crop.strides[:-left_out])
    return replace(head, **changes)


def built(made, seed):
    torch.manual_seed(seed)
    return Detector(made).eval()


@torch.no_grad()
def remove_repeats(detector, images):
    """In the backbone, a block that keeps the shape of its map and is like the one before it passes on what it gets."""
    shapes = {}
    blocks = [block for row in rows_of_blocks(detector.backbone) for block in row.children()]
    handles = [
        block.register_forward_hook(lambda block, given, got: keep(shapes, block, given, got)) for block in blocks
    ]
    detector.features(images)
    for handle in handles:
        handle.remove()
    for row in rows_of_blocks(detector.backbone):
        named = list(row.named_children())
        for (_, before), (name, block) in pairwise(named):
            if kind(block) == kind(before) and len(set(shapes.get(block, ()))) == 1:
                setattr(row, name, nn.Identity())


def rows_of_blocks(backbone):
    """The modules whose children follow each other."""
    return [each for each in backbone.modules() if isinstance(each, nn.Sequential | nn.ModuleDict | nn.ModuleList)]


def keep(shapes, block, given, got):
    shapes[block] = given[0].shape, got.shape


def kind(block):
    """What the layers of a block are, without their numbers of channels."""
    return re.sub(r"(\w+2d\()\d+(, \d+)?|groups=\d+", r"\1", repr(block))


def only(images, index):
    return Images(*(field[index : index + 1] for field in images))


def matched(found, wanted):
    """The share of `wanted` detections for which there is one with the same label, score and box."""
    apart = (found.boxes[:, :, None] - wanted.boxes[:, None]).abs().amax(-1)
    near = (iou(found.boxes, wanted.boxes) > 0.99) | (apart < 0.01)  # boxes without area overlap nothing
    same = found.labels[:, :, None] == wanted.labels[:, None]
    close = (found.scores[:, :, None] - wanted.scores[:, None]).abs() < 1e-3
    filled = wanted.scores > 0
    hit = (near & same & close).any(1) & filled
    return hit.sum().item() / max(filled.sum().item(), 1)


def fell_together(one, other):
    """The smaller share of matches, in both directions."""
    return min(matched(one, other), matched(other, one))
