"""Checks of the boxes that the readers keep."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from paretodet.labels.lint.check import check
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.subject import LabeledSplit, Subject
from paretodet.labels.model import MAX_BOXES, SkipKind
from paretodet.labels.overlaps import overlaps

OUTSIDE = 1.0  # px: less is rounding
CANVAS = 640  # px of the longer side, at which a box is called tiny
TINY = 2.0  # px of its shorter side there
WHOLE = 0.99  # of the image's area
THIN = 20.0  # longer side to shorter
ALIKE = 0.95  # IoU
ROWS = 512  # of boxes that are compared with all boxes of an image at once
CONSEQUENCES = (  # of a mistake that all boxes have
    "area-wrong", "box-cut", "box-empty", "box-outside", "box-repeated", "box-swapped", "box-thin", "box-tiny",
    "box-whole", "mask-beside-box",
)  # fmt: skip


@check(
    "boxes-misread",
    "fault",
    "Write every box in the unit and the order of the format: all of them have the same mistake.",
    hides=CONSEQUENCES,
)
def misread(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        if part.data.misreading is not None:
            yield Place(part.file, "", str(part.data.misreading))


@check("boxes-oriented", "warning", "Nothing to do if the upright boxes around them are what you need.")
def oriented(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        if turning := part.data.turning:
            yield Place(part.file, part.split, turning)


@check("box-cut", "warning", "Correct the box: it is clipped to the image.")
def cut(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        for row in np.flatnonzero(part.data.outside > OUTSIDE).tolist():
            yield part.at(row, f"the box extends {part.data.outside[row]:.1f} px beyond its image")


@check("box-tiny", "warning", "Remove it if it is a mistake; else choose a large input size or crop the images.")
def tiny(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        sides = _sides(part)
        scale = np.minimum(1, CANVAS / part.data.sizes.max(1, initial=1))[part.owners]
        for row in np.flatnonzero(sides.min(1) * scale < TINY).tolist():
            yield part.at(row, f"the box is {_size(sides[row])}, less than {TINY:g} px in an image of {CANVAS} px")


@check("box-whole", "note", "Check that it marks an object and not the whole image.")
def whole(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        areas = _sides(part).prod(1) / part.data.sizes[part.owners].astype(np.float64).prod(1)
        for row in np.flatnonzero(areas >= WHOLE).tolist():
            yield part.at(row, "the box is as large as its image")


@check("box-thin", "note", "Check whether it is a mistake.")
def thin(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        sides = _sides(part)
        for row in np.flatnonzero(sides.max(1) > THIN * sides.min(1)).tolist():
            yield part.at(row, f"the box is {_size(sides[row])}")


@check("box-repeated", "warning", "Remove one: the same object is learned and expected twice.")
def repeated(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        for first, second in _alike(part):
            if part.data.classes[first] == part.data.classes[second]:
                yield part.at(second, f"nearly the box of {part.at(first, '').place}, of the same class")


@check("box-of-two-classes", "warning", "Keep the right class, unless both are right.")
def two_classes(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        for first, second in _alike(part):
            one, other = (part.data.labels[part.data.classes[row]] for row in (first, second))
            if one != other:
                yield part.at(second, f"{other!r} on nearly the box of {part.at(first, '').place}, {one!r}")


@check(
    "image-crowded", "note", f"Cut the image into several: training takes the {MAX_BOXES} largest boxes of an image."
)
def crowded(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        counts = np.diff(part.data.offsets)
        for index in np.flatnonzero(counts > MAX_BOXES).tolist():
            yield Place(part.files[index], "", f"it has {counts[index]} boxes")


@check("image-without-boxes", "note", "Nothing to do if the image shows no object: training uses such images too.")
def without(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        for index in np.flatnonzero(np.diff(part.data.offsets) == 0).tolist():
            yield Place(part.files[index], "", "it has no box")


@check(
    "split-without-boxes",
    "fault",
    "Check the folder of the labels: YOLO's are in labels/ if the images are in images/.",
)
def split_without(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        if not len(part.data.boxes) and not part.data.skip_counts.get(SkipKind.ANNOTATION, 0):
            yield Place(part.file, "", f"{part.split} has no box on any of its {len(part.data)} images")


@check("mask-missing", "note", "Outline the object if you train masks.")
def mask_missing(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        empty = ~part.data.outlined
        if part.data.outlines is not None:
            for row in np.flatnonzero(empty).tolist():
                yield part.at(row, "it has no outline, but others have one")


def _sides(part: LabeledSplit) -> np.ndarray:
    """[M, 2] width and height, px."""
    boxes = part.data.boxes.astype(np.float64)
    return boxes[:, 2:] - boxes[:, :2]


@lru_cache(maxsize=8)  # for two checks; a part is equal only to itself
def _alike(part: LabeledSplit) -> list[tuple[int, int]]:
    """Pairs of boxes of one image that nearly coincide, the first one first; without crowds."""
    xywh, crowd, pairs = np.hstack([part.data.boxes[:, :2], _sides(part)]), part.data.crowd, list[tuple[int, int]]()
    for start, end in zip(part.data.offsets[:-1].tolist(), part.data.offsets[1:].tolist(), strict=True):
        rows = start + np.flatnonzero(~crowd[start:end])
        for at in range(0, len(rows), ROWS):
            some, rest = rows[at : at + ROWS], rows[at:]
            close = overlaps(xywh[some], xywh[rest], np.zeros(len(rest), bool)) > ALIKE
            firsts, seconds = np.nonzero(np.triu(close, 1))
            pairs += zip(some[firsts].tolist(), rest[seconds].tolist(), strict=True)
    return pairs


def _size(sides: np.ndarray) -> str:
    return f"{sides[0]:.1f}x{sides[1]:.1f} px"


CHECKS = (
    misread,
    oriented,
    cut,
    tiny,
    whole,
    thin,
    repeated,
    two_classes,
    crowded,
    without,
    split_without,
    mask_missing,
)
