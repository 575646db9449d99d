"""Checks of what the readers left out: one check for every group of reasons."""

import re
from collections.abc import Iterator
from functools import partial

from paretodet.labels.lint.check import Check
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.subject import Subject

REASONS: tuple[tuple[str, str, str], ...] = (  # name of the check, the pattern of the reasons, the fix
    (
        "box-without-image",
        r"^its image is not among",
        "Add the image to `images`, or remove the annotation.",
    ),
    (
        "category-unknown",
        r"^its category is not among|^class -?\d+, the yaml",
        "Name the category, or correct the number: COCO's ids are those of `categories`, YOLO's count from 0.",
    ),
    ("field-malformed", r"^(id|image_id|category_id|file_name|iscrowd) is", "Write the field: ids are whole numbers."),
    ("image-size-malformed", r"^(height|width)[ ,]", "Write the image's height and width in pixels."),
    (
        "label-file-unreadable",
        r".cannot be read \(|. is larger than",
        "Save the labels as UTF-8 text.",
    ),
    ("box-not-finite", r"^the box holds a number that is not finite", "Draw the box again, or remove it."),
    (
        "box-swapped",
        r"^the box has swapped corners",
        "Exchange the corners; COCO's boxes are x, y, width, height, no corners.",
    ),
    ("box-empty", r"^the box has no area", "Draw the box again, or remove it."),
    (
        "box-outside",
        r"^no part of the box is inside",
        "Check that the box belongs to this image, and whether its numbers are pixels of this size.",
    ),
    ("box-malformed", r"^bbox ", "Write bbox as four numbers: x, y, width, height in pixels."),
    ("mask-of-another-size", r"^the mask was drawn for another size", "Draw the mask on the image as it is labeled."),
    ("mask-malformed", r"^segmentation", "Export the mask again, or remove `segmentation`: the box stays."),
    ("image-id-repeated", r"^id .* is another image's", "Give every image another id."),
    ("name-unsafe", r"^file name .* leaves the folder", "Write file names relative to the folder of the images."),
    (
        "line-malformed",
        r"numbers after the class|is not a class number and numbers",
        "Write a class number and x, y, width, height, or a polygon's corners; no confidence, no names.",
    ),
    (
        "line-not-normalized",
        r"^a number is no fraction",
        "Divide x and width by the image's width, y and height by its height.",
    ),
    ("set-names-missing", r"though the image set names it", "Add the xml, or remove the line from the image set."),
    (
        "shape-unread",
        r"^<\w+> is no box",
        "Draw a box, a polygon or a mask around the object: other shapes say nothing of its extent.",
    ),
    (
        "xml-malformed",
        r"no xml|document type|elements inside|is not <annotation>|^<|^object\[",
        "Export the xml again: <size>, and <name> and <bndbox> of every object, are needed.",
    ),
)
IMAGES = {
    "image-missing": r"^no such file$",
    "image-unreadable": r"^not an? |^cannot be read|^too many|limit is",
}
REST = ("entry-unusable", r"", "Correct the entry, or remove it.")


def _kind(reason: str) -> str:
    """The name of the first check whose pattern matches; `REST` matches every reason."""
    patterns = IMAGES | {name: pattern for name, pattern, _ in (*REASONS, REST)}
    return next(name for name, pattern in patterns.items() if re.search(pattern, reason))


def reported(name: str, subject: Subject) -> Iterator[Place]:
    """What the readers left out for a reason of this check."""
    for part in subject.parts:
        for each in part.data.skipped:
            if _kind(each.reason) == name:
                yield Place(each.file, each.place, each.reason)


def _beyond(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        if more := part.data.skips - len(part.data.skipped):
            text = f"{part.split}: {more} more were left out, only the first {len(part.data.skipped)} are listed"
            yield Place(part.file, "", text)


CHECKS = (
    *(Check(name, "fault", fix, partial(reported, name)) for name, _, fix in (*REASONS, REST)),
    Check("more-left-out", "fault", "Correct what is listed and examine again.", _beyond),
)
