"""CVAT's "CVAT for images 1.1": one annotations.xml for all images, with boxes, polygons, ellipses and masks.

https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/. Coordinates are pixels. An image's `subset` is its
split, in lower case.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from paretodet.errors import ErrorId, InputError, words
from paretodet.images import MAX_PIXELS
from paretodet.labels.builder import LabelsBuilder, by_value, is_name
from paretodet.labels.format import Format, Where
from paretodet.labels.image_index import ImageIndex
from paretodet.labels.model import Labels, Purpose, SkipKind
from paretodet.labels.rle import MAX_OUTLINE, Size, encode, pack
from paretodet.labels.shapes import DrawnShape, is_marked, is_turned, turned_box, turned_ellipse
from paretodet.labels.splits import named
from paretodet.labels.xml_stream import children, root_of
from paretodet.reading import is_file, is_folder, visible_files

FILE, ROOT = "annotations.xml", "annotations"
IGNORED = ("tag",)  # of the whole image


def read_cvat(path: Path | str, *, split: str | None = None, images: Path | str | None = None) -> Labels:
    """The images of one subset, or all; classes are numbered in the file's order.

    A rotated box is the upright box around it. Points, lines and cuboids are left out, and `skipped` says why. `images`
    is the folder that names start from, else `images` beside the file, else the file's. Raises ValueError naming the
    file and what it lacks.
    """
    path = Path(path)
    split = split and named(split, _splits(path))
    beside = path.parent / "images"
    folder = Path(images) if images else beside if is_folder(beside) else path.parent
    reading = _CvatReader(path, folder, split)
    for element in _elements(path):
        if element.tag == "meta":
            reading.classes |= {name: number for number, name in enumerate(_names(element, path))}
        elif element.tag == "image":
            reading.take(element)
        elif element.tag == "track":
            raise InputError(f"labels: {path} has tracks of a video: export it as CVAT for images", "labels-format")
    return reading.build()


class _CvatReader:
    def __init__(self, path: Path, folder: Path, split: str | None):
        self.path, self.split, self.classes = path, split, dict[str, int]()
        self.builder, self._images = LabelsBuilder(folder, where(path)), ImageIndex(folder)
        self._known, self._number = set[str](), 0

    def take(self, image: Element) -> None:
        key, subset = self._number, _subset(image)
        self._number += 1
        self._known |= {subset} - {""}
        if self.split not in (None, subset):
            return
        try:
            name, size = self._name(image), (_whole(image, "height"), _whole(image, "width"))
            self.builder.image(key, name, *size)
        except ValueError as problem:
            return self.builder.skip(SkipKind.IMAGE, self.path, f"image[{key}]", problem, key)
        for number, element in enumerate(each for each in image if each.tag not in IGNORED):
            self._shape(element, key, number, name, size)

    def build(self) -> Labels:
        if self.split is not None and self.split not in self._known:
            known = ", ".join(sorted(self._known)) or "none"
            raise InputError(f"split: got {self.split!r:.80}, {self.path} has {known}", "split-unknown")
        if not self.classes:
            raise InputError(
                f"labels: {self.path} has no <label> in its <meta>, so its classes are unknown", "labels-malformed"
            )
        names = {number: name for name, number in self.classes.items()}
        return self.builder.build(names, source=self.path, named=True)

    def _shape(self, element: Element, key: int, number: int, name: str, size: Size) -> None:
        try:
            shape = _shape(element, size)
        except ValueError as problem:
            place = where(self.path)(name, number)
            return self.builder.skip(SkipKind.ANNOTATION, *place, problem, number)
        category = self.classes.get(element.get("label", ""), -1)
        crowd = is_marked({each.get("name"): each.text for each in element.iterfind("attribute")})
        self.builder.box(
            key, category, shape.corners, number=number, crowd=crowd, outline=shape.outline, turned=shape.turned
        )

    def _name(self, image: Element) -> str:
        """Exports of a project have a folder for each subset; frames of a video have names without a suffix."""
        name = image.get("name", "")
        tries = [f"{subset}/{name}", name] if (subset := image.get("subset", "")) else [name]
        there = next((each for each in tries if is_file(self.builder.folder / each)), None)
        return there or next(filter(None, map(self._images.find, tries)), name)


def where(file: Path) -> Where:
    """Of boxes of the file."""
    return lambda name, number: (file, f"{name or 'image'} object[{number}]")


def _elements(path: Path) -> Iterator[Element]:
    try:
        yield from children(path, ROOT)
    except ValueError as problem:
        raise InputError(f"labels: {path}: {words(problem)}", "labels-malformed") from None


def _names(meta: Element, path: Path) -> list[str]:
    """Of the labels, without the parts of skeletons. Raises ValueError."""
    labels = [each for each in meta.iter("label") if each.find("parent") is None]
    names = [(each.findtext("name") or "").strip() for each in labels]
    if bad := [name for name in names if not is_name(name)]:
        raise InputError(f"labels: {path}: a <label> has the name {bad[0]!r:.40}, a name is needed", "labels-malformed")
    return list(dict.fromkeys(names))


def _shape(element: Element, size: Size) -> DrawnShape:
    if element.tag == "box":
        x1, y1, x2, y2 = _numbers(element, "xtl", "ytl", "xbr", "ybr")
        angle = _rotation(element)
        return DrawnShape(turned_box(x1, y1, x2, y2, angle), turned=is_turned(angle))
    if element.tag == "ellipse":
        x, y, across, down = _numbers(element, "cx", "cy", "rx", "ry")
        return DrawnShape(turned_ellipse(x, y, across, down, _rotation(element)))
    if element.tag == "polygon":
        return _polygon(element)
    if element.tag == "mask":
        return _mask(element, size)
    raise InputError(f"<{element.tag:.40}> is not a box, polygon, ellipse or mask", "shape-unread")


def _polygon(element: Element) -> DrawnShape:
    try:
        points = np.array([each.split(",") for each in element.get("points", "").split(";")], np.float64)
    except ValueError:
        points = np.zeros((0, 2))
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise InputError(
            f"points is {element.get('points', '')!r:.60}, at least three x,y;x,y;x,y are needed", "mask-malformed"
        )
    return DrawnShape([*points.min(0).tolist(), *points.max(0).tolist()], pack([points.ravel().tolist()]))


def _mask(element: Element, size: Size) -> DrawnShape:
    """Lengths of zeros, ones, zeros, ... along the rows of a box of whole pixels."""
    left, top, width, height = (_whole(element, field) for field in ("left", "top", "width", "height"))
    if left < 0 or top < 0 or width < 1 or height < 1 or left + width > size[1] or top + height > size[0]:
        raise InputError(
            f"segmentation: the mask of {width}x{height} px at {left}, {top} is not inside of its image",
            "mask-malformed",
        )
    if size[0] * size[1] > MAX_PIXELS:
        raise InputError(f"segmentation: an image of {size} px, more than {MAX_PIXELS} pixels", "mask-malformed")
    try:
        lengths = np.array(element.get("rle", "").split(","), np.int64)
    except (ValueError, OverflowError):
        lengths = np.zeros(0, np.int64)
    if not len(lengths) or lengths.min() < 0 or lengths.max() > MAX_PIXELS or lengths.sum() != width * height:
        raise InputError(
            f"segmentation: rle are lengths that sum to the {width * height} pixels of the mask", "mask-malformed"
        )
    drawn = np.zeros(size, bool)
    values = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)
    drawn[top : top + height, left : left + width] = values
    return DrawnShape([left, top, left + width, top + height], pack(encode(drawn)))


def _rotation(element: Element) -> float:
    return _numbers(element, "rotation")[0] if element.get("rotation") else 0.0


def _numbers(element: Element, *fields: str) -> list[float]:
    try:
        values = [float(element.get(field, "")) for field in fields]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)) or max(map(abs, values)) > MAX_OUTLINE:
        got = ", ".join(str(element.get(field)) for field in fields)
        raise InputError(f"<{element.tag}> has {', '.join(fields)} of {got:.60}, pixels are needed", "xml-malformed")
    return values


def _whole(element: Element, field: str) -> int:
    text = element.get(field, "")
    if (number := by_value(text)) is None or not 0 <= number < 10**9:
        id: ErrorId = "image-size-malformed" if element.tag == "image" else "mask-malformed"
        raise InputError(f"{field} is {text!r:.40}, whole pixels are needed", id)
    return number


def _subset(image: Element) -> str:
    return image.get("subset", "").lower()


def _file(path: Path, split: str | None = None) -> Path:
    """The file itself, or the folder's. Raises InputError if it has several."""
    files = _files(path)
    if len(files) > 1:
        raise InputError(
            f"labels: {path} has several files of CVAT: name one of {', '.join(file.name for file in files):.200}",
            "split-unnamed",
        )
    return files[0] if files else path / FILE if path.is_dir() else path


