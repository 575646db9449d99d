"""Checks of the image files."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

from paretodet.images import SUFFIXES, TURNED, is_image_name
from paretodet.labels.image_index import alike
from paretodet.labels.lint.check import check
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.reader_errors import MISSING, UNREADABLE, reported
from paretodet.labels.lint.subject import ScannedFiles, Subject, straight
from paretodet.reading import is_file, is_folder

SUFFIX_OF = {"JPEG": (".jpg", ".jpeg", ".jfif"), "PNG": (".png",), "WEBP": (".webp",), "BMP": (".bmp",)}
LONGEST_TO_SHORTEST = 5.0
SMALLEST = 32  # px of a side
DIM = 64  # of 256: brighter than all of 14 bits, if the upper 8 of 16 are read
MODES = {
    "L": "it is gray", "LA": "it is gray, with an alpha channel", "1": "it is black and white", "P": "it has a palette",
    "PA": "it has a palette", "RGBA": "it has an alpha channel", "CMYK": "it is CMYK",
    "I": "it has more than 8 bits a channel", "F": "it holds floating point numbers",
}  # fmt: skip
NEARLY: dict[str, Callable[[str], str]] = {  # what differs -> what is the same
    "case": str.casefold,
    "accents and escaped characters": alike,
    "suffix": lambda name: os.path.splitext(name)[0],
}


@check("image-missing", "fault", "Copy the file there, or remove the image from the labels.")
def missing(subject: Subject) -> Iterator[Place]:
    yield from reported(MISSING, subject)
    listing = _Listing()
    for seen in subject.seen():
        if seen.image.problem == "no such file":
            yield Place(seen.file, "", f"no such file{listing.like(seen.file)}")


@check("image-unreadable", "fault", "Copy the file again from its source, or remove the image from the labels.")
def unreadable(subject: Subject) -> Iterator[Place]:
    yield from reported(UNREADABLE, subject)
    for seen in subject.seen():
        if seen.image.problem and seen.image.problem != "no such file" and seen.image.id != "image-dark":
            yield Place(seen.file, "", seen.image.problem)


@check(
    "image-dark",
    "fault",
    "Write the images as 8 bits, or multiply their values up to 65535: 12 or 14 bits in 16 are read too dark.",
)
def dark(subject: Subject) -> Iterator[Place]:
    for seen in subject.seen():
        if seen.image.problem and seen.image.id == "image-dark":
            yield Place(seen.file, "", seen.image.problem)


@check("image-dim", "warning", "Multiply the values up to 65535 if they are of fewer bits: they are read too dark.")
def dim(subject: Subject) -> Iterator[Place]:
    """One image may be dark; if all of 16 bits a channel are, these are of a camera with fewer."""
    highest = {seen.file: seen.image.highest for seen in subject.seen() if seen.image.highest is not None}
    if highest and 0 < max(highest.values()) < DIM:
        text = f"all values of the {len(highest)} images with 16 bits a channel are below {DIM << 8}, as of 14 bits"
        yield Place(next(iter(highest)), "", text)


@check("size-mismatch", "fault", "Write the image file's size into the labels, and check that the boxes fit it.")
def size_mismatch(subject: Subject) -> Iterator[Place]:
    for seen in subject.seen():
        if _mismatched(seen) and not _unturned(seen):
            yield Place(seen.file, "", f"it is {_size(_own(seen))}, its labels state {_size(_labeled(seen))}")


@check(
    "exif-unturned", "fault", "Remove the EXIF orientation from the file if the boxes fit the pixels as they lie there."
)
def exif_unturned(subject: Subject) -> Iterator[Place]:
    for seen in subject.seen():
        if _unturned(seen):
            text = f"EXIF turns it to {_size(_own(seen))}, but its labels were drawn on {_size(_labeled(seen))}"
            yield Place(seen.file, "", text)


@check("exif-turned", "warning", "Check that the boxes fit the turned image: images are turned as EXIF states.")
def exif_turned(subject: Subject) -> Iterator[Place]:
    for seen in subject.seen():
        if seen.image.head and seen.image.head.orientation != 1 and not _unturned(seen):
            yield Place(seen.file, "", f"EXIF orientation {seen.image.head.orientation}: some tools ignore it")


@check("image-mode", "note", "Nothing to do, it is read as 8-bit RGB; convert it for tools that need RGB.")
def mode(subject: Subject) -> Iterator[Place]:
    for seen in subject.seen():
        head = seen.image.head
        if head and head.mode != "RGB":
            yield Place(seen.file, "", MODES.get(head.mode.partition(";")[0], f"its mode is {head.mode}"))


@check("image-suffix", "note", "Rename the file, also in the labels: other tools may rely on the suffix.")
def suffix(subject: Subject) -> Iterator[Place]:
    for seen in subject.seen():
        head = seen.image.head
        if head and seen.file.suffix.lower() not in SUFFIX_OF.get(head.format, SUFFIXES):
            yield Place(seen.file, "", f"its content is {head.format}")


@check("image-extreme", "note", "Cut it into several images if its objects become too small on a square canvas.")
def extreme(subject: Subject) -> Iterator[Place]:
    for seen in subject.seen():
        height, width = _labeled(seen)
        if max(height, width) > LONGEST_TO_SHORTEST * min(height, width) or min(height, width) < SMALLEST:
            yield Place(seen.file, "", f"it is {_size((height, width))}")


@check("image-listed-twice", "fault", "Keep one entry and give it the boxes of both.")
def listed_twice(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        known = set[Path]()
        for file in part.files:
            if file in known:
                yield Place(file, "", f"{part.split} lists it more than once")
            known.add(file)


@check("image-in-two-splits", "fault", "Keep it in one split: a score on training images proves nothing.")
def in_two_splits(subject: Subject) -> Iterator[Place]:
    for one, other in combinations(subject.parts, 2):
        there = set(other.files)
        for file in dict.fromkeys(one.files):
            if file in there:
                yield Place(file, "", f"it is in {one.split} and in {other.split}")


@check(
    "image-copied-to-another-split",
    "fault",
    "Remove the copy from one split: a score on training images proves nothing.",
    decoded=True,
)
def copied(subject: Subject) -> Iterator[Place]:
    for same in _identical(subject):
        first = same[0]
        for other in same[1:]:
            if other.part is not first.part and other.file != first.file:
                text = f"it has the pixels of {first.file} in {first.part.split}, but is in {other.part.split}"
                yield Place(other.file, "", text)


@check("image-copied", "warning", "Remove the copy, or make sure that both have the same labels.", decoded=True)
def copied_within(subject: Subject) -> Iterator[Place]:
    for same in _identical(subject):
        firsts = dict[str, Path]()
        for seen in same:
            first = firsts.setdefault(seen.part.split, seen.file)
            if first != seen.file:
                yield Place(seen.file, "", f"it has the pixels of {first}")


@check("image-without-labels", "note", "Label it, or ignore this: training does not use it.")
def without_labels(subject: Subject) -> Iterator[Place]:
    known = {file for part in subject.parts for file in part.files}
    known |= {straight(each.file) for part in subject.parts for each in part.data.skipped}
    for folder in sorted({file.parent for file in known if file in subject.images}):
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            if is_image_name(file.name) and file not in known and not _reported(subject, file, known):
                label = subject.label_file(file)
                labeled = label is not None and is_file(label)
                yield Place(file, "", f"{label} is in no split" if labeled else "no labels name it")


@check("name-differs-by-case", "warning", "Rename one: file systems that ignore case hold only one of them.")
def by_case(subject: Subject) -> Iterator[Place]:
    firsts = dict[str, Path]()
    for file in dict.fromkeys(seen.file for seen in subject.seen()):
        first = firsts.setdefault(str(file).casefold(), file)
        if first != file:
            yield Place(file, "", f"there is {first} too")


@check("name-strange", "warning", "Rename the file: other tools or systems may not handle the name.")
def strange(subject: Subject) -> Iterator[Place]:
    for seen in subject.seen():
        name = seen.part.names[seen.number]
        if not name.isprintable() or name != name.strip() or any(letter in '<>:"|?*\\' for letter in name):
            yield Place(seen.file, "", f"its name is {name!r}")


class _Listing:
    """The images of folders, by what their names have in common with those of others."""

    def __init__(self) -> None:
        self._names = dict[Path, list[dict[str, str]]]()

    def like(self, file: Path) -> str:
        """What is there instead under a name that is nearly the same, in words; empty if nothing is."""
        if file.parent not in self._names:
            there = sorted(file.parent.iterdir()) if is_folder(file.parent) else ()
            names = [each.name for each in there if is_image_name(each.name, unread=True)]
            self._names[file.parent] = [{same(name): name for name in names} for same in NEARLY.values()]
        for (what, same), known in zip(NEARLY.items(), self._names[file.parent], strict=True):
            if other := known.get(same(file.name)):
                return f", but there is {other!r}: mind the {what}"
        return ""


def _identical(subject: Subject) -> list[list[ScannedFiles]]:
    """Groups of images with the same pixels, whatever their metadata."""
    groups = defaultdict[bytes, list[ScannedFiles]](list)
    for seen in subject.seen():
        if seen.image.digest:
            groups[seen.image.digest].append(seen)
    return [group for group in groups.values() if len(group) > 1]


def _reported(subject: Subject, file: Path, known: set[Path]) -> bool:
    """Whether the reader has reported why it left out the label file of this image."""
    return subject.label_file(file) in known


def _labeled(seen: ScannedFiles) -> tuple[int, int]:
    height, width = seen.part.data.sizes[seen.number].tolist()
    return height, width


def _own(seen: ScannedFiles) -> tuple[int, int]:
    assert seen.image.head
    return seen.image.head.height, seen.image.head.width


def _mismatched(seen: ScannedFiles) -> bool:
    return seen.image.head is not None and _labeled(seen) != _own(seen)


def _unturned(seen: ScannedFiles) -> bool:
    """The labels state the size before EXIF turns the image."""
    head = seen.image.head
    return head is not None and head.orientation in TURNED and _mismatched(seen) and _labeled(seen) == _own(seen)[::-1]


def _size(size: tuple[int, int]) -> str:
    """Width before height, as users write sizes."""
    return f"{size[1]}x{size[0]} px"


CHECKS = (
    missing,
    unreadable,
    dark,
    dim,
    size_mismatch,
    exif_unturned,
    exif_turned,
    mode,
    suffix,
    extreme,
    listed_twice,
    in_two_splits,
    copied,
    copied_within,
    without_labels,
    by_case,
    strange,
)
