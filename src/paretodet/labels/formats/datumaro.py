"""Datumaro's JSON: annotations/<subset>.json with items and their annotations, images in images/<subset> or images.

https://open-edge-platform.github.io/datumaro/. Boxes are x, y, width, height in pixels; annotations of one group and
one label are one object.
"""

import re
from pathlib import Path
from typing import Any

from paretodet.errors import InputError
from paretodet.labels.builder import LabelsBuilder, by_value, text_of, whole_number
from paretodet.labels.format import Format, Where, one_file_a_split
from paretodet.labels.image_index import ImageIndex, folders_below
from paretodet.labels.json_stream import elements
from paretodet.labels.model import Labels, SkipKind
from paretodet.labels.rle import Size, box_around, pack
from paretodet.labels.shapes import (
    NO_OUTLINE,
    DrawnShape,
    angle_of,
    around,
    is_marked,
    is_turned,
    numbers,
    polygons,
    turned_box,
)
from paretodet.reading import is_file, visible_files

HEAD = 2**16
CATEGORIES = re.compile(rb'"categories"\s*:\s*\{')  # COCO's are a list
FOLDER = "annotations"
WHOLE = ("label", "caption")  # types of annotations of the whole image
Item = dict[str, Any]


def read_datumaro(path: Path | str, *, images: Path | str | None = None) -> Labels:
    """The items of one file, with its classes in their order.

    `images` is the folder that has the image files, or has them below; else the one beside the folder of the file.
    Raises ValueError naming the file and what it lacks.
    """
    path = Path(path)
    beside = path.parent.parent if path.parent.name == FOLDER else path.parent
    reading = _DatumaroReader(path, Path(images) if images else beside)
    for key, number, value in elements(path):
        if key == "categories":
            reading.classes = _classes(value)
        elif key == "items" and number >= 0:
            reading.take(number, value)
    if not reading.classes:
        raise InputError(f"labels: {path} has no categories.label.labels with names", "labels-malformed")
    return reading.builder.build(dict(enumerate(reading.classes)), source=path, named=True)


class _DatumaroReader:
    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.classes, self._images = path, tuple[str, ...](), ImageIndex(folder)
        self.builder, self._numbers = LabelsBuilder(folder, where(path)), 0

    def take(self, number: int, item: Any) -> None:
        about = item if isinstance(item, dict) else {}
        objects = _objects(about)
        first, self._numbers = self._numbers, self._numbers + len(objects)
        try:
            media: dict[str, Any] = next(
                (about[name] for name in ("image", "media") if isinstance(about.get(name), dict)), {}
            )
            stated = text_of(media.get("path") or about.get("id"), "id")
            name = self._images.find(stated, near=f"images/{self.path.stem}")
            self.builder.image(number, name or stated, *self._images.size(name, _size(media.get("size"))))
        except ValueError as problem:
            return self.builder.skip(SkipKind.IMAGE, self.path, f"items[{number}]", problem, number)
        for place, parts in enumerate(objects, first):
            self._object(number, place, parts)

    def _object(self, key: int, number: int, parts: list[Item]) -> None:
        try:
            label = whole_number(parts[0].get("label_id"), "label_id")
            drawn = _drawn(parts)
        except ValueError as problem:
            return self.builder.skip(SkipKind.ANNOTATION, *where(self.path)(None, number), problem, number)
        crowd = any(is_marked(part.get("attributes")) for part in parts)
        self.builder.box(
            key, label, drawn.corners, number=number, crowd=crowd, outline=drawn.outline, turned=drawn.turned
        )


def where(file: Path) -> Where:
    """Of boxes of the file."""
    return lambda name, number: (file, f"object[{number}]")


def _classes(categories: Any) -> tuple[str, ...]:
    """Raises InputError for a name that is none."""
    labels = categories.get("label") if isinstance(categories, dict) else None
    listed = labels.get("labels") if isinstance(labels, dict) else None
    names = (each.get("name") if isinstance(each, dict) else each for each in listed or ())
    return tuple(text_of(name, "categories.label.labels") for name in names)


