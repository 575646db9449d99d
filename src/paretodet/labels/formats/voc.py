"""Pascal VOC: one xml an image in Annotations, pictures in JPEGImages, image sets in ImageSets/Main.

Everingham et al. 2010, "The Pascal Visual Object Classes Challenge"; the development kit's section on annotations.
Corners are whole pixels counted from 1 and both belong to the box: half-open from 0 they are xmin - 1, ymin - 1, xmax,
ymax.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from paretodet.images import SUFFIXES, UNREAD
from paretodet.labels.builder import Labels, LabelsBuilder, is_name
from paretodet.labels.model import Size
from paretodet.reading import is_file

MAX_BYTES = 2**24  # of one xml or image set: 16 MiB
MAX_DEPTH = 16
CORNERS = ("xmin", "ymin", "xmax", "ymax")


class _Object(NamedTuple):
    label: str
    corners: tuple[float, ...]
    difficult: bool


def read_voc(folder: Path | str, *, split: str | None = None) -> Labels:
    """The images of one image set, or of every xml; classes are all that the folder's xmls name, in alphabetical order,
    so that every split has the same.

    Objects marked difficult are crowd: neither learned nor a mistake to find, as the challenge scores them. An xml that
    cannot be used and a box that is none are skipped and told in `skipped`.
    Raises ValueError where the folder has no such split or no usable image.
    """
    folder = Path(folder)
    reading = _VocReader(folder)
    wanted = None if split is None else image_set(folder, split)
    for key, path in enumerate(sorted((folder / "Annotations").glob("*.xml"))):
        reading.take(path, key, wanted is None or path.stem in wanted)
    for missing in sorted((wanted or set()) - reading.known):
        reading.rows.skip(folder / "Annotations" / f"{missing}.xml", "", "no such file, though the image set names it")
    return reading.build()


def image_set(folder: Path, split: str) -> set[str]:
    """The images' names in ImageSets/Main/<split>.txt. Raises ValueError naming the sets there are."""
    if split not in (known := image_sets(folder)):
        raise ValueError(f"split: got {split!r:.80}, {folder / 'ImageSets/Main'} has {', '.join(known) or 'none'}")
    path = folder / "ImageSets" / "Main" / f"{split}.txt"
    lines = _read(path).decode("utf-8-sig", "replace").splitlines()
    return {listed(line, folder) for line in lines if line.strip()}


def listed(line: str, folder: Path) -> str:
    """The image that a line of an image set names; a class's own set says -1, 0 or 1 behind it."""
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
        self.rows = LabelsBuilder(self.folder / "JPEGImages", self._place)
        pictures = self.rows.folder
        found = sorted(pictures.iterdir()) if pictures.is_dir() else []
        self._files = {
            path.stem: path.name for known in (UNREAD, SUFFIXES) for path in found if path.suffix.lower() in known
        }
        self._names = dict[str, Path]()

    def take(self, path: Path, key: int, wanted: bool) -> None:
        self.known.add(path.stem)
        try:
            name, size, objects = _annotation(parse(path), self._files.get(path.stem, f"{path.stem}.jpg"))
            if wanted:
                self.rows.image(name, key, size)
        except ValueError as problem:
            return self.rows.skip(path, "", str(problem)) if wanted else None
        categories = [self.classes.setdefault(each.label, len(self.classes)) for each in objects]
        if wanted:
            self._names[name] = path
            for number, (each, category) in enumerate(zip(objects, categories, strict=True)):
                self.rows.box(key, category, each.corners, number=number, crowd=each.difficult)

    def build(self) -> Labels:
        if not self.classes:
            raise ValueError(f"labels: {self.folder} has no object in any xml of Annotations, so no class can be told")
        by_name = {self.classes[label]: label for label in sorted(self.classes)}
        return self.rows.build(by_name, source=self.folder, named=True)

    def _place(self, name: str | None, number: int) -> tuple[Path, str]:
        return self._names[name or ""], f"object[{number}]"


def parse(path: Path) -> Element:
    """The root of an xml without a document type: no entity can be defined, so none is expanded.

    Raises ValueError where the file cannot be read, is too large, nested too deeply, or no xml.
    """
    builder, depth = TreeBuilder(), 0
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} elements inside of each other")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _no_doctype
    try:
        parser.Parse(_read(path), True)
    except (expat.ExpatError, LookupError) as problem:  # LookupError: an encoding nobody knows
        raise ValueError(f"no xml ({problem})") from None
    return builder.close()


def _no_doctype(*_: Any) -> None:
    raise ValueError("it has a document type, which may define entities: remove the <!DOCTYPE ...>")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as problem:
        raise ValueError(f"{path} cannot be read ({problem})") from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES >> 20} MiB")
    return content


def _annotation(root: Element, name: str) -> tuple[str, Size, list[_Object]]:
    if root.tag != "annotation":
        raise ValueError(f"<{root.tag:.40}> is not <annotation>, no Pascal VOC file")
    size = int(_number(root, "size/height")), int(_number(root, "size/width"))
    return name, size, [_object(each, number) for number, each in enumerate(root.iterfind("object"))]


def _object(element: Element, number: int) -> _Object:
    label = (element.findtext("name") or "").strip()
    if not is_name(label):
        raise ValueError(f"object[{number}] has no <name>")
    if (boxes := len(element.findall("bndbox"))) > 1:
        raise ValueError(f"object[{number}] has {boxes} <bndbox>, one is needed: a second is another object")
    xmin, ymin, xmax, ymax = (_number(element, f"bndbox/{corner}") for corner in CORNERS)
    if xmin == xmax or ymin == ymax:  # one pixel by the letter; in practice a slip of the hand
        return _Object(label, (xmin, ymin, xmax, ymax), False)
    return _Object(label, (xmin - 1, ymin - 1, xmax, ymax), (element.findtext("difficult") or "").strip() == "1")


def _number(element: Element, path: str) -> float:
    text = element.findtext(path)
    try:
        value = float(text or "")
    except ValueError:
        raise ValueError(f"<{path}> is {text!r:.40}, a number is needed") from None
    if path.startswith("size/") and not 1 <= value <= 2**20:
        raise ValueError(f"<{path}> is {text!r:.40}, the image's pixels are needed")
    return value
