"""Writes a cleaned copy of a data set in COCO's format, without what the checks call faults."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paretodet import writing
from paretodet.errors import InputError
from paretodet.labels.coco_rows import MergedCategories, Row, box_fields, outline_field, write_lists
from paretodet.labels.lint.examine import Examination
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.scan import ScannedImage
from paretodet.labels.lint.subject import LabeledSplit, Subject
from paretodet.labels.model import ABSENT
from paretodet.labels.rle import Polygons, Runs
from paretodet.labels.target import check_new_folder

FIRST = ("test", "val", "dev", "train")  # an image of several splits stays in the first of these, so tests lose none
ROUNDING = 0.01  # px
LONGEST = 200  # bytes of a name that may get a prefix: file systems allow 255


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What was written, and what was left out."""

    folder: Path
    files: tuple[Path, ...]  # of labels
    images: int
    boxes: int
    cut: int  # boxes that were clipped to their images
    left_out: tuple[Place, ...]  # images and splits; what else was left out is in the findings
    not_carried: str  # the fields of the labels that the copy does not have, in words

    def to_json(self) -> Row:
        counts = {"images": self.images, "boxes": self.boxes, "boxes_cut": self.cut}
        left = [each.to_json() for each in self.left_out]
        return {
            "folder": str(self.folder),
            "files": list(map(str, self.files)),
            **counts,
            "left_out": left,
            "not_carried": self.not_carried,
        }


def write_clean(examination: Examination, folder: Path | str) -> Cleaned:
    """Write annotations/instances_<split>.json and images/<split>/ to `folder`, which must be new or empty.

    Images are copied, not linked. Boxes are as the readers return them, inside their images. The copy is written whole
    or not at all.

    Raises ValueError as `check_copy` does, and if nothing would be left.
    """
    folder, subject = Path(folder), examination.subject
    check_copy(subject.path, folder, decoded=examination.decoded)
    if misread := [part for part in subject.parts if part.data.misreading]:
        raise InputError(
            f"fix: {misread[0].file}: {misread[0].data.misreading}; write them as the format does first",
            "labels-malformed",
        )
    chosen = _CleanImages(subject)
    kept = {part.split: chosen.of(part) for part in sorted(subject.parts, key=_rank)}
    whole = [part for part in subject.parts if _boxes(part, kept[part.split])]
    if not whole:
        raise InputError(
            f"fix: no image of {subject.path} is sound and has a box, so there is nothing to write", "labels-none"
        )
    lost = [part for part in subject.parts if part not in whole]
    categories = MergedCategories(whole)
    with writing.written_folder(folder) as temporary:
        boxes = [_write_part(part, kept[part.split], categories, temporary) for part in whole]
    return Cleaned(
        folder=folder,
        files=tuple(_labels_file(folder, part) for part in whole),
        images=sum(len(kept[part.split]) for part in whole),
        boxes=sum(boxes),
        cut=sum(_cut(part, kept[part.split]) for part in whole),
        left_out=(*chosen.left_out, *(Place(part.file, part.split, "no box of it is left") for part in lost)),
        not_carried=examination.form.not_carried(subject.path),
    )


def check_copy(path: Path, folder: Path, *, decoded: bool) -> None:
    """Check before the set at `path` is examined that it can be copied.

    Raises ValueError if `folder` is not empty, lies in the set or cannot be written, or if images are not `decoded`.
    """
    if not decoded:
        raise InputError("fix: images must be decoded to know which are valid; leave --quick out", "option-conflict")
    check_new_folder(folder, "fix", outside=path)


Entries = list[int]  # the entries of a part for one image file, which is written once, with the boxes of all


class _CleanImages:
    """Which images are sound, and why the others are not."""

    def __init__(self, subject: Subject) -> None:
        self.subject, self.left_out = subject, list[Place]()
        self._split_of = dict[Path | bytes | None, str]()

    def of(self, part: LabeledSplit) -> list[Entries]:
        entries = dict[Path, Entries]()
        for index, file in enumerate(part.files):
            image = self.subject.images[file]
            fault = self._fault(part, index, image)
            if not fault and file in entries:
                entries[file].append(index)
                fault = f"{part.split} has it already, which gets the boxes of both"
            if fault := fault or self._seen_in(part, file, image):
                self.left_out.append(Place(file, "", fault))
            else:
                self._split_of.setdefault(image.digest, part.split)
                self._split_of[file] = part.split
                entries[file] = [index]
        return list(entries.values())

    def _fault(self, part: LabeledSplit, index: int, image: ScannedImage) -> str:
        if image.problem or image.head is None:
            return image.problem or "it has no head"
        same = [image.head.height, image.head.width] == part.data.sizes[index].tolist()
        return "" if same else "its size is not that of its labels"

    def _seen_in(self, part: LabeledSplit, file: Path, image: ScannedImage) -> str:
        if file in self._split_of:
            return f"{self._split_of[file]} has it already"
        other = self._split_of.get(image.digest, part.split)
        return "" if other == part.split else f"{other} has a copy of it"