def _objects(item: Item) -> list[list[Item]]:
    """The annotations of each object."""
    groups = dict[Any, list[Item]]()
    listed = item["annotations"] if isinstance(item.get("annotations"), list) else []
    for place, each in enumerate(part for part in listed if isinstance(part, dict) and part.get("type") not in WHOLE):
        group = by_value(each.get("group")) if not isinstance(each.get("group"), int) else each["group"]
        key = (group, repr(each.get("label_id"))) if group else (place,)
        groups.setdefault(key, []).append(each)
    return list(groups.values())


def _size(value: Any) -> Size | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    return whole_number(value[0], "size"), whole_number(value[1], "size")


def _drawn(parts: list[Item]) -> DrawnShape:
    """The box that is drawn, else the one around the polygons or the masks; with the outline."""
    kinds = {part.get("type") for part in parts}
    if strange := kinds - {"bbox", "polygon", "mask"}:
        raise InputError(f"type {min(map(str, strange))!r:.40} is not a bbox, polygon or mask", "shape-unread")
    boxes = [_box(part) for part in parts if part["type"] == "bbox"]
    rings = [_ring(part.get("points")) for part in parts if part["type"] == "polygon"]
    outline = polygons(rings) if rings else None
    masks = [pack(part.get("rle")) for part in parts if part["type"] == "mask"]
    if outline is None:
        boxes = boxes or [DrawnShape(_around(packed)) for packed, _ in masks if packed]
        if not boxes:
            raise InputError("a mask has neither run lengths nor a bbox beside it", "shape-unread")
    drawn = around(boxes) if boxes else outline
    assert drawn is not None
    packed = outline.outline if outline else masks[0] if len(masks) == 1 else NO_OUTLINE
    return drawn._replace(outline=packed)


def _box(part: Item) -> DrawnShape:
    x, y, wide, high = numbers(part.get("bbox"), 4, "bbox")
    angle = angle_of(part.get("attributes"))
    return DrawnShape(turned_box(x, y, x + wide, y + high, angle), turned=is_turned(angle))


def _around(packed: bytes) -> list[float]:
    x, y, wide, high = box_around(packed)
    return [x, y, x + wide, y + high]


def _ring(points: Any) -> list[float]:
    """x, y, x, y, ..."""
    return numbers(points, len(points) // 2 * 2 if isinstance(points, list) else 6, "points")


def is_datumaro(file: Path) -> bool:
    """Whether the file begins as Datumaro's do."""
    try:
        with file.open("rb") as opened:
            return CATEGORIES.search(opened.read(HEAD)) is not None
    except OSError:
        return False


def _files(path: Path) -> dict[str, Path]:
    """Subset -> file: the file itself, else those of the folder, else those of folders below."""
    return _here(path) or (_below(path) if path.is_dir() else {})


def _here(path: Path) -> dict[str, Path]:
    if path.is_dir():
        return {file.stem: file for file in visible_files(path, "*.json", f"{FOLDER}/*.json") if is_datumaro(file)}
    return {path.stem: path} if path.suffix.lower() == ".json" and is_file(path) and is_datumaro(path) else {}


def _below(path: Path) -> dict[str, Path]:
    """With the folder in its name where a project has several sources."""
    found = {folder: _here(folder) for folder in folders_below(path) if folder.name != FOLDER}
    sets = {folder: files for folder, files in found.items() if files}
    return {
        stem if len(sets) == 1 else f"{folder.relative_to(path).as_posix()}/{stem}": file
        for folder, files in sets.items()
        for stem, file in files.items()
    }


FORMAT = Format(
    name="datumaro",
    title="Datumaro",
    layout=f"{FOLDER}/<subset>.json with items, and images",
    suffixes=(".json",),
    where=where,
    **one_file_a_split(_files, read_datumaro) | {"matches": lambda path: bool(_here(path))},
    resembles=lambda path: bool(_files(path)),
    not_carried=lambda path: "attributes, order of depth, points, lines and labels of whole images",
)
