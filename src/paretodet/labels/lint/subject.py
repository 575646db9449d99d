"""A data set as the checks see it: its parts as the readers give them, and every picture's file."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from paretodet.labels.builder import Labels
from paretodet.labels.formats.coco import read_coco
from paretodet.labels.formats.voc import image_set
from paretodet.labels.formats.yolo import label_file
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.pictures import ScannedImage
from paretodet.labels.read import TRAIN, VAL, coco_files, read_labels, splits, voc_folder, yolo_file

Format = Literal["coco", "voc", "yolo"]
PARTS = (*TRAIN, *VAL, "dev", "test")  # names of Pascal VOC's sets that part the images
WHOLE = "all"  # the only part of what is not parted
REST = "rest"  # what no other part covers, and may be learned all the same


@dataclass(frozen=True, kw_only=True, eq=False)
class LabeledSplit:
    """One split. N images, M boxes."""

    split: str
    file: Path  # COCO's json, YOLO's yaml, or Pascal VOC's folder
    data: Labels
    place: Callable[[str, int], tuple[Path, str]]  # image's name, box's number -> where the box stands

    @cached_property
    def owners(self) -> np.ndarray:
        """[M] each box's image."""
        return np.repeat(np.arange(len(self.data)), np.diff(self.data.offsets))

    @cached_property
    def names(self) -> list[str]:
        """[N] the images' files."""
        return [self.data.name(index) for index in range(len(self.data))]

    @cached_property
    def files(self) -> list[Path]:
        """[N] the images' paths."""
        folder = straight(self.data.folder)
        return [straight(folder / name) for name in self.names]

    def at(self, row: int, text: str) -> Place:
        """Box `row` of the part."""
        return Place(*self.place(self.names[self.owners[row]], int(self.data.numbers[row])), text)


class ScannedFiles(NamedTuple):
    """One image of one part, and its file."""

    part: LabeledSplit
    number: int  # of the image in its part
    file: Path
    picture: ScannedImage


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A whole data set."""

    path: Path
    format: Format
    parts: tuple[LabeledSplit, ...]
    pictures: Mapping[Path, ScannedImage]

    def seen(self) -> Iterator[ScannedFiles]:
        """Every image of every part."""
        for part in self.parts:
            for index, file in enumerate(part.files):
                yield ScannedFiles(part, index, file, self.pictures[file])


def straight(path: Path) -> Path:
    """Without the detours of `..`, where that leads to the same place: one file has one path."""
    if ".." not in path.parts:
        return path
    short = Path(os.path.normpath(path))
    return short if os.path.exists(path) and os.path.exists(short) and path.samefile(short) else path


def format_of(path: Path) -> Format:
    """As `read_labels` finds it; COCO where it finds none."""
    if voc_folder(path):
        return "voc"
    return "yolo" if yolo_file(path) else "coco"


def open_parts(path: Path, images: Path | None = None) -> tuple[list[LabeledSplit], list[Place]]:
    """The splits that part the data set, and those that cannot be read; `images` is the folder of COCO's pictures,
    else it is found.

    Raises ValueError, as `read_labels` does, where none can be read.
    """
    kind, parts, unread = format_of(path), list[LabeledSplit](), list[Place]()
    problem, asked = None, _parting(kind, splits(path))
    for split in asked:
        try:
            parts.append(_part(path, kind, split) if kind != "coco" else _coco_part(path, split, images))
        except ValueError as error:
            problem = error
            unread.append(Place(path, split or "", str(error).removeprefix("labels: ")))
    if problem and not parts:
        raise problem
    covered = [part.split for part in parts if part.split in asked]
    return parts + (_rest(path, covered) if kind == "voc" and covered else []), unread


def _parting(kind: Format, names: tuple[str, ...]) -> list[str | None]:
    """Pascal VOC has sets that unite others or know one class: they are no parts."""
    if kind != "voc":
        return list(names) or [None]
    found = [name for name in names if usual(name) in PARTS]
    if "trainval" in names and not learned(found):
        found.append("trainval")
    return [*found] or [None]


def usual(name: str) -> str:
    """Without its year."""
    return re.sub(r"\d+$", "", name)


def learned(names: Iterable[str]) -> bool:
    """Whether one of the sets is what training takes unasked."""
    return any(usual(name) in TRAIN for name in names)


def _rest(path: Path, covered: list[str]) -> list[LabeledSplit]:
    """The images of Pascal VOC's other sets that are in none of the `covered`; where no set is called train, of every
    xml, as training takes them all then.
    """
    stems = {file.stem for file in (path / "Annotations").glob("*.xml")}
    if learned(covered):
        stems &= set().union(*(_stems(path, name) for name in splits(path) if name not in covered))
    stems -= set().union(*(_stems(path, name) for name in covered))
    return (
        [LabeledSplit(split=REST, file=path, data=_only(read_labels(path), stems), place=_in_xml(path))]
        if stems
        else []
    )


def _stems(path: Path, split: str) -> set[str]:
    """None of a set that cannot be read."""
    try:
        return image_set(path, split)
    except ValueError:
        return set()


def _only(data: Labels, stems: set[str]) -> Labels:
    """The images of these names, their boxes, and what was left out of them."""
    names = [data.name(index) for index in range(len(data))]
    kept = np.array([Path(name).stem in stems for name in names], bool)
    counts = np.diff(data.offsets)
    rows = np.repeat(kept, counts)
    columns = ("boxes", "classes", "crowd", "numbers", "outside", "outline_spans")
    written = [os.fsencode(name) for name, keep in zip(names, kept, strict=True) if keep]
    skipped = tuple(each for each in data.skipped if each.file.stem in stems)
    return replace(
        data,
        names=b"".join(written),
        name_ends=np.cumsum([len(name) for name in written], dtype=np.int64),
        keys=data.keys[kept],
        sizes=data.sizes[kept],
        offsets=np.append(0, np.cumsum(counts[kept])),
        skips=len(skipped),
        skipped=skipped,
        **{name: getattr(data, name)[rows] for name in columns},
    )


def _part(path: Path, kind: Format, split: str | None) -> LabeledSplit:
    data = read_labels(path, split=split)
    if kind == "voc":
        return LabeledSplit(split=split or WHOLE, file=path, data=data, place=_in_xml(path))
    place = _in_text(straight(data.folder))
    return LabeledSplit(split=split or WHOLE, file=yolo_file(path) or path, data=data, place=place)


def _coco_part(path: Path, split: str | None, images: Path | None) -> LabeledSplit:
    files = coco_files(path)
    name = split or next(iter(files), "")
    data = read_coco(files[name], images=images) if images and name else read_labels(path, split=split)
    return LabeledSplit(split=name, file=files[name], data=data, place=_in_json(files[name]))


def _in_json(file: Path) -> Callable[[str, int], tuple[Path, str]]:
    return lambda _, number: (file, f"annotations[{number}]")


def _in_xml(folder: Path) -> Callable[[str, int], tuple[Path, str]]:
    return lambda name, number: (xml_file(folder, name), f"object[{number}]")


def _in_text(folder: Path) -> Callable[[str, int], tuple[Path, str]]:
    return lambda name, number: (label_file(folder / name), f"line {number}")


def xml_file(folder: Path, name: str) -> Path:
    """Of a Pascal VOC picture."""
    return folder / "Annotations" / f"{Path(name).stem}.xml"