class _Writing:
    """One part on its way into its file. Images keep the ids they have; annotations are counted from 1."""

    def __init__(self, part: LabeledSplit, kept: list[Entries], categories: MergedCategories, folder: Path) -> None:
        self.part, self.kept, self.categories, self.folder, self.boxes = part, kept, categories, folder, 0
        keys = part.data.keys.tolist()
        ids = (part.data.image_id(keys[first]) for first, *_ in kept)
        self._keys: list[int | str] = [*range(1, len(kept) + 1)] if part.data.named else [*ids]
        self._ids = [categories.key(part, label) for label in range(len(part.data.labels))]

    def images(self) -> Iterator[Row]:
        names = _Names()
        for place, (key, entries) in enumerate(zip(self._keys, self.kept, strict=True), 1):
            index = entries[0]
            file, (height, width) = self.part.files[index], self.part.data.sizes[index].tolist()
            name = names.new(file, place)
            with writing.written(self.folder / name) as temporary:
                shutil.copyfile(file, temporary)
            about = {"id": key, "file_name": name, "height": height, "width": width}
            yield about | self._looked_for(entries)

    def _looked_for(self, entries: Entries) -> Row:
        """LVIS's fields of an image; a class that has a box there is not absent."""
        data = self.part.data
        if data.federated is None:
            return {}
        labels = {label for index in entries for label in data[index].labels.tolist()}
        fields = data.federated.to_json(entries[0], self._ids)
        return fields | {ABSENT: [key for key in fields[ABSENT] if key not in {self._ids[label] for label in labels}]}

    def annotations(self) -> Iterator[Row]:
        for key, entries in zip(self._keys, self.kept, strict=True):
            for row, mask in self._objects(entries):
                self.boxes += 1
                category = self.categories.key(self.part, int(self.part.data.classes[row]))
                about = {"id": self.boxes, "image_id": key, "category_id": category}
                yield about | box_fields(self.part, row, mask) | outline_field(mask)

    def _objects(self, entries: Entries) -> Iterator[tuple[int, Polygons | Runs | None]]:
        """The boxes of one image file, by row, without repetitions of a box in a further entry."""
        data, known = self.part.data, set[tuple[float, ...]]()
        for index in entries:
            start, end = data.offsets[index : index + 2].tolist()
            keys = [(data.classes[row], *data.boxes[row].tolist()) for row in range(start, end)]
            for row, key in zip(range(start, end), keys, strict=True):
                if key not in known:
                    yield row, data.mask(row)
            known.update(keys)


def _write_part(part: LabeledSplit, kept: list[Entries], categories: MergedCategories, folder: Path) -> int:
    """Write one split; returns the number of boxes."""
    images = folder / "images" / part.split
    images.mkdir(parents=True)
    writing = _Writing(part, kept, categories, images)
    rows = {"categories": iter(categories.rows), "images": writing.images(), "annotations": writing.annotations()}
    write_lists(_labels_file(folder, part), rows)
    return writing.boxes


class _Names:
    """File names that are safe, printable and differ by more than their case."""

    def __init__(self) -> None:
        self._taken = set[str]()

    def new(self, file: Path, number: int) -> str:
        suffix = file.suffix if file.suffix.isascii() and file.suffix.isprintable() else ""
        name = file.name if file.name.isprintable() and "\\" not in file.name else f"{number:08}{suffix}"
        while name.casefold() in self._taken:
            name = f"{number:08}_{name if len(os.fsencode(name)) < LONGEST else suffix}"
        self._taken.add(name.casefold())
        return name


def _labels_file(folder: Path, part: LabeledSplit) -> Path:
    return folder / "annotations" / f"instances_{part.split}.json"


def _rank(part: LabeledSplit) -> int:
    return next((place for place, name in enumerate(FIRST) if part.split.lower().startswith(name)), len(FIRST))


def _boxes(part: LabeledSplit, kept: list[Entries]) -> int:
    return int(_of(part, kept).sum())


def _cut(part: LabeledSplit, kept: list[Entries]) -> int:
    return int((part.data.outside[_of(part, kept)] > ROUNDING).sum())


def _of(part: LabeledSplit, kept: list[Entries]) -> np.ndarray:
    """bool [M]: the boxes of the images that are kept."""
    return np.isin(part.owners, [index for entries in kept for index in entries])
