"""LabelMe's JSON files, one an image: shapes with their labels, in pixels. https://github.com/wkentaro/labelme."""

import json
import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from paretodet.errors import InputError, words
from paretodet.images import is_image_name
from paretodet.labels.builder import LabelsBuilder, by_value, text_of
from paretodet.labels.format import Format, Where
from paretodet.labels.image_index import ClassNames, ImageIndex, folders_below, with_slashes
from paretodet.labels.model import Labels, Purpose, SkipKind
from paretodet.labels.rle import Size
from paretodet.labels.shapes import DrawnShape, are_turned, around, is_marked, numbers, polygons
from paretodet.labels.splits import is_usual, named
from paretodet.reading import is_file, is_inside, read_bytes, visible_files

MARKS, HEAD = (b'"shapes"', b'"imageData"'), 4096  # the image stands first where fields are sorted by their names
PROBED = 20  # files of a folder that show what the others are
MAX_BYTES = 2**26  # the image may be in the file
Shape = dict[str, Any]


def read_labelme(path: Path | str, *, split: str | None = None) -> Labels:
    """The images of one folder that is named as splits are, or of all; classes are all that the files name, in
    alphabetical order.

    Shapes of one label and one `group_id` are one object. Points and lines are left out, and `skipped` says why.
    Raises ValueError if no image can be used.
    """
    path = Path(path)
    reading = _LabelMeReader(path)
    known = splits(path) if split is not None else ()
    split = named(split, known)
    if split is not None and split not in known:
        raise InputError(f"split: got {split!r:.80}, {path} has {', '.join(known) or 'none'}", "split-unknown")
    for key, file in enumerate(files(path)):
        reading.take(file, key, wanted=split in (None, _split_of(path, file)))
    return reading.builder.build(reading.classes.sorted, source=path, named=True)


def files(path: Path) -> list[Path]:
    """The JSON files of the set, sorted."""
    if path.is_file():
        return [path]
    shown = ((top, name) for top, _, names in os.walk(path) for name in names if not name.startswith("."))
    listed = (Path(top) / name for top, name in shown if name.lower().endswith(".json"))
    return sorted(file for file in listed if is_labelme(file))


def is_labelme(file: Path) -> bool:
    """Whether the file begins as LabelMe's do."""
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD)
        return any(mark in head for mark in MARKS)
    except OSError:
        return False


class _LabelMeReader:
    def __init__(self, path: Path) -> None:
        folder = path if path.is_dir() else path.parent
        self.classes, self._images, self._files = ClassNames(), ImageIndex(folder), dict[str, Path]()
        self.builder = LabelsBuilder(folder, self._locate)

    def take(self, file: Path, key: int, *, wanted: bool) -> None:
        try:
            content = _content(file)
            objects = [(number, *each) for number, each in enumerate(_objects(content))]
            name, size = self._image(file, content)
            if wanted:
                self.builder.image(key, name, *size, on_disk=True)
        except ValueError as problem:
            return self.builder.skip(SkipKind.IMAGE, file, "", problem) if wanted else None
        self._files.setdefault(name, file)
        for number, label, shapes in objects:
            self._object(file, key, number, label, shapes, wanted=wanted)

    def _object(self, file: Path, key: int, number: int, label: Any, shapes: list[Shape], *, wanted: bool) -> None:
        try:
            category = self.classes.number(text_of(label, "label"))
            drawn = _object_of(shapes)
        except ValueError as problem:
            if wanted:
                self.builder.skip(SkipKind.ANNOTATION, file, f"object[{number}]", problem, number)
            return
        if wanted:
            crowd = any(map(_is_crowd, shapes))
            self.builder.box(
                key, category, drawn.corners, number=number, crowd=crowd, outline=drawn.outline, turned=drawn.turned
            )

    def _image(self, file: Path, content: Shape) -> tuple[str, Size]:
        stated = content.get("imagePath")
        near = os.path.relpath(file.parent, self._images.folder)
        name = self._images.find(stated, near=near) or self._beside(file, stated) if isinstance(stated, str) else None
        name = name or self._images.find(file.stem, near=near)
        sides = tuple(by_value(content.get(side)) or 0 for side in ("imageHeight", "imageWidth"))
        size = self._images.size(name, (sides[0], sides[1]) if all(side > 0 for side in sides) else None)
        return name or os.path.join("" if near == "." else near, Path(str(stated or f"{file.stem}.jpg")).name), size

    def _beside(self, file: Path, stated: str) -> str | None:
        """The image in another folder beside the set's that the path leads to, which starts from the file."""
        folder, image = self._images.folder, file.parent / with_slashes(stated)
        near = is_image_name(image.name, unread=True) and is_inside(image, folder.absolute().parent)
        return os.path.relpath(image, folder) if near and is_file(image) else None

    def _locate(self, name: str | None, number: int) -> tuple[Path, str]:
        return self._files[name or ""], f"object[{number}]"


