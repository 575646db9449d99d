"""CSV files with a line for every box, and the headers that are usual for them.

`filename,width,height,class,xmin,ymin,xmax,ymax` (TensorFlow's examples), `path,x1,y1,x2,y2,class` without a header
(keras-retinanet), `image_id,width,height,bbox` and `image,x,y,w,h` (Kaggle's), and others with the same columns.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

from paretodet.errors import InputError, words
from paretodet.labels.builder import LabelsBuilder, by_value, text_of
from paretodet.labels.format import Format, Where
from paretodet.labels.image_index import ClassNames, ImageIndex, subfolders
from paretodet.labels.lint.check import check
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.subject import Subject
from paretodet.labels.misread import SLACK
from paretodet.labels.model import Labels, Purpose, SkipKind
from paretodet.labels.rle import Size
from paretodet.labels.shapes import MARKS, is_set, numbers
from paretodet.labels.splits import canonical, chosen_file, distinct, is_usual, learned, named
from paretodet.reading import is_file, visible_files

MAX_LINE = 2**16
PROBED = 1000  # lines that decide between fractions and pixels
IMAGE = ("filename", "file_name", "image", "image_id", "image_name", "image_path", "path", "file", "filepath", "img")
CLASS = (
    "class", "label", "labels", "category", "class_name", "label_name", "category_name", "classname", "labelname",
    "name", "class_label", "object_class", "class_id", "classid", "label_id", "labelid", "category_id", "categoryid",
    "cls",
)  # fmt: skip
CORNERS = (("xmin", "x_min", "x1", "left"), ("ymin", "y_min", "y1", "top"),
           ("xmax", "x_max", "x2", "right"), ("ymax", "y_max", "y2", "bottom"))  # fmt: skip
SIDES = (("x", "bbox_x", "x_min", "left"), ("y", "bbox_y", "y_min", "top"),
         ("w", "width", "bbox_w", "bbox_width"), ("h", "height", "bbox_h", "bbox_height"))  # fmt: skip
BOX = ("bbox", "box")  # "[x, y, width, height]" in one column
HEIGHT, WIDTH = ("image_height", "img_height", "height"), ("image_width", "img_width", "width")
BARE = ("path", "x1", "y1", "x2", "y2", "class")  # columns of files without a header
SPLIT = ("split", "set", "subset", "usage", "partition")  # what a column of splits is called
ONLY = "object"  # the class, if no column names one
OTHER_COMMAS = (";", "\t")
# Of the file's name, behind the split or before it:
SUFFIX = re.compile(r"[-_ ]?(labels?|annotations?|boxes)$", re.IGNORECASE)
PREFIX = re.compile(r"^(labels?|annotations?|boxes)[-_ ]", re.IGNORECASE)
Line = tuple[int, list[str]]


class TableColumns(NamedTuple):
    """The places of the columns; -1 for one that is not there."""

    image: int
    label: int
    box: tuple[int, ...]  # four corners, or x, y, width and height, or the one of all four
    sides: bool  # the box is x, y, width and height
    size: tuple[int, int]  # height and width of the image
    total: int  # columns
    header: bool
    marks: tuple[int, ...] = ()  # of crowds
    split: int = -1


def read_table(path: Path | str, *, split: str | None = None, images: Path | str | None = None) -> Labels:
    """The boxes of one file, those of one `split` of its column of splits, or all; classes are all that it names, in
    alphabetical order.

    `images` is the folder that has the image files, or has them below; else the file's. Boxes that all lie in 0..1 are
    fractions of the image. A line whose box is empty is an image without objects. Raises ValueError naming the file and
    what it lacks, and if no split is named where some lines are for training and others are not.
    """
    path = Path(path)
    columns = find_columns(path) or _no_columns(path)
    wanted = _wanted(path, columns, split)
    reading = _TableReader(path, Path(images) if images else path.parent, columns, wanted)
    for number, values in _rows(path, columns):
        reading.take(number, values)
    return reading.builder.build(reading.classes.sorted, source=path, named=True)


def _no_columns(path: Path) -> NoReturn:
    """Raises InputError for a file that is no text, or whose first line names no columns."""
    next(_lines(path), None)
    raise InputError(f"labels: {path} has no columns of an image and a box in its first line", "labels-malformed")


def _splits_of(path: Path, columns: TableColumns) -> dict[str, str]:
    """The splits that a column names, as it first writes each, by `canonical`. None if it names no usual split, as
    numbers of folds are; of one or several without one for training all must be usual.
    """
    if columns.split < 0:
        return {}
    state = path.stat()
    return _named_splits(path, columns, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _named_splits(path: Path, columns: TableColumns, changed: int, size: int) -> dict[str, str]:
    """Cached by the time of the last change and the size: a set is asked for its splits several times."""
    rows = (values for _, values in _rows(path, columns) if len(values) == columns.total)
    found = dict[str, str]()
    for name in (values[columns.split].strip() for values in rows):
        if name:
            found.setdefault(canonical(name), name)
    names = found.values()
    numbered = any(by_value(name) is not None for name in names)
    several = len(names) > 1 and learned(names) and (not numbered or sum(map(is_usual, names)) > 1)
    return found if several or all(map(is_usual, names)) else {}


def _wanted(path: Path, columns: TableColumns, split: str | None) -> str | None:
    """A split by `canonical`, None for all lines. Raises InputError if the column of splits does not have it, or if
    none is named where all lines would be trained on.
    """
    known = _splits_of(path, columns)
    column = next(_lines(path))[1][columns.split] if known else ""
    if split is None and len(known) > 1 and learned(known.values()):
        raise InputError(
            f"labels: {path} has the splits {', '.join(sorted(known.values()))} in its column {column!r:.40}: name one "
            f"as the split, or write each into a file, {', '.join(f'{name}.csv' for name in sorted(known.values()))}",
            "split-unnamed",
        )
    name = named(split, known.values())
    if name is not None and name not in known.values():
        where = f" in its column {column!r:.40}" if known else ""
        raise InputError(
            f"split: got {split!r:.80}, {path} has {', '.join(known.values()) or 'none'}{where}", "split-unknown"
        )
    return None if name is None else canonical(name)


class _TableReader:
    def __init__(self, path: Path, folder: Path, columns: TableColumns, split: str | None) -> None:
        self.path, self.columns, self.classes, self._index = path, columns, ClassNames(), ImageIndex(folder)
        self._split = split
        self._fractions = _are_fractions(path, columns)
        form: Literal["xyxy", "xywh"] = "xywh" if columns.sides else "xyxy"
        self.builder = LabelsBuilder(folder, where(path), form=form, written=form if self._fractions else None)
        self._keys, self._images = dict[str, int](), dict[str, Size | None]()

    def take(self, number: int, values: list[str]) -> None:
        wanted = True
        try:
            if len(values) != self.columns.total:
                raise InputError(f"{len(values)} values, {self.columns.total} are needed", "line-malformed")
            wanted = self._is_wanted(values)
            box = _box(values, self.columns)
            label = values[self.columns.label].strip() if self.columns.label >= 0 else ONLY
            category = None if box is None else self.classes.number(text_of(label, "class"))
        except ValueError as problem:
            if wanted:
                self.builder.skip(SkipKind.ANNOTATION, self.path, f"line {number}", problem, number)
            return
        image = values[self.columns.image].strip()
        key = self._keys.setdefault(image, len(self._keys))
        size = self._image(image, key, values, number) if wanted else None
        if size is None or box is None or category is None:
            return
        height, width = size if self._fractions else (1, 1)
        crowd = any(is_set(values[place]) for place in self.columns.marks)
        placed = [side * whole for side, whole in zip(box, (width, height, width, height), strict=True)]
        self.builder.box(key, category, placed, number=number, crowd=crowd)

    def _is_wanted(self, values: list[str]) -> bool:
        """Whether the line is of the split. Raises InputError if one is needed and it states none."""
        if self._split is None:
            return True
        if not (name := values[self.columns.split].strip()):
            raise InputError("its split is empty, so it is in none", "field-malformed")
        return canonical(name) == self._split

    def _image(self, stated: str, key: int, values: list[str], number: int) -> Size | None:
        """Its size; None if it cannot be used."""
        if stated in self._images:
            return self._images[stated]
        size = None
        try:
            name = self._index.find(stated)
            size = self._index.size(name, self._size(values))
            self.builder.image(key, name or stated.lstrip("/"), *size)
        except ValueError as problem:
            size = None
            self.builder.skip(SkipKind.IMAGE, self.path, f"line {number}", problem, number)
        self._images[stated] = size
        return size

    def _size(self, values: list[str]) -> Size | None:
        height, width = (by_value(values[place]) or 0 if place >= 0 else 0 for place in self.columns.size)
        return (height, width) if height > 0 and width > 0 else None


def where(file: Path) -> Where:
    """Of boxes of the file."""
    return lambda name, number: (file, f"line {number}")


def find_columns(path: Path) -> TableColumns | None:
    """By the names in the first line, else by six values of which four are numbers or empty."""
    try:
        first = next(_lines(path), (1, []))[1]
    except ValueError:
        return None
    names = [re.sub(r"[\s-]+", "_", each.strip().lower()) for each in first]
    image, label = _place(names, IMAGE), _place(names, CLASS)
    marks = tuple(place for place, name in enumerate(names) if name in MARKS)
    split = _place(names, SPLIT)
    corners, sides = _places(names, CORNERS), _places(names, SIDES)
    size = (_place(names, HEIGHT), _place(names, WIDTH))
    if image >= 0 and corners:
        return TableColumns(image, label, corners, False, size, len(names), True, marks, split)
    if image >= 0 and (one := _place(names, BOX)) >= 0:
        return TableColumns(image, label, (one,), True, size, len(names), True, marks, split)
    if image >= 0 and sides:
        stated = (_place(names, HEIGHT[:2]), _place(names, WIDTH[:2]))
        return TableColumns(image, label, sides, True, stated, len(names), True, marks, split)
    if len(first) == len(BARE) and first[0].strip() and _all_numbers(first[1:5]):
        return TableColumns(0, 5, (1, 2, 3, 4), False, (-1, -1), len(BARE), False)
    return None


def _place(names: Sequence[str], known: Sequence[str]) -> int:
    return next((names.index(name) for name in known if name in names), -1)


def _places(names: Sequence[str], known: Sequence[Sequence[str]]) -> tuple[int, ...]:
    """Of all of them; empty if one is missing."""
    found = tuple(_place(names, each) for each in known)
    return found if min(found) >= 0 else ()


def _all_numbers(texts: Sequence[str]) -> bool:
    try:
        return not any(map(str.strip, texts)) or len([float(text) for text in texts]) > 0
    except ValueError:
        return False


def _box(values: list[str], columns: TableColumns) -> list[float] | None:
    """Its four numbers, None if the line has no box. Raises InputError."""
    texts = [values[place].strip() for place in columns.box]
    if len(texts) == 1:
        texts = [part.strip() for part in texts[0].strip("[]() ").split(",")]
    if not any(texts):
        return None
    if any("," in text for text in texts):
        raise InputError(f"the box is {texts!r:.60}: numbers have a point and no comma", "box-malformed")
    return numbers(texts, 4, "the box")


def _are_fractions(path: Path, columns: TableColumns) -> bool:
    """Whether the boxes of the first lines all lie in 0..1, up to rounding, and not only at its ends."""
    corners = list[float]()
    for _, values in islice(_rows(path, columns), PROBED):
        try:
            box = _box(values, columns) if len(values) == columns.total else None
        except ValueError:
            continue
        if box is not None:
            a, b, c, d = box
            corners += [a, b, a + c, b + d] if columns.sides else box
    return bool(corners) and all(-SLACK <= side <= 1 + SLACK for side in corners) and not set(corners) <= {0.0, 1.0}


def _rows(path: Path, columns: TableColumns) -> Iterator[Line]:
    return islice(_lines(path), int(columns.header), None)


def _lines(path: Path) -> Iterator[Line]:
    """The values of every line that is not empty, with its number from 1. Raises ValueError naming the file."""
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            mark = ","
            while text := file.readline(MAX_LINE):
                number += 1
                if len(text) == MAX_LINE:
                    raise InputError(f"it has more than {MAX_LINE} characters", "labels-malformed")
                if number == 1 and "," not in text:
                    mark = next((each for each in OTHER_COMMAS if each in text), mark)
                if text.strip():
                    yield number, next(csv.reader([text], strict=True, delimiter=mark))
    except (OSError, ValueError, csv.Error, StopIteration) as problem:
        if isinstance(problem, UnicodeDecodeError):
            raise InputError(f"labels: {path} is no text ({problem}): save it as UTF-8", "labels-malformed") from None
        raise InputError(
            f"labels: {path} line {number} cannot be read ({words(problem)})", "labels-malformed"
        ) from None


@check("classes-unnamed", "warning", "Call the column of the classes `class`, if there is one.")
def without_classes(subject: Subject) -> Iterator[Place]:
    for file in dict.fromkeys(part.file for part in subject.parts):
        columns = find_columns(file)
        if columns is None or columns.label >= 0 or not (unread := _unread(file, columns)):
            continue
        text = f"no column is called as classes are, so all boxes are {ONLY!r}; not read: {', '.join(unread)}"
        yield Place(file, "", text)


def _unread(path: Path, columns: TableColumns) -> list[str]:
    """What the columns are called that have no meaning here."""
    known = {columns.image, *columns.box, *columns.size, *columns.marks, columns.split}
    names = next(_lines(path), (1, []))[1] if columns.header else []
    return [name.strip() for place, name in enumerate(names) if place not in known and name.strip()]


def _files(path: Path) -> dict[str, Path]:
    """Split -> file: train_labels.csv is that of train. If a folder has none, those of its folders named as splits."""
    if not path.is_dir():
        return {_stem(path): path} if path.suffix.lower() == ".csv" and _is_table(path) else {}
    tables = [file for file in visible_files(path, "*.csv") if _is_table(file)]
    return distinct(map(_stem, tables), tables, path) or _files_of_splits(path)


def _divided(path: Path) -> dict[str, str]:
    """The splits in the column of the only file, as `_splits_of` gives them."""
    files = list(_files(path).values())
    columns = find_columns(files[0]) if len(files) == 1 else None
    return _splits_of(files[0], columns) if columns else {}


def _splits(path: Path) -> tuple[str, ...]:
    return tuple(_divided(path).values()) or (tuple(_files(path) or _damaged(path)) if path.is_dir() else ())


def _file(path: Path, split: str | None) -> Path:
    files = _files(path) or _damaged(path)
    return next(iter(files.values())) if _divided(path) else chosen_file(files, split, path)


def _read(
    path: Path, *, split: str | None = None, images: Path | None = None, purpose: Purpose = Purpose.TRAIN
) -> Labels:
    return read_table(_file(path, split), split=split if _divided(path) else None, images=images)


def _files_of_splits(path: Path) -> dict[str, Path]:
    """A split is called as its folder; where that has several tables, with their names too."""
    names, files = list[str](), list[Path]()
    for folder in (each for each in sorted(subfolders(path)) if is_usual(each.name)):
        tables = [file for file in visible_files(folder, "*.csv") if _is_table(file)]
        names += [folder.name if len(tables) == 1 else f"{folder.name}/{_stem(file)}" for file in tables]
        files += tables
    return distinct(names, files, path)


def _damaged(path: Path) -> dict[str, Path]:
    """The file, or the only one of a folder, if it is no text in UTF-8."""
    listed = visible_files(path, "*.csv") if path.is_dir() else [path] * (path.suffix.lower() == ".csv")
    return {_stem(file): file for file in listed if is_file(file) and not _is_text(file)} if len(listed) == 1 else {}


def _is_text(file: Path) -> bool:
    try:
        with file.open(encoding="utf-8-sig") as opened:
            opened.read(MAX_LINE)
    except (OSError, UnicodeDecodeError):
        return False
    return True


def _stem(file: Path) -> str:
    behind = PREFIX.sub("", file.stem)
    return behind if is_usual(behind) else SUFFIX.sub("", file.stem) or file.stem


def _is_table(file: Path) -> bool:
    return is_file(file) and find_columns(file) is not None


FORMAT = Format(
    name="csv",
    title="CSV",
    layout="a .csv with a line for every box, such as filename,width,height,class,xmin,ymin,xmax,ymax",
    suffixes=(".csv",),
    where=where,
    matches=lambda path: bool(_files(path)),
    may_be=lambda path: bool(_damaged(path)),
    splits=_splits,
    read=_read,
    file=_file,
    single_files=True,
    takes_images=True,
    checks=(without_classes,),
    not_carried=lambda path: "other columns",
)
