"""YOLO's folders: a yaml that names classes and splits, and beside each picture of `images/` a text in `labels/`.

A line is a class number and a box, its middle x, y, width and height as fractions of the image; or a class number and
the corners x, y, x, y, ... of a polygon, as fractions; of poses the box is read and the keypoints are not.
https://docs.ultralytics.com/datasets/detect, /segment and /pose.
"""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from paretodet.images import SUFFIXES, UNREAD, read_size
from paretodet.labels.builder import Labels, LabelsBuilder, is_name
from paretodet.labels.model import Size
from paretodet.labels.rle import pack_rings
from paretodet.reading import is_file, is_folder

SPLITS = ("train", "val", "test")
NOTHING: tuple[Any, ...] = (None, "", [], "~", "null", "Null", "NULL")  # YAML's, which is read as text here
BOX = 5  # numbers: class, x, y, width, height; poses (`kpt_shape` in the yaml) have keypoints behind them, no corners
MAX_YAML = 2**20
MAX_LABELS = 2**24
MAX_LIST = 2**28
MAX_DEPTH = 16


def read_yolo(path: Path | str, *, split: str | None = None) -> Labels:
    """The images of one split that the yaml `path` names, or of all; a picture without a text has no objects.

    Sizes are the pictures' own, turned as EXIF says. Pictures and lines that cannot be used are skipped and told in
    `skipped`. Raises ValueError naming the yaml where it cannot be read or lacks a field.
    """
    path = Path(path)
    settings = read_yaml(path)
    names = class_names(settings, path)
    known = _splits(settings)
    if split is not None and split not in known:
        raise ValueError(f"split: got {split!r:.80}, {path} has {', '.join(known) or 'none'}")
    root = path.parent / _text(settings.get("path") or ".", "path", path)
    root = root if is_folder(root) else path.parent
    reading = _YoloReader(root, len(names), pose="kpt_shape" in settings)
    listed = _listed(settings, root, path, split)
    keys = {picture: key for key, picture in enumerate(dict.fromkeys(chain.from_iterable(listed.values())))}
    for picture in dict.fromkeys(chain.from_iterable(listed.values()) if split is None else listed[split]):
        reading.take(picture, keys[picture])
    return reading.rows.build(dict(enumerate(names)), source=path, named=True)


def read_splits(path: Path) -> tuple[str, ...]:
    """The splits that the yaml names. Raises ValueError as `read_yaml` does."""
    return tuple(_splits(read_yaml(path)))


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping whose values are text, lists and mappings: nothing is made a number, a date or an object.

    Raises ValueError naming the file where it is too large, nested too deeply, has an alias, or is no mapping.
    """
    try:
        text = _read(path, MAX_YAML)
        _check_events(text)
        found = yaml.load(text, yaml.BaseLoader)  # the loader that knows text, lists and mappings alone
    except (ValueError, yaml.YAMLError) as problem:
        raise ValueError(f"labels: {path} cannot be read as YAML ({' '.join(str(problem).split())})") from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ValueError(f"labels: {path} is no mapping, a data set's yaml names train, val and names")
    return found


def class_names(settings: dict[str, Any], path: Path) -> tuple[str, ...]:
    """`names`, a list or a mapping from 0, 1, ... Raises ValueError naming the file."""
    names = settings.get("names")
    if isinstance(names, dict):
        wanted = [str(number) for number in range(len(names))]
        if sorted(names) != sorted(wanted):
            raise ValueError(f"labels: {path} names: its numbers are 0 to {len(names) - 1}, each once")
        names = [names[number] for number in wanted]
    if not isinstance(names, list) or not names or not all(isinstance(each, str) and each for each in names):
        raise ValueError(f"labels: {path} has no names, a list of the classes or a mapping from 0, 1, ...")
    if bad := [each for each in names if not is_name(each)]:
        raise ValueError(f"labels: {path} names: {bad[0]!r:.40} holds a control character")
    if settings.get("nc", str(len(names))) != str(len(names)):
        raise ValueError(f"labels: {path} nc: got {settings['nc']!r:.40}, names has {len(names)} classes")
    return tuple(names)


def _splits(settings: dict[str, Any]) -> list[str]:
    return [each for each in SPLITS if settings.get(each) not in NOTHING]


def _listed(settings: dict[str, Any], root: Path, path: Path, split: str | None) -> dict[str, list[Path]]:
    """Every split's pictures. Raises ValueError where those that are wanted cannot be listed."""
    found = {}
    for each in _splits(settings):
        try:
            found[each] = list(_pictures(settings[each], root, f"{path} {each}"))
        except ValueError:
            if split in (None, each):
                raise
    return found


