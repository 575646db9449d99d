"""Pascal VOC: one xml an image in Annotations, images in JPEGImages, image sets in ImageSets/Main, or in other folders.

Everingham et al. 2010, "The Pascal Visual Object Classes Challenge"; the development kit's section on annotations.
Corners are whole pixels counted from 1 and both belong to the box: half-open from 0 they are xmin - 1, ymin - 1, xmax,
ymax.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PureWindowsPath
from typing import NamedTuple
from unicodedata import normalize
from xml.etree.ElementTree import Element

import numpy as np

from paretodet.errors import InputError, words
from paretodet.images import read_size
from paretodet.labels.builder import LabelsBuilder, is_name
from paretodet.labels.format import Format, Where
from paretodet.labels.formats.voc_layout import (
    ROOT,
    SETS,
    XMLS,
    VocLayout,
    find_layout,
    holds_xmls,
    is_kit,
    name_in,
    set_lines,
    stated_name,
)
from paretodet.labels.formats.voc_writer import write_voc
from paretodet.labels.image_index import in_order
from paretodet.labels.lint.check import check
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.subject import LabeledSplit, Subject
from paretodet.labels.model import Labels, Purpose, SkipKind
from paretodet.labels.rle import Size
from paretodet.labels.shapes import is_marked
from paretodet.labels.splits import PARTS, REST, WHOLE, learned, named, usual
from paretodet.labels.xml_stream import parse
from paretodet.reading import is_file

CORNERS = ("xmin", "ymin", "xmax", "ymax")


class _Object(NamedTuple):
    label: str
    corners: tuple[float, ...]
    difficult: bool


def read_voc(folder: Path | str, *, split: str | None = None) -> Labels:
    """The images of one image set, or of every xml; classes are all that the folder's xmls name, in alphabetical order,
    so that every split has the same. Without image sets, folders that are named as splits are splits.

    Objects marked difficult are crowds: the challenge neither requires them nor counts them as mistakes. A size that is
    missing is that of the image file. An xml that cannot be used and a box that is none are left out, and `skipped`
    says why. Raises ValueError if the folder has no such split or no usable image.
    """
    folder = Path(folder)
    layout = find_layout(folder)
    reading = _VocReader(layout)
    wanted = None if split is None else split_xmls(layout, split)
    for key, path in enumerate(layout.xmls):
        reading.take(path, key, wanted is None or path in wanted)
    for missing in sorted((wanted or set()).difference(layout.xmls)):
        problem = InputError("no such file, though the image set names it", "set-names-missing")
        reading.builder.skip(SkipKind.IMAGE, missing, "", problem)
    return reading.build()


def split_xmls(layout: VocLayout, split: str) -> set[Path]:
    """The xml files of a split, also those that an image set names and that are not there. Raises ValueError naming
    the splits there are.
    """
    split = named(split, layout.splits) or split
    if split in layout.folder_splits:
        return {xml for xml in layout.xmls if xml.parent in layout.folder_splits[split]}
    if split not in (files := layout.set_files):
        known = ", ".join(layout.splits) or "none"
        raise InputError(f"split: got {split!r:.80}, {layout.path / SETS} has {known}", "split-unknown")
    return {layout.xml(layout.listed(line)) for line in set_lines(files[split]) if line.strip()}


def image_sets(folder: Path) -> tuple[str, ...]:
    """The names of a folder's splits."""
    return find_layout(folder).splits


