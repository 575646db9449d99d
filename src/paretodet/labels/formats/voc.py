"""Pascal VOC: one xml an image in Annotations, images in JPEGImages, image sets in ImageSets/Main.

Everingham et al. 2010, "The Pascal Visual Object Classes Challenge"; the development kit's section on annotations.
Corners are whole pixels counted from 1 and both belong to the box: half-open from 0 they are xmin - 1, ymin - 1, xmax,
ymax.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from paretodet.errors import InputError, words
from paretodet.images import SUFFIXES, UNREAD
from paretodet.labels.builder import LabelsBuilder, is_name
from paretodet.labels.format import Format, Where
from paretodet.labels.lint.check import check
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.subject import LabeledSplit, Subject
from paretodet.labels.model import Labels, Purpose, SkipKind
from paretodet.labels.rle import Size
from paretodet.labels.splits import PARTS, REST, WHOLE, learned, usual
from paretodet.labels.xml_stream import MAX_BYTES, parse
from paretodet.reading import is_file, read_bytes

CORNERS = ("xmin", "ymin", "xmax", "ymax")


class _Object(NamedTuple):
    label: str
    corners: tuple[float, ...]
    difficult: bool


def read_voc(folder: Path | str, *, split: str | None = None) -> Labels:
    """The images of one image set, or of every xml; classes are all that the folder's xmls name, in alphabetical order,
    so that every split has the same.

    Objects marked difficult are crowds: the challenge neither requires them nor counts them as mistakes. An xml that
    cannot be used and a box that is none are left out, and `skipped` says why.
    Raises ValueError if the folder has no such split or no usable image.
    """
    folder = Path(folder)
    reading = _VocReader(folder)
    wanted = None if split is None else image_set(folder, split)
    for key, path in enumerate(sorted((folder / "Annotations").glob("*.xml"))):
        reading.take(path, key, wanted is None or path.stem in wanted)
    for missing in sorted((wanted or set()) - reading.known):
        file = folder / "Annotations" / f"{missing}.xml"
        problem = InputError("no such file, though the image set names it", "set-names-missing")
        reading.builder.skip(SkipKind.IMAGE, file, "", problem)
    return reading.build()


def image_set(folder: Path, split: str) -> set[str]:
    """The images' names in ImageSets/Main/<split>.txt. Raises ValueError naming the sets there are."""
    if split not in (known := image_sets(folder)):
        raise InputError(
            f"split: got {split!r:.80}, {folder / 'ImageSets/Main'} has {', '.join(known) or 'none'}", "split-unknown"
        )
    path = folder / "ImageSets" / "Main" / f"{split}.txt"
    lines = _lines(path)
    return {listed(line, folder) for line in lines if line.strip()}


def listed(line: str, folder: Path) -> str:
    """The image that a line of an image set names; in the set of one class -1, 0 or 1 follows the name."""
    name = line.strip()
    return name if is_file(folder / "Annotations" / f"{name}.xml") else re.sub(r"\s+(-1|0|1)$", "", name)


def image_sets(folder: Path) -> tuple[str, ...]:
    """The names of a folder's splits."""
    return tuple(sorted(path.stem for path in (folder / "ImageSets" / "Main").glob("*.txt")))


@dataclass
class _VocReader:
    folder: Path
    known: set[str] = field(default_factory=set)
    classes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        images = self.folder / "JPEGImages"
        self.builder = LabelsBuilder(images, self._locate)
        listed = sorted(images.iterdir()) if images.is_dir() else []
        self._files = {
            path.stem: path.name for known in (UNREAD, SUFFIXES) for path in listed if path.suffix.lower() in known
        }
        self._xmls = dict[str, Path]()

    def take(self, path: Path, key: int, wanted: bool) -> None:
        self.known.add(path.stem)
        name = self._files.get(path.stem, f"{path.stem}.jpg")
        try:
            size, objects = _annotation(parse(path))
            if wanted:
                self.builder.image(key, name, *size, on_disk=True)
        except ValueError as problem:
            return self.builder.skip(SkipKind.IMAGE, path, "", problem) if wanted else None
        categories = [self.classes.setdefault(each.label, len(self.classes)) for each in objects]
        if wanted:
            self._xmls[name] = path
            for number, (each, category) in enumerate(zip(objects, categories, strict=True)):
                self.builder.box(key, category, each.corners, number=number, crowd=each.difficult)

    def build(self) -> Labels:
        if not self.classes:
            raise InputError(
                f"labels: {self.folder} has no object in any xml of Annotations, so it has no class", "labels-none"
            )
        by_name = {self.classes[label]: label for label in sorted(self.classes)}
        return self.builder.build(by_name, source=self.folder, named=True)

    def _locate(self, name: str | None, number: int) -> tuple[Path, str]:
        return self._xmls[name or ""], f"object[{number}]"


def xml_file(folder: Path, name: str) -> Path:
    """Of an image."""
    return folder / "Annotations" / f"{Path(name).stem}.xml"