class _YoloReader:
    def __init__(self, root: Path, classes: int, *, pose: bool):
        self.rows = LabelsBuilder(root, self._place)
        self._classes, self._pose = classes, pose

    def take(self, picture: Path, key: int) -> None:
        try:
            text = label_file(picture)
            size = read_size(picture)
            lines = _read(text, MAX_LABELS).splitlines() if is_file(text) else []
        except ValueError as problem:
            return self.rows.skip(picture, "", str(problem).removeprefix(f"{picture}: "))
        inside = picture.is_relative_to(self.rows.folder)
        name = str(picture.relative_to(self.rows.folder)) if inside else str(picture.absolute())
        self.rows.listed_image(name, key, size)
        for number, line in enumerate(lines, 1):
            if line.strip():
                self._line(text, number, line, key, size)

    def _line(self, text: Path, number: int, line: str, key: int, size: Size) -> None:
        try:
            category, values = _values(" ".join(line.split()[:BOX]) if self._pose else line)
            if not 0 <= category < self._classes:
                raise ValueError(f"class {category}, the yaml names 0 to {self._classes - 1}")
            corners, outline = _placed(values, size)
        except ValueError as problem:
            return self.rows.skip(text, f"line {number}", str(problem))
        self.rows.box(key, category, corners, number=number, outline=(outline, (0, 0)))

    def _place(self, name: str | None, number: int) -> tuple[Path, str]:
        return label_file(self.rows.folder / (name or "")), f"line {number}"


def label_file(picture: Path) -> Path:
    """The text of a picture: the last `images` of its path is `labels` there, or it lies beside."""
    parts = list(picture.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def _values(line: str) -> tuple[int, np.ndarray]:
    fields = line.split()
    try:
        category, values = int(fields[0]), np.array([float(each) for each in fields[1:]])
    except ValueError:
        raise ValueError(f"{line.strip()!r:.60} is not a class number and numbers") from None
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise ValueError(f"{len(values)} numbers after the class: a box has 4, a polygon x, y of at least 3 corners")
    if not np.isfinite(values).all() or np.abs(values).max() > 2:
        raise ValueError(
            "a number is no fraction of the image: x and width are divided by its width, y and height by its"
        )
    return category, values


def _placed(values: np.ndarray, size: Size) -> tuple[list[float], bytes]:
    """Corners xyxy px, and the packed mask of a polygon."""
    height, width = size
    if len(values) == 4:
        x, y, w, h = values * (width, height, width, height)
        return [x - w / 2, y - h / 2, x + w / 2, y + h / 2], b""
    points = values.reshape(-1, 2) * (width, height)
    return [*points.min(0), *points.max(0)], pack_rings([points.ravel()])


def _pictures(where: Any, root: Path, what: str) -> Iterator[Path]:
    """Of a folder, a list of files in a text, or several of these."""
    for each in where if isinstance(where, list) else [where]:
        path = _found(_text(each, "", what), root, what)
        if is_folder(path):
            yield from sorted(
                Path(top) / file for top, _, files in os.walk(path) for file in files if _is_picture(file)
            )
        else:
            lines = (line.strip() for line in _read(path, MAX_LIST).splitlines())
            yield from (path.parent / line if line.startswith("./") else root / line for line in lines if line)


def _found(name: str, root: Path, what: str) -> Path:
    """Exports with `../train/images` mean it from a folder further down than their yaml."""
    for path in (root / name, root / name.removeprefix("../")):
        if is_folder(path) or path.suffix == ".txt" and is_file(path):
            return path
    raise ValueError(f"labels: {what}: {root / name} is neither a folder nor a text that lists pictures")


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES + UNREAD


def _text(value: Any, field: str, path: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"labels: {path} {field}: got {value!r:.60}, a folder is needed")
    return value


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, yaml.BaseLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it has an alias (*name), write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} lists inside of each other")


def _read(path: Path, limit: int) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise ValueError(f"{path} is larger than {limit >> 10} KiB")
        return content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise ValueError(f"{path} cannot be read ({problem})") from None