def where(path: Path) -> Where:
    """Of boxes of the set."""
    known = dict[str, Path]()

    def place(name: str | None, number: int) -> tuple[Path, str]:
        if not known:
            reading = _LabelMeReader(path)
            for key, file in enumerate(files(path)):
                reading.take(file, key, wanted=True)
            known.update(reading._files)
        return known.get(name or "", path), f"object[{number}]"

    return place


def _object_of(shapes: list[Shape]) -> DrawnShape:
    """The polygons of one object, or the box around its shapes."""
    if all((shape.get("shape_type") or "polygon") == "polygon" for shape in shapes):
        return polygons([shape.get("points") for shape in shapes])
    return around([_drawn(shape) for shape in shapes])


def _content(file: Path) -> Shape:
    try:
        content = json.loads(read_bytes(file, MAX_BYTES))
    except (OSError, ValueError, RecursionError) as problem:
        raise InputError(f"cannot be read as JSON ({words(problem)})", "label-file-unreadable") from None
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise InputError("it has no list of shapes", "label-file-unreadable")
    return content


def _objects(content: Shape) -> Iterator[tuple[Any, list[Shape]]]:
    """Label and shapes of every object."""
    groups = dict[Any, list[Shape]]()
    for place, shape in enumerate(content["shapes"]):
        about = shape if isinstance(shape, dict) else {}
        group = about.get("group_id")
        key = (place,) if group == "" or not isinstance(group, int | str) else (group, repr(about.get("label")))
        groups.setdefault(key, []).append(about)
    return ((shapes[0].get("label"), shapes) for shapes in groups.values())


def _is_crowd(shape: Shape) -> bool:
    """Whether it is marked among its flags or, as other tools write it, beside them."""
    return any(map(is_marked, (shape, shape.get("flags"), shape.get("attributes"))))


def _drawn(shape: Shape) -> DrawnShape:
    kind, points = shape.get("shape_type") or "polygon", shape.get("points")
    if kind == "circle" and isinstance(points, list) and len(points) == 2:
        (x, y), (on, off) = (numbers(point, 2, "points") for point in points)
        reach = math.hypot(on - x, off - y)
        return DrawnShape([x - reach, y - reach, x + reach, y + reach])
    if kind in ("rectangle", "mask", "rotation") and isinstance(points, list) and len(points) >= 2:
        corners = [numbers(point, 2, "points") for point in points]
        low, high = (list(map(of, zip(*corners, strict=True))) for of in (min, max))
        return DrawnShape([*low, *high], turned=kind == "rotation" and are_turned(np.array(corners)))
    if kind == "polygon" and isinstance(points, list):
        return polygons([points])
    raise InputError(f"shape_type {kind!r:.40} of these points is not a box, polygon, circle or mask", "shape-unread")


def _split_of(path: Path, file: Path) -> str:
    """The first folder below `path` that is named as a split is, else empty."""
    parts = file.parent.relative_to(path).parts if path.is_dir() else ()
    return next((part for part in parts if is_usual(part)), "")


def splits(path: Path) -> tuple[str, ...]:
    """The folders that are named as splits are."""
    return tuple(dict.fromkeys(filter(None, map(partial(_split_of, path), files(path)))))


def _matches(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".json" and is_labelme(path)
    return path.is_dir() and any(map(_holds_files, folders_below(path, depth=1)))


def _holds_files(folder: Path) -> bool:
    """Whether they are at least half of the first files: one of another kind decides nothing."""
    some = visible_files(folder, "*.json")[:PROBED]
    return bool(some) and 2 * sum(map(is_labelme, some)) >= len(some)


def _read(
    path: Path, *, split: str | None = None, images: Path | None = None, purpose: Purpose = Purpose.TRAIN
) -> Labels:
    return read_labelme(path, split=split)


FORMAT = Format(
    name="labelme",
    title="LabelMe",
    layout="a folder of .json files beside their images",
    suffixes=(".json",),
    matches=_matches,
    resembles=lambda path: path.is_dir() and any(map(_holds_files, folders_below(path))),
    splits=splits,
    read=_read,
    file=lambda path, split: path,
    where=where,
    loose=True,
    texts=lambda part: files(part.file) if not is_file(part.file) else (),
    not_carried=lambda path: "flags, descriptions, points, lines and pixels of masks",
)
