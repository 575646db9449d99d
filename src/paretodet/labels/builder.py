"""Builds labels while a file is read: checks every image, box, category and outline, for all formats."""

import math
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import numpy as np

from paretodet.errors import ErrorId, InputError, words
from paretodet.labels.image_columns import ImageColumns
from paretodet.labels.misread import Form, Misreading, find_misreading
from paretodet.labels.model import NO_ID, Federated, Labels, Purpose, SkipKind, Skipped
from paretodet.labels.numbers import check_numbers
from paretodet.labels.rle import Size

KEPT_SKIPS = 1000  # of each kind; all are counted
MAX_SIDE = 2**20  # px
MAX_NUMBER = 1e18  # px or px²: no product of two coordinates overflows
NUMBERS = frozenset((int, float))  # types of JSON's numbers; true and false are none
DIGITS = 20  # characters of a whole number that is written as text
LONGEST = 40  # characters of any other number that is
MISSING = object()  # in place of a field that the file does not have
LATER = object()  # in place of a side that is read from the image's file, once its folder is known
NO_OUTLINE: tuple[bytes, Size] = (b"", (0, 0))
NO_IMAGE = InputError("its image is not among the images", "box-without-image")
NO_CATEGORY = InputError("its category is not among the categories", "category-unknown")
NOT_FINITE = InputError("the box holds a number that is not finite", "box-not-finite")
SWAPPED = InputError("the box has swapped corners or a negative side", "box-swapped")
NO_AREA = InputError("the box has no area", "box-empty")
OUTSIDE = InputError("no part of the box is inside of its image", "box-outside")
OTHER_SIZE = InputError("the mask was drawn for another size than its image's", "mask-of-another-size")

Locate = Callable[[str | None, int], tuple[Path, str]]