def _files(path: Path) -> list[Path]:
    """Those whose content is CVAT's: of a folder all, that of the usual name first."""
    listed = [path / FILE, *visible_files(path, "*.xml")] if path.is_dir() else [path]
    xmls = (file for file in dict.fromkeys(listed) if file.suffix.lower() == ".xml" and is_file(file))
    return [file for file in xmls if root_of(file) == ROOT]


def _splits(path: Path) -> tuple[str, ...]:
    subsets = (_subset(each) for each in _elements(_file(path)) if each.tag == "image")
    return tuple(dict.fromkeys(filter(None, subsets)))


def _read(
    path: Path, *, split: str | None = None, images: Path | None = None, purpose: Purpose = Purpose.TRAIN
) -> Labels:
    return read_cvat(_file(path), split=split, images=images)


FORMAT = Format(
    name="cvat",
    title="CVAT",
    layout=f"an .xml of CVAT for images, or a folder with {FILE}",
    suffixes=(".xml",),
    matches=lambda path: bool(_files(path / FILE if path.is_dir() else path)),
    resembles=lambda path: bool(_files(path)),
    splits=_splits,
    read=_read,
    file=_file,
    where=where,
    takes_images=True,
    loose=True,
    not_carried=lambda path: "attributes, occlusion, order of depth, points, lines, cuboids and labels of whole images",
)
