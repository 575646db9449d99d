"""Checks of what COCO's instances files alone state."""

from collections.abc import Iterator

import numpy as np

from paretodet.labels.lint.check import check
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.subject import LabeledSplit, Subject
from paretodet.labels.model import NO_ID, Labels
from paretodet.labels.rle import Polygons

APART = 4.0  # px between a box and the bounds of its outline; in COCO's files it is less
SHARE = 0.05  # of the box's side, if that is more
ROOM = 1.01  # an area may be so much of its box's


def repeated_ids(data: Labels) -> Iterator[tuple[int, int, int]]:
    """(row, its id, the row that has it already) in the file's order; the last is -1 for an id that is missing."""
    assert data.ids is not None
    order = np.argsort(data.numbers, kind="stable")
    known = dict[int, int]()
    for row, key in zip(order.tolist(), data.ids[order].tolist(), strict=True):
        if key == NO_ID or key in known:
            yield row, key, known.get(key, -1)
        known.setdefault(key, row)


@check(
    "annotation-id-repeated",
    "fault",
    "Give every annotation a different id: evaluators identify annotations by their ids.",
)
def id_repeated(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        for row, key, first in repeated_ids(part.data):
            known = f"id {key} is that of {part.at(first, '').place}"
            yield part.at(row, "it has no whole number as id" if key == NO_ID else known)


@check("area-wrong", "warning", "Write the area of the outline, or of the box if there is none, in px².")
def area_wrong(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        assert part.data.areas is not None
        sides = (part.data.boxes[:, 2:] - part.data.boxes[:, :2]).astype(np.float64)
        areas, boxes = part.data.areas, sides.prod(1)
        whole = part.data.outside <= APART
        wrong = np.isnan(areas) | (areas <= 0) | (whole & (areas > boxes * ROOM + sides.sum(1)))
        for row in np.flatnonzero(wrong).tolist():
            stated = "none, and COCO's evaluators need one" if np.isnan(areas[row]) else f"{areas[row]:.1f} px²"
            yield part.at(row, f"its area is {stated}; its box has {boxes[row]:.1f} px²")


@check("mask-beside-box", "warning", "Take the bounds of the outline as the box, or draw the outline again.")
def mask_beside_box(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        for row, bounds in _polygon_bounds(part):
            box, (height, width) = part.data.boxes[row], part.data.sizes[part.owners[row]].tolist()
            gaps = np.abs(bounds.clip(0, [width, height] * 2) - box)
            if (gaps > np.maximum(APART, SHARE * np.tile(box[2:] - box[:2], 2))).any():
                yield part.at(row, f"its outline ends {gaps.max():.1f} px from its box")


@check("crowd-of-polygons", "warning", "Set iscrowd to 0 if it is one object: crowds are neither learned nor required.")
def crowd_of_polygons(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        for row in np.flatnonzero(part.data.crowd & part.data.outlined).tolist():
            if isinstance(part.data.mask(row), Polygons):
                yield part.at(row, "it is a crowd, but has polygons as one object has")


@check(
    "ignore-unread",
    "warning",
    "Set iscrowd to 1 if the object is neither to be learned nor required: COCO's evaluators do not read `ignore`.",
)
def ignore_unread(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        assert part.data.ignored is not None
        for row in np.flatnonzero(part.data.ignored).tolist():
            yield part.at(row, "it is marked to be ignored, and counts as any other object")


def _polygon_bounds(part: LabeledSplit) -> Iterator[tuple[int, np.ndarray]]:
    """(row, [4] xyxy px) of every box that has polygons."""
    for row in np.flatnonzero(part.data.outlined).tolist():
        if isinstance(mask := part.data.mask(row), Polygons):
            points = np.concatenate(mask.rings).reshape(-1, 2)
            yield row, np.concatenate([points.min(0), points.max(0)])
