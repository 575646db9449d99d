"""YOLO's folders: a yaml that names classes and splits, and for every image of `images/` a text in `labels/`.

A line is a class number and a box: its center x, y, width and height as fractions of the image; or a class number and
the corners x, y, x, y, ... of a polygon, as fractions. Of poses the box is read and the keypoints are not.
https://docs.ultralytics.com/datasets/detect, /segment and /pose.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from paretodet.errors import InputError, words
from paretodet.images import is_image_name, read_size
from paretodet.labels.builder import LabelsBuilder
from paretodet.labels.format import Format, Where
from paretodet.labels.formats.yolo_settings import (
    BOTH,
    NONE,
    NOTHING,
    ONE,
    OTHER_KEYS,
    SPLITS,
    SUFFIXES,
    class_names,
    flat,
    missing_keys,
    read_text,
    read_yaml,
    settings_file,
    whole,
)
from paretodet.labels.formats.yolo_writer import write_yolo
from paretodet.labels.image_columns import DEEPEST, without_folders
from paretodet.labels.image_index import PROBED, images_below, with_slashes
from paretodet.labels.lint.check import check
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.subject import LabeledSplit, Subject, straight
from paretodet.labels.model import Labels, Purpose, SkipKind
from paretodet.labels.numbers import check_numbers
from paretodet.labels.rle import Size, pack_rings
from paretodet.labels.shapes import are_turned
from paretodet.labels.splits import WHOLE
from paretodet.reading import is_file, is_folder, is_inside, visible_files

CORNERS = 8  # numbers of an oriented box: x, y of each
BOX = 5  # numbers: class, x, y, width, height; poses (`kpt_shape` in the yaml) have keypoints behind them, no corners
FOLDERS = {  # of images, and of their texts; the last as Darknet has it
    "images": "labels", "Images": "Labels", "IMAGES": "LABELS", "JPEGImages": "labels",
}  # fmt: skip
ROUNDING = 0.02  # of the image: how far keypoints lie outside of their box
NO_PLACE = "neither a folder nor a text that lists images"
MAX_LABELS = 2**24
MAX_LIST = 2**28


def read_yolo(path: Path | str, *, split: str | None = None) -> Labels:
    """The images of one split that the yaml `path` names, or of all; an image without a text has no objects.

    Sizes are those of the image files, turned as EXIF states. Images and lines that cannot be used are left out, and
    `skipped` says why. If every object has four corners, those that are no upright box are `turned`. Raises ValueError
    naming the yaml if it cannot be read or lacks a field.
    """
    path = Path(path)
    settings = read_yaml(path)
    names = class_names(settings, path)
    root = _folder(settings, path)
    known = _splits(settings, root, path)
    if not known:
        stated = ", ".join(map(repr, settings))
        raise InputError(
            f"labels: {path} names no images: it needs `train: FOLDER`, and its keys are {stated:.200}", "labels-none"
        )
    split = next((usual for usual, keys in SPLITS.items() if usual in known and split in keys), split)
    strays = {key: f"{root / each} is {NO_PLACE}" for key, each in missing_keys(settings, known, root).items()}
    if split in strays:
        raise InputError(f"labels: {path} {split}: {strays[split]}", "split-missing")
    if split is not None and split not in known:
        raise InputError(f"split: got {split!r:.80}, {path} has {', '.join(known) or 'none'}", "split-unknown")
    reading = _YoloReader(root, names, pose=settings.get("kpt_shape") not in NOTHING)
    listed, missing = _listed(known, root, path, split, lost=_lost_folder(settings, path))
    for key, problem in (missing | strays).items():
        reading.builder.skip(SkipKind.SPLIT, path, key, InputError(problem, "split-missing"))
    keys = {image: key for key, image in enumerate(dict.fromkeys(chain.from_iterable(listed.values())))}
    for image in dict.fromkeys(chain.from_iterable(listed.values()) if split is None else listed[split]):
        reading.take(image, keys[image])
    check_numbers(reading.numbers, range(len(names)), path)
    if not reading.oriented:
        del reading.builder.turned[:]
    return reading.builder.build(dict(enumerate(names)), source=path, named=True)


def _folder(settings: dict[str, Any], path: Path) -> Path:
    root = path.parent / _text(settings.get("path") or ".", "path", path)
    return root if is_folder(root) else path.parent


def _lost_folder(settings: dict[str, Any], path: Path) -> str:
    """What `path` of the yaml is if it is no folder, else empty."""
    stated: Any = settings.get("path")
    return "" if stated in NOTHING or is_folder(path.parent / with_slashes(stated)) else str(stated)


def read_splits(path: Path) -> tuple[str, ...]:
    """The splits that the yaml names. Raises ValueError as `read_yaml` does."""
    settings = read_yaml(path)
    return tuple(_splits(settings, _folder(settings, path), path))


def _splits(settings: dict[str, Any], root: Path, path: Path) -> dict[str, Any]:
    """Split -> where the yaml says that its images are. A key of another name is a split of that name, if it names
    images inside of the set that no usual split has. Raises ValueError if two keys are one split.
    """
    stated = {key: value for key, value in flat(settings).items() if value not in NOTHING}
    found = dict[str, Any]()
    for split, names in SPLITS.items():
        keys = [key for key in stated if key.strip().lower() in names]
        if len(keys) > 1:
            raise InputError(
                f"labels: {path}: {' and '.join(keys)} are one split, {split}: keep one of them", "labels-malformed"
            )
        found |= {split: stated.pop(keys[0])} if keys else {}
    further = {key: value for key, value in stated.items() if key not in OTHER_KEYS and _named(value, root)}
    known = {image for value in found.values() if further for image in _named(value, root)}
    return found | {key: value for key, value in further.items() if known.isdisjoint(_named(value, root))}


def _named(where: Any, root: Path) -> list[Path]:
    """The images inside of the set that a value of the yaml names."""
    try:
        places = [_place(_text(each, "", ""), root, "") for each in (where if isinstance(where, list) else [where])]
        inside = all(is_inside(each, root) for each in places)
        return [image for image in _images(where, root, "") if is_image_name(image.name, unread=True)] if inside else []
    except ValueError:
        return []


def _listed(
    known: dict[str, Any], root: Path, path: Path, split: str | None, *, lost: str
) -> tuple[dict[str, list[Path]], dict[str, str]]:
    """Every split's images, and why those of splits that are not wanted cannot be listed. Raises InputError if those
    that are wanted cannot; `lost` as `_lost_folder`.
    """
    listed, missing = dict[str, list[Path]](), dict[str, str]()
    for each, where in known.items():
        try:
            listed[each] = list(_images(where, root, f"{path} {each}"))
        except InputError as problem:
            hint = f"; and its `path: {lost:.200}` is no folder: correct it, or leave it out" if lost else ""
            if split in (None, each):
                raise InputError(words(problem) + hint, problem.id) from None
            missing[each] = words(problem).removeprefix(f"labels: {path} {each}: ") + hint
    return listed, missing


class _YoloReader:
    def __init__(self, root: Path, names: tuple[str, ...], *, pose: bool):
        self.builder = LabelsBuilder(root, where_of(root), written="cxcywh")
        self._names, self._pose = names, pose
        self.numbers = Counter[int]()  # of the lines, by the numbers of their classes
        self.oriented = True  # whether every object has four corners, as oriented boxes do, so that none is an outline

    def take(self, image: Path, key: int) -> None:
        try:
            text = label_file(image)
            size = read_size(image)
            lines = read_text(text, MAX_LABELS).splitlines() if is_file(text) else []
        except ValueError as problem:
            return self.builder.skip(SkipKind.IMAGE, image, "", problem)
        inside = image.is_relative_to(self.builder.folder)
        name = str(image.relative_to(self.builder.folder)) if inside else str(image.absolute())
        self.builder.image(key, name, *size, on_disk=True)
        for number, line in enumerate(lines, 1):
            if line.strip():
                self._line(text, number, line, key, size)

    def _line(self, text: Path, number: int, line: str, key: int, size: Size) -> None:
        try:
            category, values = self._values(line.split()[: BOX if self._pose else None])
            self.numbers[category] += 1
            if not 0 <= category < len(self._names):
                raise InputError(f"class {category}, the yaml names 0 to {len(self._names) - 1}", "category-unknown")
            corners, outline = _placed(values, size)
        except ValueError as problem:
            return self.builder.skip(SkipKind.ANNOTATION, text, f"line {number}", problem, number)
        self.oriented = self.oriented and len(values) == CORNERS
        turned = self.oriented and are_turned(values.reshape(-1, 2))
        self.builder.box(key, category, corners, number=number, outline=(outline, (0, 0)), turned=turned)

    def _values(self, fields: list[str]) -> tuple[int, np.ndarray]:
        """The class number and the numbers of a line. Raises ValueError."""
        try:
            values = np.array([float(each) for each in fields[1:]])
        except ValueError:
            values = None
        if values is None or "," in fields[0]:
            commas = ": numbers are parted by spaces and have no comma" * any("," in each for each in fields)
            raise InputError(f"{' '.join(fields)!r:.60} is not a class number and numbers{commas}", "line-malformed")
        if (category := whole(fields[0])) is None:
            names = self._names
            known = f", that of {fields[0]!r} is {names.index(fields[0])}" if fields[0] in names else ""
            raise InputError(f"{fields[0]!r:.40} is no class number{known}", "line-malformed")
        if _are_keypoints(values):
            shape = f"`kpt_shape: [{(len(values) - 4) // 3}, 3]`"
            raise InputError(
                f"{len(values)} numbers after the class seem to be a box and keypoints: write {shape} into the yaml",
                "line-malformed",
            )
        if len(values) != 4 and (len(values) < 6 or len(values) % 2):
            raise InputError(
                f"{len(values)} numbers after the class: a box has 4, a polygon x, y of at least 3 corners",
                "line-malformed",
            )
        if not np.isfinite(values).all() or np.abs(values).max() > 2:
            raise InputError(
                "a number is no fraction of the image: x and width are divided by its width, y and height by its",
                "line-not-normalized",
            )
        return category, values


def _are_keypoints(values: np.ndarray) -> bool:
    """Whether the numbers are a box and points inside of it, each with 0, 1 or 2 for how it is seen."""
    if len(values) < 2 * BOX or len(values) % 3 != 1:
        return False
    points = values[4:].reshape(-1, 3)
    seen = points[points[:, 2] > 0, :2]
    inside = (np.abs(seen - values[:2]) <= values[2:4] / 2 + ROUNDING).all()
    return bool(np.isin(points[:, 2], (0, 1, 2)).all() and len(seen) and inside)


def where_of(folder: Path) -> Where:
    """Of boxes of images whose names start from the folder."""
    return lambda name, number: (label_file(folder / (name or "")), f"line {number}")


def label_file(image: Path) -> Path:
    """The text of an image: in its path the last `images` is replaced by `labels`, in capitals or not as it is written;
    without one, or where there is no such folder, it lies beside it.
    """
    parts = list(image.parts)
    for place in reversed(range(len(parts) - 1)):
        if parts[place] in FOLDERS:
            parts[place] = FOLDERS[parts[place]]
            break
    usual, beside = Path(*parts).with_suffix(".txt"), image.with_suffix(".txt")
    found = beside if usual != beside and not is_folder(usual.parent) and is_file(beside) else usual
    capitals = found.with_suffix(".TXT")
    return capitals if not is_file(found) and is_file(capitals) else found


def _placed(values: np.ndarray, size: Size) -> tuple[list[float], bytes]:
    """Corners xyxy px, and the packed mask of a polygon."""
    height, width = size
    if len(values) == 4:
        x, y, w, h = values * (width, height, width, height)
        return [x - w / 2, y - h / 2, x + w / 2, y + h / 2], b""
    points = values.reshape(-1, 2) * (width, height)
    return [*points.min(0), *points.max(0)], pack_rings([points.ravel()])


def _images(where: Any, root: Path, what: str) -> Iterator[Path]:
    """Those of a folder, of a text that lists files, or of several of these."""
    for each in where if isinstance(where, list) else [where]:
        path = _place(_text(each, "", what), root, what)
        if is_folder(path):
            yield from sorted(path / name for name in images_below(path))
        else:
            yield from _of_list(path, root)


def _of_list(path: Path, root: Path) -> list[Path]:
    """The images that a text lists. If none of the first is there, all are found without the first folders of their
    names, which may be those of another machine.
    """
    lines = [line for each in read_text(path, MAX_LIST).splitlines() if (line := with_slashes(each.strip()))]
    folders = [path.parent if line.startswith("./") else root for line in lines]
    given = [folder / line for folder, line in zip(folders, lines, strict=True)]
    if any(map(is_file, given[:PROBED])):
        return given
    for count in range(1, min(DEEPEST, max((line.count("/") for line in lines), default=0)) + 1):
        ends = [folder / without_folders(line, count) for folder, line in zip(folders, lines, strict=True)]
        if any(map(is_file, ends[:PROBED])) and len(set(ends)) == len(set(given)):
            return ends
    return given


def _place(name: str, root: Path, what: str) -> Path:
    """Some exports write `../train/images` for `train/images` beside their yaml."""
    for path in (root / name, root / name.removeprefix("../")):
        if is_folder(path) or path.suffix.lower() == ".txt" and is_file(path):
            return path
    raise InputError(f"labels: {what}: {root / name} is {NO_PLACE}", "labels-malformed")


def _text(value: Any, field: str, path: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise InputError(f"labels: {path} {field}: got {value!r:.60}, a folder is needed", "labels-malformed")
    return with_slashes(value)


@check("label-without-image", "warning", "Copy the image there, or remove the labels.")
def without_image(subject: Subject) -> Iterator[Place]:
    known = {label_file(file) for part in subject.parts for file in part.files}
    known |= {label_file(straight(skip.file)) for part in subject.parts for skip in part.data.skipped if not skip.place}
    for folder in sorted({file.parent for file in known}):
        for file in visible_files(folder, "*.txt"):
            if file not in known and _is_labels(file):
                yield Place(file, "", f"no image of {subject.parts[0].file.name} belongs to it")


def _is_labels(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(64).lstrip()[:1].isdigit()


@check("split-of-another-name", "warning", "Call the key train, val or test: commands take these by default.")
def another_name(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        if part.split not in (*SPLITS, WHOLE):
            yield Place(part.file, part.split, f"it has {len(part.data)} images, and is read as a split of this name")


def _file(path: Path, split: str | None) -> Path:
    found = (settings_file(path, least=least) for least in (BOTH, ONE, NONE))
    return next((file for file in found if file is not None), path)


def _root(path: Path) -> Path:
    """The folder that names start from."""
    return _folder(read_yaml(path), path)


def _texts(part: LabeledSplit) -> Iterator[Path]:
    return (label_file(file) for file in part.files)


def _not_carried(path: Path) -> str:
    return "keypoints of poses" if read_yaml(_file(path, None)).get("kpt_shape") not in NOTHING else ""


def _read(
    path: Path, *, split: str | None = None, images: Path | None = None, purpose: Purpose = Purpose.TRAIN
) -> Labels:
    return read_yolo(_file(path, split), split=split)


FORMAT = Format(
    name="yolo",
    write=write_yolo,
    title="YOLO",
    layout="a .yaml that names train, val and names, or a folder with one",
    suffixes=SUFFIXES,
    matches=lambda path: settings_file(path) is not None,
    may_be=lambda path: _file(path, None) != path,
    splits=lambda path: read_splits(_file(path, None)),
    read=_read,
    file=_file,
    where=lambda file: where_of(straight(_root(file))),
    checks=(without_image, another_name),
    label_file=lambda path, image: label_file(image),
    texts=_texts,
    not_carried=_not_carried,
)