class LabelsBuilder:
    """Labels in any order of images and boxes, which are joined by the images' keys.

    `locate(name, number)` gives the file of box `number` and its place there; `name` is its image's, None if there is
    no such image. `form`: what the four numbers of a box are; `written`: what they were in the file, if that is another
    form, as fractions of the image. `purpose` decides what an image and a box must hold.
    """

    def __init__(
        self,
        folder: Path,
        locate: Locate,
        *,
        form: Literal["xyxy", "xywh"] = "xyxy",
        written: Form | None = None,
        purpose: Purpose = Purpose.TRAIN,
        with_ids: bool = False,
    ):
        self.folder, self.purpose = folder, purpose
        self.skip_counts, self._skipped = Counter[SkipKind](), dict[SkipKind, list[tuple[int, Skipped]]]()
        self._locate, self._form, self._with_ids = locate, form, with_ids
        self._written = written
        self.images = ImageColumns()
        self._owners, self._classes, self._numbers = array("q"), array("q"), array("q")
        self._boxes, self._crowd = array("d"), array("b")
        self._areas, self._ids, self._ignored = array("d"), array("q"), array("b")
        self._outlines, self._outline_ends, self._outline_sizes = bytearray(), array("q"), array("i")
        self.turned = array("q")  # the rows of boxes that are drawn turned
        self._absent, self._partial = array("q"), array("q")

    def image(self, key: Any, name: Any, height: Any, width: Any, *, on_disk: bool = False) -> None:
        """Values as the file has them; `on_disk`: the name is that of a file that was listed, and is not checked.

        Raises ValueError for a value that the purpose needs and that is not as it must be, and for a repeated key.
        """
        number = whole_number(key, "id")
        self.images.check_new(number)
        written = name if on_disk else self._checked_name(name)
        self.images.add(number, written, (self.side(height, "height"), self.side(width, "width")))

    def box(
        self,
        owner: int,
        category: int,
        box: Sequence[float],
        *,
        number: int,
        crowd: bool = False,
        outline: tuple[bytes, Size] = NO_OUTLINE,
        area: Any = None,
        key: Any = None,
        ignored: bool = False,
        turned: bool = False,
    ) -> None:
        """One box of the image of key `owner`, of the category with this key; `outline` as `rle.pack` gives it.
        `turned`: it is the upright box around one that is drawn turned.
        """
        if turned:
            self.turned.append(len(self._owners))
        self._owners.append(owner)
        self._classes.append(category)
        self._boxes.extend(box)
        self._numbers.append(number)
        self._crowd.append(crowd)
        self._outlines += outline[0]
        self._outline_ends.append(len(self._outlines))
        self._outline_sizes.extend(outline[1])
        if self._with_ids:
            self._ignored.append(ignored)
            size, own = real_by_value(area), key if type(key) is int else by_value(key)
            self._areas.append(math.nan if size is None or abs(size) > MAX_NUMBER else size)
            self._ids.append(NO_ID if own is None or abs(own) >= -NO_ID else own)

    def federate(self, owner: int, absent: Sequence[int], partial: Sequence[int]) -> None:
        """Which categories the image of key `owner` verifiably lacks, and of which it has more objects than boxes."""
        for pairs, categories in ((self._absent, absent), (self._partial, partial)):
            for category in categories:
                pairs.extend((owner, category))

    def skip(self, kind: SkipKind, file: Path, place: str, problem: Exception, number: int = 0) -> None:
        """Counts what is left out, and keeps the first of a kind."""
        self.skip_counts[kind] += 1
        kept = self._skipped.setdefault(kind, [])
        if len(kept) < KEPT_SKIPS:
            id: ErrorId = problem.id if isinstance(problem, InputError) else "entry-unusable"
            kept.append((number, Skipped(file, place, words(problem).removeprefix(f"{file}: "), kind, id)))

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The first of each kind, by their places."""
        kinds = (sorted(self._skipped.get(kind, ()), key=lambda each: (each[1].file, each[0])) for kind in SkipKind)
        return tuple(each for kept in kinds for _, each in kept)

    def build(
        self,
        categories: dict[int, str],
        *,
        source: Path,
        named: bool = False,
        frequency: tuple[str, ...] | None = None,
    ) -> Labels:
        """Classes are numbered in the order of `categories` (key -> name). `named`: an image's id is its file's name
        and not its key. `frequency`: of each class, if the labels are federated.

        Raises ValueError naming `source` and the first reasons if no image is left.
        """
        self._check_some(categories, source)
        numbers, counts = np.unique(_flat(self._classes), return_counts=True)
        check_numbers(dict(zip(numbers.tolist(), counts.tolist(), strict=True)), categories, source)
        images = _Images(_flat(self.images.keys), _flat(self.images.sizes).reshape(-1, 2))
        owners, known_image = _positions(images.keys, _flat(self._owners))
        classes, known_class = _positions(np.array(list(categories), np.int64), _flat(self._classes))
        faults = [
            (~known_image, NO_IMAGE),
            (~known_class, NO_CATEGORY),
            *self._number_faults(),
        ]
        as_written = self.purpose is not Purpose.TRAIN and self._form == "xywh"
        written = _flat(self._boxes).reshape(-1, 4).copy() if as_written else None
        boxes = self._corners()
        misreading = self._misreading(boxes, images.sizes[owners], known_image)
        if not as_written:
            cut = _clipped(boxes, images.sizes, owners)
            faults += _area_faults(boxes, cut)
        good = self._usable(faults, owners, known_image)
        order = good[np.argsort(owners[good], kind="stable")]
        spans = self._spans(order, images.sizes[owners[order]], owners[order])
        kept = boxes[order].astype(np.float32) if as_written else cut[order]
        return Labels(
            labels=tuple(categories.values()),
            category_ids=tuple(range(len(categories))) if named else tuple(categories),
            folder=self.folder,
            names=bytes(self.images.names),
            name_ends=_fixed(_flat(self.images.name_ends)),
            keys=_fixed(images.keys),
            named=named,
            sizes=_fixed(images.sizes.astype(np.int32)),
            offsets=_fixed(np.searchsorted(owners[order], np.arange(len(images.keys) + 1))),
            boxes=_fixed(kept),
            classes=_fixed(classes[order].astype(np.int32)),
            crowd=_fixed(_flat(self._crowd).astype(bool)[order]),
            numbers=_fixed(_flat(self._numbers)[order].astype(np.int32)),
            outside=_fixed(np.zeros(len(order), np.float32) if as_written else _largest_gap(boxes, kept, order)),
            written=None if written is None else _fixed(written[order]),
            areas=_fixed(_flat(self._areas)[order]) if self._with_ids else None,
            ids=_fixed(_flat(self._ids)[order]) if self._with_ids else None,
            ignored=_fixed(_flat(self._ignored).astype(bool)[order]) if self._with_ids else None,
            turned=_fixed(np.isin(order, _flat(self.turned))) if self.turned else None,
            outlines=self._outlines if spans.any() else None,
            outline_spans=_fixed(spans),
            federated=None if frequency is None else self._federated(images.keys, categories, frequency),
            misreading=misreading,
            skip_counts=dict(self.skip_counts),
            skipped=self.skipped,
        )

    def _check_some(self, categories: dict[int, str], source: Path) -> None:
        """Raises InputError if there is no image or no class."""
        lacks = "usable image" if not len(self.images) else "object with a class" if not categories else ""
        if lacks:
            reasons = "".join(f"; {each}" for each in self.skipped[:3])
            raise InputError(f"labels: {source} has no {lacks}{reasons}", "labels-none")

    def _checked_name(self, name: Any) -> str:
        try:
            text = text_of(name, "file_name")
            if self.purpose is not Purpose.SCORE:
                check_inside(text)
            return text
        except ValueError:
            if self.purpose is Purpose.SCORE:
                return ""
            raise

    def side(self, value: Any, field: str) -> int:
        """Of an image, 0 if it is not stated and the purpose does not need it. Raises ValueError."""
        if value is LATER:
            return 0
        nothing = value in (MISSING, None) or (value if type(value) is int else by_value(value)) == 0
        if nothing and self.purpose is not Purpose.TRAIN:
            return 0
        try:
            side = whole_number(None if value is MISSING else value, field, "image-size-malformed")
            if not 1 <= side <= MAX_SIDE:
                raise InputError(f"{field} is {side}, 1 to {MAX_SIDE} px are needed", "image-size-malformed")
            return side
        except ValueError:
            if self.purpose is Purpose.SCORE:
                return 0
            raise

    def _number_faults(self) -> list[tuple[np.ndarray, InputError]]:
        """Of the boxes as they were given."""
        boxes = _flat(self._boxes).reshape(-1, 4)
        endless, negative = np.zeros(len(boxes), bool), np.zeros(len(boxes), bool)
        for column in boxes.T:  # a column at a time: there may be millions
            endless |= ~(np.abs(column) <= MAX_NUMBER)
        for low, high in ((0, 2), (1, 3)):
            negative |= boxes[:, high] < (0 if self._form == "xywh" else boxes[:, low])
        return [
            (endless, NOT_FINITE),
            (negative, SWAPPED),
        ]

    def _misreading(self, corners: np.ndarray, sizes: np.ndarray, known: np.ndarray) -> Misreading | None:
        if self._written == "cxcywh":  # of a polygon the file has no such numbers
            known = known & (np.diff(_flat(self._outline_ends), prepend=0) == 0)
        form, fractions = self._written or self._form, self._written is not None
        return find_misreading(corners[known], sizes[known], form, fractions=fractions)

    def _corners(self) -> np.ndarray:
        """[M, 4] float64 xyxy, in the column's memory."""
        boxes = _flat(self._boxes).reshape(-1, 4)
        if self._form == "xywh":
            with np.errstate(all="ignore"):
                boxes[:, 2:] += boxes[:, :2]
        return boxes

    def _usable(
        self, faults: Sequence[tuple[np.ndarray, InputError]], owners: np.ndarray, known_image: np.ndarray
    ) -> np.ndarray:
        """The numbers of the good rows; the others are skipped with the first reason that applies."""
        bad = np.zeros(len(owners), bool)
        for fault, problem in faults:
            for row in np.flatnonzero(fault & ~bad).tolist():
                name = self.images.name(owners[row]) if known_image[row] else None
                self._skip_row(SkipKind.ANNOTATION, row, name, problem)
            bad |= fault
        return np.flatnonzero(~bad)

    def _spans(self, rows: np.ndarray, sizes: np.ndarray, owners: np.ndarray) -> np.ndarray:
        """[len(rows), 2] start and end of each row's outline. One of another size is left out, its box stays."""
        drawn, ends = _flat(self._outline_sizes).reshape(-1, 2)[rows], _flat(self._outline_ends)
        spans = np.stack([np.append(0, ends)[:-1], ends], 1)[rows]
        torn = (drawn > 0).any(1) & ((drawn != sizes) & (sizes > 0)).any(1)
        for row, owner in zip(rows[torn].tolist(), owners[torn].tolist(), strict=True):
            self._skip_row(SkipKind.OUTLINE, row, self.images.name(owner), OTHER_SIZE)
        spans[torn] = 0
        return spans

    def _federated(self, keys: np.ndarray, categories: dict[int, str], frequency: tuple[str, ...]) -> Federated:
        classes = np.array(list(categories), np.int64)

        def known(pairs: "array[int]") -> np.ndarray:
            values = _flat(pairs).reshape(-1, 2)
            owners, one = _positions(keys, values[:, 0])
            places, other = _positions(classes, values[:, 1])
            return _fixed(np.stack([owners, places], 1)[one & other])

        return Federated(absent=known(self._absent), partial=known(self._partial), frequency=frequency)

    def _skip_row(self, kind: SkipKind, row: int, name: str | None, problem: InputError) -> None:
        self.skip(kind, *self._locate(name, self._numbers[row]), problem, self._numbers[row])


