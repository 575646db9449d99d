"""Open Images' boxes: <split>-annotations-bbox.csv, a line a box, and class-descriptions-boxable.csv with the names.

Kuznetsova et al. 2020, "The Open Images Dataset V4"; https://storage.googleapis.com/openimages/web/download_v7.html.
Coordinates are fractions of the image. Boxes say nothing about a class that was not looked for in an image:
<split>-annotations-human-imagelabels-boxable.csv, if it is there, lists the classes that an image verifiably lacks. The
hierarchy of the classes is not read: a box has the one class of its line.
"""

import csv
import math
import os
import re
from collections.abc import Iterator
from glob import escape
from pathlib import Path

from paretodet.errors import InputError, words
from paretodet.images import read_size
from paretodet.labels.builder import LabelsBuilder, by_value, is_name
from paretodet.labels.format import Format, Where, one_file_a_split
from paretodet.labels.image_index import images_below
from paretodet.labels.model import Labels, SkipKind
from paretodet.reading import is_file, is_folder, visible_files

END, NAMES = "-annotations-bbox.csv", "*class-descriptions*.csv"
VERIFIED = "*{split}-annotations-human-imagelabels-boxable.csv"
CORNERS = ("XMin", "YMin", "XMax", "YMax")
NEEDED = ("ImageID", "LabelName", *CORNERS)
GROUP = "IsGroupOf"
STATED = ("ImageID", "LabelName", "Confidence")  # of a whole image: 0 if it verifiably lacks the class
FOLDERS = ("images/{split}", "{split}", "images", "")  # of a split's images, from that which their names start from
MAX_LINE = 2**16
Line = tuple[int, list[str]]


def read_open_images(path: Path | str, *, images: Path | str | None = None) -> Labels:
    """The boxes of one file. Classes are those of the descriptions beside it, in their order.

    An image is the file of that name, with any suffix, in the folder of the split or below; `images` is the folder that
    names start from, else that of the labels. Sizes are those of the image files, turned as EXIF states. Groups are
    crowds. With the file of verified classes the labels are federated. Images and lines that cannot be used are left
    out, and `skipped` says why. Raises ValueError naming the file and what it lacks.
    """
    path = Path(path)
    classes = _class_names(path)
    reading = _OpenImagesReader(
        path, Path(images) if images else path.parent, {key: at for at, key in enumerate(classes)}
    )
    lines = _lines(path)
    reading.header(next(lines, (1, []))[1])
    for number, values in lines:
        reading.take(number, values)
    verified = _verified(path)
    if verified is not None:
        reading.take_absent(verified)
    names = dict(enumerate(classes.values()))
    return reading.builder.build(names, source=path, named=True, frequency=None if verified is None else ())


class _OpenImagesReader:
    def __init__(self, path: Path, folder: Path, classes: dict[str, int]) -> None:
        self.path, self.builder = path, LabelsBuilder(folder, where(path), written="xyxy")
        self._classes, self._files = classes, _image_files(folder, split_of(path))
        self._images = dict[str, tuple[int, tuple[int, int] | None]]()  # id -> key and size, None if it has no file

    def header(self, names: list[str]) -> None:
        self._columns = _columns(self.path, names, NEEDED)
        self._group = names.index(GROUP) if GROUP in names else None
        self._width = len(names)

    def take(self, number: int, values: list[str]) -> None:
        try:
            if len(values) != self._width:
                raise InputError(f"{len(values)} values, the first line names {self._width}", "line-malformed")
            image, label, *corners = (values[column].strip() for column in self._columns)
            box = _fractions(corners)
        except ValueError as problem:
            return self._skip(SkipKind.ANNOTATION, number, problem)
        key, size = self._images.get(image) or self._add(image, number)
        if size is None:
            return
        height, width = size
        placed = [side * whole for side, whole in zip(box, (width, height, width, height), strict=True)]
        crowd = self._group is not None and by_value(values[self._group]) == 1
        self.builder.box(key, self._classes.get(label, -1), placed, number=number, crowd=crowd)

    def take_absent(self, file: Path) -> None:
        lines = _lines(file)
        columns = _columns(file, next(lines, (1, []))[1], STATED)
        for _, values in lines:
            image, label, confidence = (values[each] if each < len(values) else "" for each in columns)
            if by_value(confidence) == 0 and image in self._images and label in self._classes:
                self.builder.federate(self._images[image][0], [self._classes[label]], [])

    def _add(self, image: str, number: int) -> tuple[int, tuple[int, int] | None]:
        """The key and the size of an image that is new."""
        key, size = len(self._images), None
        try:
            if image not in self._files:
                raise InputError(
                    f"no file {image!r:.80} with a suffix of images in {self.builder.folder}", "image-missing"
                )
            size = read_size(self.builder.folder / self._files[image])
            self.builder.image(key, self._files[image], *size, on_disk=True)
        except ValueError as problem:
            self._skip(SkipKind.IMAGE, number, problem)
        self._images[image] = key, size
        return self._images[image]

    def _skip(self, kind: SkipKind, number: int, problem: ValueError) -> None:
        self.builder.skip(kind, self.path, f"line {number}", problem, number)


