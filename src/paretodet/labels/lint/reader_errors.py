"""Checks of what the readers left out: one check for every id, except the ids of image files."""

from collections.abc import Container, Iterator
from functools import partial

from paretodet.errors import ErrorId
from paretodet.labels.lint.check import Check
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.subject import Subject

FIXES: dict[ErrorId, str] = {
    "box-without-image": "Add the image to `images`, or remove the annotation.",
    "category-unknown": "Name the category, or correct the number: COCO's ids are those of `categories`, YOLO's count "
    "from 0.",
    "field-malformed": "Write the field: ids are whole numbers.",
    "image-size-malformed": "Write the image's height and width in pixels.",
    "label-file-unreadable": "Save the labels as UTF-8 text.",
    "box-not-finite": "Draw the box again, or remove it.",
    "box-swapped": "Exchange the corners; COCO's boxes are x, y, width, height, no corners.",
    "box-empty": "Draw the box again, or remove it.",
    "box-outside": "Check that the box belongs to this image, and whether its numbers are pixels of this size.",
    "box-malformed": "Write bbox as four numbers: x, y, width, height in pixels.",
    "mask-of-another-size": "Draw the mask on the image as it is labeled.",
    "mask-malformed": "Export the mask again, or remove `segmentation`: the box stays.",
    "image-id-repeated": "Give every image another id.",
    "name-unsafe": "Write file names relative to the folder of the images.",
    "line-malformed": "Write a class number, then the numbers of the format; YOLO's have no confidence, no names.",
    "line-not-normalized": "Divide x and width by the image's width, y and height by its height.",
    "set-names-missing": "Add the xml, or remove the line from the image set.",
    "shape-unread": "Draw a box, a polygon or a mask around the object: other shapes say nothing of its extent.",
    "xml-malformed": "Export the xml again: <size>, and <name> and <bndbox> of every object, are needed.",
}
MISSING: tuple[ErrorId, ...] = ("image-missing",)
UNREADABLE: tuple[ErrorId, ...] = ("image-format", "image-too-large", "image-unreadable")
GROUPED = {*FIXES, *MISSING, *UNREADABLE, "split-missing"}


def reported(ids: Container[str], subject: Subject) -> Iterator[Place]:
    """What the readers left out with one of these ids."""
    for part in subject.parts:
        for each in part.data.skipped:
            if each.id in ids:
                yield Place(each.file, each.place, each.reason)


def _missing_splits(subject: Subject) -> Iterator[Place]:
    """Those that are not reported already, as splits of the set that cannot be read."""
    skipped = (each for part in subject.parts for each in part.data.skipped if each.id == "split-missing")
    for each in dict.fromkeys(skipped):
        if each.place not in subject.unread:
            yield Place(each.file, each.place, each.reason)


def _others(subject: Subject) -> Iterator[Place]:
    ids = {each.id for part in subject.parts for each in part.data.skipped}
    yield from reported(ids - GROUPED, subject)


def _beyond(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        if more := part.data.skips - len(part.data.skipped):
            text = f"{part.split}: {more} more were left out, only the first {len(part.data.skipped)} are listed"
            yield Place(part.file, "", text)


CHECKS = (
    *(Check(id, "fault", fix, partial(reported, (id,))) for id, fix in FIXES.items()),
    Check("split-missing", "fault", "Correct the path, or remove the key.", _missing_splits),
    Check("entry-unusable", "fault", "Correct the entry, or remove it.", _others),
    Check("more-left-out", "fault", "Correct what is listed and examine again.", _beyond),
)