class _Images(NamedTuple):
    keys: np.ndarray
    sizes: np.ndarray


def is_name(text: str) -> bool:
    """Whether it can be a name: not empty, and without characters that control a terminal or that no file holds."""
    return bool(text) and not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)


def whole_number(value: Any, field: str, id: ErrorId = "field-malformed") -> int:
    """The value as an integer: 2, 2.0 and "2" are one number.

    Raises InputError naming the field if it is anything else, or has more than 64 bits.
    """
    number = value if type(value) is int else by_value(value)
    if number is None or not -(2**63) <= number < 2**63:
        raise InputError(f"{field} is {value!r:.80}, a whole number is needed", id)
    return number


def by_value(value: Any) -> int | None:
    """The whole number that a number or a text is; None if it is none."""
    if type(value) is int:
        return value
    if type(value) is float:
        return int(value) if value.is_integer() else None
    text = value.strip() if type(value) is str and len(value) <= DIGITS else ""
    if not text.isascii() or not text.replace(".", "", 1).lstrip("-").isdecimal():
        return None
    return by_value(float(text)) if "." in text else int(text)


def real_by_value(value: Any) -> float | None:
    """The number that a number or a text is; None if it is none."""
    if type(value) in NUMBERS:
        return value
    try:
        return float(value) if type(value) is str and len(value) <= LONGEST else None
    except ValueError:
        return None


