"""Checks of what only COCO's files say: ids of annotations, areas, outlines against boxes."""

from array import array
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from paretodet.labels.json_stream import elements
from paretodet.labels.lint.finding import Place, check
from paretodet.labels.lint.subject import LabeledSplit, Subject

APART = 4.0  # px between a box and the bounds of its outline; COCO's own are closer
SHARE = 0.05  # of the box's side, where that is more
ROOM = 1.01  # an area may be so much of its box's
NONE = -(2**63)  # in place of an id that is none


class Written:
    """The annotations of a file by their numbers, whether a reader keeps them or not."""

    def __init__(self, file: Path) -> None:
        self.ids, self.areas, self.polygons, self.crowd = array("q"), array("d"), array("b"), array("b")
        self._bounds = array("f")
        for key, number, each in elements(file):
            if key == "annotations" and number >= 0:
                self._take(each if isinstance(each, dict) else {})

    def _take(self, annotation: dict[str, Any]) -> None:
        key, outline = annotation.get("id"), annotation.get("segmentation")
        self.ids.append(key if type(key) is int and abs(key) < -NONE else NONE)
        self.areas.append(_number(annotation.get("area")))
        self.polygons.append(isinstance(outline, list) and bool(outline))
        self.crowd.append(bool(annotation.get("iscrowd")))
        self._bounds.extend(_bounds(outline))

    @property
    def bounds(self) -> np.ndarray:
        """[A, 4] xyxy of polygons, px; NaN where there is none."""
        return np.array(self._bounds).reshape(-1, 4)


@lru_cache(maxsize=8)
def written(part: LabeledSplit) -> Written:
    """Several checks and the cleaned copy ask for it; the file is read once."""
    return Written(part.file)


@check("annotation-id-repeated", "fault", "Give every annotation an id of its own: evaluators count by it.")
def id_repeated(subject: Subject) -> Iterator[Place]:
    for part in _coco(subject):
        known = dict[int, int]()
        for number, key in enumerate(written(part).ids):
            if key == NONE or key in known:
                said = (
                    f"id {key} is that of annotations[{known[key]}]" if key != NONE else "it has no whole number as id"
                )
                yield Place(part.file, f"annotations[{number}]", said)
            known.setdefault(key, number)


@check("area-wrong", "warning", "Write the area of the outline, or of the box where there is none, in px².")
def area(subject: Subject) -> Iterator[Place]:
    for part in _coco(subject):
        sides = (part.data.boxes[:, 2:] - part.data.boxes[:, :2]).astype(np.float64)
        areas, boxes = np.array(written(part).areas)[part.data.numbers], sides.prod(1)
        whole = part.data.outside <= APART
        wrong = np.isnan(areas) | (areas <= 0) | (whole & (areas > boxes * ROOM + sides.sum(1)))
        for row in np.flatnonzero(wrong).tolist():
            said = "none, and COCO's evaluators need one" if np.isnan(areas[row]) else f"{areas[row]:.1f} px²"
            yield part.at(row, f"its area is {said}; its box has {boxes[row]:.1f} px²")


@check("mask-beside-box", "warning", "Take the bounds of the outline as the box, or draw the outline again.")
def beside(subject: Subject) -> Iterator[Place]:
    for part in _coco(subject):
        boxes = part.data.boxes
        limits = np.tile(part.data.sizes[:, ::-1], 2)[part.owners]
        bounds = np.clip(written(part).bounds[part.data.numbers], 0, limits)
        allowed = np.maximum(APART, SHARE * np.tile(boxes[:, 2:] - boxes[:, :2], 2))
        for row in np.flatnonzero((np.abs(bounds - boxes) > allowed).any(1)).tolist():
            gap = np.abs(bounds[row] - boxes[row]).max()
            yield part.at(row, f"its outline ends {gap:.1f} px from its box")


@check(
    "crowd-of-polygons", "warning", "Set iscrowd to 0 if it is one object: crowds are neither learned nor asked for."
)
def crowd(subject: Subject) -> Iterator[Place]:
    for part in _coco(subject):
        found = written(part)
        for number in np.flatnonzero(np.array(found.crowd) & np.array(found.polygons)).tolist():
            yield Place(part.file, f"annotations[{number}]", "it is a crowd, but has polygons as one object has")


def _coco(subject: Subject) -> tuple[LabeledSplit, ...]:
    return subject.parts if subject.format == "coco" else ()


def _number(value: Any) -> float:
    try:
        return float(value) if type(value) in (int, float) else np.nan
    except OverflowError:
        return np.nan


def _bounds(outline: Any) -> tuple[float, ...]:
    try:
        points = np.concatenate([np.array(ring, np.float64) for ring in outline]).reshape(-1, 2)
        return (*points.min(0).tolist(), *points.max(0).tolist())
    except (TypeError, ValueError, OverflowError):
        return (np.nan,) * 4


CHECKS = (id_repeated, area, beside, crowd)