def where(file: Path) -> Where:
    """Of boxes of the file."""
    return lambda name, number: (file, f"line {number}")


def split_of(file: Path) -> str:
    """oidv6-train-annotations-bbox.csv is of train."""
    return re.sub(rf"^oidv\d+-|({re.escape(END)}|\.csv)$", "", file.name, flags=re.IGNORECASE)


def _columns(file: Path, names: list[str], needed: tuple[str, ...]) -> list[int]:
    """Their places in the first line. Raises ValueError."""
    if missing := [name for name in needed if name not in names]:
        raise InputError(f"labels: {file} has no column {missing[0]} in its first line", "labels-malformed")
    return [names.index(name) for name in needed]


def _first(folder: Path, pattern: str) -> Path | None:
    return next((each for each in visible_files(folder, pattern) if is_file(each)), None)


def _verified(path: Path) -> Path | None:
    """The file of verified classes beside that of the boxes."""
    return _first(path.parent, VERIFIED.format(split=escape(split_of(path))))


def _caution(path: Path) -> str:
    wanted = VERIFIED.format(split=split_of(path)).removeprefix("*")
    text = f"{path.name} does not say which classes were looked for in which images, so all count as looked for: copy"
    return "" if _verified(path) else f"{text} {wanted} into its folder"


def _fractions(texts: list[str]) -> list[float]:
    try:
        values = [float(text) for text in texts]
    except ValueError:
        raise InputError(
            f"{', '.join(CORNERS)} are {', '.join(texts):.60}, numbers are needed", "line-malformed"
        ) from None
    if not all(math.isfinite(value) and abs(value) <= 2 for value in values):
        raise InputError(
            f"{', '.join(CORNERS)} are {', '.join(texts):.60}, no fractions of the image", "line-not-normalized"
        )
    return values


def _class_names(path: Path) -> dict[str, str]:
    """Name by the class's id, in the order of the file beside the boxes' file. Raises ValueError."""
    if (file := _first(path.parent, NAMES)) is None:
        raise InputError(
            f"labels: {path.parent} has no class-descriptions-boxable.csv, which names the classes of {path.name}",
            "labels-malformed",
        )
    names = dict[str, str]()
    for number, values in _lines(file):
        if len(values) != 2 or not is_name(values[0]) or not is_name(values[1]):
            raise InputError(f"labels: {file} line {number}: an id and a name are needed", "labels-malformed")
        names.setdefault(*values)
    names.pop("LabelName", None)  # the first line of the versions since 7
    if not names:
        raise InputError(f"labels: {file} names no class", "labels-malformed")
    return names


def _lines(path: Path) -> Iterator[Line]:
    """The values of every line that is not empty, with its number from 1. Raises ValueError naming the file."""
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            while text := file.readline(MAX_LINE):
                number += 1
                if len(text) == MAX_LINE:
                    raise InputError(f"it has more than {MAX_LINE} characters", "labels-malformed")
                if text.strip():
                    yield number, next(csv.reader([text], strict=True))
    except (OSError, ValueError, csv.Error, StopIteration) as problem:
        raise InputError(
            f"labels: {path} line {number} cannot be read ({words(problem)})", "labels-malformed"
        ) from None


def _image_files(folder: Path, split: str) -> dict[str, str]:
    """Name from the folder by stem, of all images of the split's folder and those below; of two the first by name."""
    places = (folder / each.format(split=split) for each in FOLDERS)
    top = next(place for place in places if is_folder(place) or place == folder)
    known = dict[str, str]()
    for name in sorted(os.path.relpath(top / name, folder) for name in images_below(top)):
        known.setdefault(Path(name).stem, name)
    return known


def _files(path: Path) -> dict[str, Path]:
    """Split -> file."""
    if not path.is_dir():
        return {split_of(path): path} if path.suffix.lower() == ".csv" and is_file(path) and _is_boxes(path) else {}
    listed = visible_files(path, f"*{END}") or visible_files(path, "*.csv")
    return {split_of(file): file for file in listed if _is_boxes(file)}


def _is_boxes(file: Path) -> bool:
    try:
        return {"ImageID", *CORNERS} <= set(next(_lines(file), (1, []))[1])
    except ValueError:
        return False


FORMAT = Format(
    name="openimages",
    title="Open Images",
    layout=f"<split>{END} and class-descriptions-boxable.csv in one folder",
    suffixes=(".csv",),
    where=where,
    **one_file_a_split(_files, read_open_images),
    caution=_caution,
    not_carried=lambda path: "occlusion, truncation, depictions, views from inside, source and confidence",
)