def where(folder: Path) -> Where:
    """Of boxes of the folder."""
    return lambda name, number: (xml_file(folder, name or ""), f"object[{number}]")


def _annotation(root: Element) -> tuple[Size, list[_Object]]:
    if root.tag != "annotation":
        raise InputError(f"<{root.tag:.40}> is not <annotation>, no Pascal VOC file", "xml-malformed")
    size = int(_number(root, "size/height")), int(_number(root, "size/width"))
    return size, [_object(each, number) for number, each in enumerate(root.iterfind("object"))]


def _object(element: Element, number: int) -> _Object:
    label = (element.findtext("name") or "").strip()
    if not is_name(label):
        raise InputError(f"object[{number}] has no <name>", "xml-malformed")
    if (boxes := len(element.findall("bndbox"))) > 1:
        raise InputError(
            f"object[{number}] has {boxes} <bndbox>, one is needed: a second is another object", "xml-malformed"
        )
    xmin, ymin, xmax, ymax = (_number(element, f"bndbox/{corner}") for corner in CORNERS)
    if xmin == xmax or ymin == ymax:  # one pixel by the definition, in practice a mistake
        return _Object(label, (xmin, ymin, xmax, ymax), False)
    return _Object(label, (xmin - 1, ymin - 1, xmax, ymax), (element.findtext("difficult") or "").strip() == "1")


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
        for name in part.names:
            file = xml_file(subject.path, name)
            stated = (parse(file).findtext("filename") or "").strip()
            if stated and file.stem not in (stated, PureWindowsPath(stated).stem):
                yield Place(file, "<filename>", f"it is {stated!r:.80}, the image is {name!r}")


@check("set-line-repeated", "warning", "Remove the line.")
def line_repeated(subject: Subject) -> Iterator[Place]:
    for file in (file for part in subject.parts for file in _set_files(part)):
        firsts = dict[str, int]()
        for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1):
            name = listed(line, subject.path)
            if name and firsts.setdefault(name, number) != number:
                yield Place(file, f"line {number}", f"{name!r:.80} is in line {firsts[name]} already")


def _lines(path: Path) -> list[str]:
    try:
        return read_bytes(path, MAX_BYTES).decode("utf-8-sig", "replace").splitlines()
    except (OSError, ValueError) as problem:
        raise InputError(f"{path} cannot be read ({words(problem)})", "label-file-unreadable") from None


def _set_files(part: LabeledSplit) -> list[Path]:
    """The split's image set."""
    parted = part.split not in (WHOLE, REST)
    return [part.file / "ImageSets" / "Main" / f"{part.split}.txt"] if parted else []


def _parts(folder: Path) -> tuple[str, ...]:
    """Some sets unite others or are of one class: they are no parts."""
    names = image_sets(folder)
    parts = [name for name in names if usual(name) in PARTS]
    return (*parts, "trainval") if "trainval" in names and not learned(parts) else tuple(parts)


def _rest(folder: Path, parts: Sequence[str]) -> Labels | None:
    """The images of other sets that are in none of `parts`; of every xml if no set is called train, since training
    takes them all then.
    """
    stems = {file.stem for file in (folder / "Annotations").glob("*.xml")}
    if learned(parts):
        stems &= set().union(*(_stems(folder, name) for name in image_sets(folder) if name not in parts))
    stems -= set().union(*(_stems(folder, name) for name in parts))
    return _only(read_voc(folder), stems) if parts and stems else None


def _stems(folder: Path, split: str) -> set[str]:
    """Empty for a set that cannot be read."""
    try:
        return image_set(folder, split)
    except ValueError:
        return set()


def _only(data: Labels, stems: set[str]) -> Labels:
    """The images of these names, their boxes, and what was left out of them."""
    kept = np.array([Path(data.name(index)).stem in stems for index in range(len(data))], bool)
    skipped = tuple(each for each in data.skipped if each.file.stem in stems)
    counts = {kind: sum(each.kind is kind for each in skipped) for kind in SkipKind}
    return replace(data.select(kept), skip_counts=counts, skipped=skipped)


def _read(
    path: Path, *, split: str | None = None, images: Path | None = None, purpose: Purpose = Purpose.TRAIN
) -> Labels:
    return read_voc(path, split=split)


FORMAT = Format(
    name="voc",
    title="Pascal VOC",
    layout="a folder with Annotations/*.xml, JPEGImages and ImageSets/Main/<split>.txt",
    matches=lambda path: next((path / "Annotations").glob("*.xml"), None) is not None,
    splits=image_sets,
    read=_read,
    file=lambda path, split: path,
    where=where,
    checks=(another_file, line_repeated),
    parts=_parts,
    rest=_rest,
    label_file=lambda path, image: xml_file(path, image.name),
    texts=_set_files,
    not_carried=lambda path: "pose, truncated, occluded and whatever else no box needs; what is difficult is a crowd",
)