def text_of(value: Any, field: str) -> str:
    """The value. Raises ValueError naming the field if it cannot be a name."""
    if not isinstance(value, str) or not is_name(value):
        raise InputError(f"{field} is {None if value is MISSING else value!r:.80}, a name is needed", "field-malformed")
    return value


def check_inside(name: str) -> None:
    """Raises ValueError if an image's file name leads out of the folder that it starts from."""
    if not name or name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts:
        raise InputError(f"file name {name!r} leaves the folder of the images", "name-unsafe")


def _positions(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The place of each of `wanted` in `keys`, 0 if it is not there, and whether it is."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    order = np.argsort(keys, kind="stable")
    near = np.searchsorted(keys[order], wanted).clip(max=len(keys) - 1)
    known = keys[order][near] == wanted
    return np.where(known, order[near], 0), known


def _clipped(boxes: np.ndarray, sizes: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """boxes [M, 4] into their images of `sizes` [N, 2] (height, width), float32; `owners` [M] are the images."""
    cut = np.empty(boxes.shape, np.float32)
    for column, side in enumerate((1, 0, 1, 0)):
        cut[:, column] = np.clip(boxes[:, column], 0, sizes[owners, side])
    return cut


def _area_faults(boxes: np.ndarray, cut: np.ndarray) -> list[tuple[np.ndarray, InputError]]:
    return [
        (np.any(boxes[:, 2:] <= boxes[:, :2], axis=1), NO_AREA),
        (np.any(cut[:, 2:] <= cut[:, :2], axis=1), OUTSIDE),
    ]


def _largest_gap(boxes: np.ndarray, kept: np.ndarray, order: np.ndarray) -> np.ndarray:
    """[M] float32 px between each box of `order` and what is kept of it."""
    gap = np.zeros(len(order))
    for column in range(4):
        np.maximum(gap, np.abs(boxes[order, column] - kept[:, column]), out=gap)
    return gap.astype(np.float32)


def _flat(column: "array[Any]") -> np.ndarray:
    """The column as an array that shares its memory."""
    return np.frombuffer(column, column.typecode)


def _fixed(values: np.ndarray) -> np.ndarray:
    values = values if values.flags.writeable and values.base is None else values.copy()
    values.flags.writeable = False
    return values