class _VocReader:
    def __init__(self, layout: VocLayout) -> None:
        self.builder = LabelsBuilder(layout.images, self._locate)
        self._layout, self._classes, self._problems = layout, dict[str, int](), list[str]()
        self._xmls = dict[str, Path]()

    def take(self, path: Path, key: int, wanted: bool) -> None:
        try:
            root = parse(path)
            name = self._layout.image(path, name_in(root))
            objects = _objects(root)
            size = self._size(root, name) if wanted else (0, 0)
            if wanted:
                self.builder.image(key, name, *size, on_disk=True)
        except ValueError as problem:
            self._problems.append(f"{path}: {words(problem).removeprefix(f'{path}: ')}")
            return self.builder.skip(SkipKind.IMAGE, path, "", problem) if wanted else None
        categories = [self._classes.setdefault(each.label, len(self._classes)) for each in objects]
        if wanted:
            self._xmls[name] = path
            for number, (each, category) in enumerate(zip(objects, categories, strict=True)):
                self.builder.box(key, category, each.corners, number=number, crowd=each.difficult)

    def build(self) -> Labels:
        if not self._classes:
            used = len(self._layout.xmls) - len(self._problems)
            why = f"; {len(self._problems)} cannot be used, the first: {self._problems[0]}" if self._problems else ""
            text = f"none of {used} usable xml files has an object, so there is no class" if used else "no usable xml"
            raise InputError(f"labels: {self._layout.path}: {text}{why}", "labels-none")
        by_name = {self._classes[label]: label for label in in_order(self._classes)}
        return self.builder.build(by_name, source=self._layout.path, named=True)

    def _size(self, root: Element, name: str) -> Size:
        """As <size> states, else of the image file, if it is there."""
        try:
            return int(_number(root, "size/height")), int(_number(root, "size/width"))
        except ValueError as problem:
            try:
                return read_size(self.builder.folder / name)
            except ValueError:
                raise problem from None

    def _locate(self, name: str | None, number: int) -> tuple[Path, str]:
        return self._xmls[name or ""], f"object[{number}]"


def where(folder: Path) -> Where:
    """Of boxes of the folder."""
    layout = find_layout(folder)
    return lambda name, number: (layout.xml_of(name or ""), f"object[{number}]")


def _objects(root: Element) -> list[_Object]:
    if root.tag != ROOT:
        raise InputError(f"<{root.tag:.40}> is not <{ROOT}>, no Pascal VOC file", "xml-malformed")
    return [_object(each, number) for number, each in enumerate(root.iterfind("object"))]


def _object(element: Element, number: int) -> _Object:
    label = (element.findtext("name") or "").strip()
    if not is_name(label):
        raise InputError(f"object[{number}] has no <name>", "xml-malformed")
    if (boxes := len(element.findall("bndbox"))) > 1:
        raise InputError(
            f"object[{number}] has {boxes} <bndbox>, one is needed: a second is another object", "xml-malformed"
        )
    if not boxes and element.find("robndbox") is not None:
        raise InputError(f"object[{number}] has <robndbox>, an oriented box, and no <bndbox>", "shape-unread")
    xmin, ymin, xmax, ymax = (_number(element, f"bndbox/{corner}") for corner in CORNERS)
    if xmin == xmax or ymin == ymax:  # one pixel by the definition, in practice a mistake
        return _Object(label, (xmin, ymin, xmax, ymax), False)
    return _Object(label, (xmin - 1, ymin - 1, xmax, ymax), _is_difficult(element))


def _is_difficult(element: Element) -> bool:
    """1 by its value; an element that is missing or empty is 0. Other marks of this kind count too."""
    if is_marked({child.tag: child.text for child in element}):
        return True
    text = (element.findtext("difficult") or "").strip()
    try:
        return float(text or 0) == 1
    except ValueError:
        return False


def _number(element: Element, path: str) -> float:
    text = element.findtext(path)
    try:
        value = float(text or "")
    except ValueError:
        raise InputError(f"<{path}> is {text!r:.40}, a number is needed", "xml-malformed") from None
    if path.startswith("size/") and not 1 <= value <= 2**20:
        raise InputError(f"<{path}> is {text!r:.40}, the image's pixels are needed", "xml-malformed")
    return value


@check("xml-names-another-file", "warning", "Write the image's name into <filename>: other tools read it.")
def another_file(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        for name, image in zip(part.names, part.files, strict=True):
            file, _ = part.where(name, 0)
            stated = stated_name(file)
            known = {normalize("NFC", part) for part in (stated, *_ends(stated))}
            names = {normalize("NFC", part) for part in (image.stem, image.name)}
            if stated and not names & known and is_file(image):
                yield Place(file, "<filename>", f"it is {stated!r:.80}, the image is {name!r}")


def _ends(stated: str) -> tuple[str, str]:
    path = PureWindowsPath(stated)
    return path.stem, path.name


@check("set-line-repeated", "warning", "Remove the line.")
def line_repeated(subject: Subject) -> Iterator[Place]:
    layout = find_layout(subject.path)
    for file in (file for part in subject.parts for file in _set_files(part)):
        firsts = dict[str, int]()
        for number, line in enumerate(set_lines(file), 1):
            name = layout.listed(line)
            if name and firsts.setdefault(name, number) != number:
                yield Place(file, f"line {number}", f"{name!r:.80} is in line {firsts[name]} already")


def _set_files(part: LabeledSplit) -> list[Path]:
    """The split's image set, if it is one."""
    file = find_layout(part.file).set_files.get(part.split)
    return [file] if file and is_file(file) and part.split not in (WHOLE, REST) else []


def _parts(folder: Path) -> tuple[str, ...]:
    """Some sets unite others or are of one class: they are no parts. Folders are."""
    layout = find_layout(folder)
    names = layout.splits
    if not layout.set_files:
        return names
    parts = [name for name in names if usual(name) in PARTS]
    return (*parts, "trainval") if "trainval" in names and not learned(parts) else tuple(parts)


def _rest(folder: Path, parts: Sequence[str]) -> Labels | None:
    """The images of other sets that are in none of `parts`; of every xml if no set is called train, since training
    takes them all then.
    """
    layout = find_layout(folder)
    rest = set(layout.xmls)
    if learned(parts):
        rest &= set().union(*(_xmls_of(layout, name) for name in image_sets(folder) if name not in parts))
    rest -= set().union(*(_xmls_of(layout, name) for name in parts))
    return _only(read_voc(folder), layout, rest) if parts and rest else None


def _xmls_of(layout: VocLayout, split: str) -> set[Path]:
    """Empty for a set that cannot be read."""
    try:
        return split_xmls(layout, split)
    except ValueError:
        return set()


def _only(data: Labels, layout: VocLayout, xmls: set[Path]) -> Labels:
    """The images of these xml files, their boxes, and what was left out of them."""
    kept = np.array([layout.xml_of(data.name(index)) in xmls for index in range(len(data))], bool)
    skipped = tuple(each for each in data.skipped if each.file in xmls)
    counts = {kind: sum(each.kind is kind for each in skipped) for kind in SkipKind}
    return replace(data.select(kept), skip_counts=counts, skipped=skipped)


def _label_file(path: Path, image: Path) -> Path:
    """The xml file of an image."""
    changed = (path / XMLS if is_kit(path) else path).stat().st_mtime_ns
    layout = _cached_layout(path, changed)
    return layout.xml_of(os.path.relpath(image, layout.images))


@lru_cache(maxsize=4)
def _cached_layout(path: Path, changed: int) -> VocLayout:
    return find_layout(path)


def _read(
    path: Path, *, split: str | None = None, images: Path | None = None, purpose: Purpose = Purpose.TRAIN
) -> Labels:
    return read_voc(path, split=split)


FORMAT = Format(
    name="voc",
    write=write_voc,
    title="Pascal VOC",
    layout="a folder with Annotations/*.xml, JPEGImages and ImageSets/Main/<split>.txt, or of xml files and images",
    matches=is_kit,
    resembles=holds_xmls,
    splits=image_sets,
    read=_read,
    file=lambda path, split: path,
    where=where,
    checks=(another_file, line_repeated),
    parts=_parts,
    rest=_rest,
    label_file=_label_file,
    texts=_set_files,
    not_carried=lambda path: "pose, truncated, occluded and whatever else no box needs; what is difficult is a crowd",
)
