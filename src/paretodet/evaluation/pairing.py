"""Pairs the rows of a results file with the images and the categories of labels.

The images of most formats have no ids, so their rows are paired by file name: `file_name` and its like, or an
`image_id` that is the name or the stem of a file, as a number too. A row of another id is refused, not paired with the
image that happens to have this number here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from unicodedata import normalize

import numpy as np

from paretodet.errors import InputError
from paretodet.images import SUFFIXES, UNREAD
from paretodet.labels.builder import by_value, real_by_value
from paretodet.labels.model import Labels
from paretodet.labels.overlaps import overlaps

Row = dict[str, Any]
OPTIONAL = ("segmentation", "bbox")
EMPTY: tuple[Any, ...] = (None, "", [], {})
IMAGE_NAMES = ("file_name", "filename", "image_name", "image")
CATEGORY_NAMES = ("category_name", "category")
SURE = 9  # times as many boxes must agree with one numbering of the categories as with the other
ENOUGH = 3  # boxes
MANY, CLEAR = 10, 0.9  # boxes, and their share, that show another numbering of the categories
AT = 0.5  # IoU
TRIED = 10_000  # rows
FEW = 3  # elements of a list that may all be empty


class Paired(NamedTuple):
    """Rows with the ids of the labels, and a sentence for everything that was not as in the file."""

    rows: list[Any]
    notes: tuple[str, ...]


def pair_results(rows: Sequence[Any], labels: Labels) -> Paired:
    """Rows that are no objects are left as they are. Raises InputError for a row whose image cannot be found."""
    kept = _of_text_ids([_without_empty(_with_numbers(row)) for row in rows], labels)
    objects = [row for row in kept if isinstance(row, dict)]
    images, first = _image_ids(objects, labels)
    placed = [row if key is None else row | {"image_id": key} for row, key in zip(objects, images, strict=True)]
    placed = _of_names(placed, labels)
    categories, second = _category_ids(placed, labels)
    numbered = [_with_category(row, categories) for row in placed]
    if _by_name(placed, labels) is None:
        _check_numbering(numbered, labels)
    by_place = iter(numbered)
    return Paired([next(by_place) if isinstance(row, dict) else row for row in kept], (*first, *second))


def _of_text_ids(rows: list[Any], labels: Labels) -> list[Any]:
    """Rows whose `image_id` is a text that an image of the labels has as its id, with the number that stands for it."""
    numbers = {text: key for key, text in labels.text_ids.items()}
    if not numbers:
        return rows
    ids = [row.get("image_id") if isinstance(row, dict) else None for row in rows]
    keys = [numbers.get(each) if isinstance(each, str) else None for each in ids]
    return [row if key is None else row | {"image_id": key} for row, key in zip(rows, keys, strict=True)]


def _with_category(row: Row, new: Mapping[int, int]) -> Row:
    """With its new category; one that is a whole number by its value alone is written as one."""
    number = _number_of(row)
    if number is None or (number not in new and type(row["category_id"]) is int):
        return row
    return row | {"category_id": new.get(number, number)}


def _with_numbers(row: Any) -> Any:
    """With the numbers of its score and its box that are written as text."""
    if not isinstance(row, dict):
        return row
    score, box = row.get("score"), row.get("bbox")
    if type(score) is str and (number := real_by_value(score)) is not None:
        row = row | {"score": number}
    if isinstance(box, list) and str in map(type, box):
        numbers = [real_by_value(each) for each in box]
        row = row if None in numbers else row | {"bbox": numbers}
    return row


def _without_empty(row: Any) -> Any:
    """Without the optional fields that are there and empty."""
    if not isinstance(row, dict) or not any(name in row and _is_empty(row[name]) for name in OPTIONAL):
        return row
    return {name: value for name, value in row.items() if not (name in OPTIONAL and _is_empty(value))}


def _is_empty(value: Any) -> bool:
    """Whether nothing is in it, nor in the lists in it."""
    if isinstance(value, list):
        return all(map(_is_empty, value)) if len(value) <= FEW else False
    return value in EMPTY or isinstance(value, dict) and value.get("counts") in EMPTY


def _image_ids(rows: Sequence[Row], labels: Labels) -> tuple[list[int | None], tuple[str, ...]]:
    """The id of each row's image, None where the row has it already."""
    known = set(labels.keys.tolist())
    plain = not labels.named and all(type(row.get("image_id")) is int for row in rows)
    names = _ImageNames(labels)
    if plain and not any(_name(row, IMAGE_NAMES) for row in rows):
        return _by_stem([row["image_id"] for row in rows], names, known)
    found = [_image_id(place, row, names, known, named=labels.named) for place, row in enumerate(rows)]
    other = sum(key is not None and key != row.get("image_id") for row, key in zip(rows, found, strict=True))
    note = f"{other} of {len(rows)} rows of the results are paired with their images by file name, not by image_id"
    return found, (note,) if other and any(type(row.get("image_id")) is int for row in rows) else ()


def _by_stem(ids: Sequence[int], names: "_ImageNames", known: set[int]) -> tuple[list[int | None], tuple[str, ...]]:
    """None for rows of images' ids; if some are of no image, and all are the numbers of files, the ids of these."""
    found = [] if known.issuperset(ids) else [names.number(each) for each in ids]
    if not found or None in found:
        return [None] * len(ids), ()
    return found, ("image_id of the results is the number in the images' file names, not their id in the labels",)


def _image_id(place: int, row: Row, names: "_ImageNames", known: set[int], *, named: bool) -> int | None:
    value, name = row.get("image_id"), _name(row, IMAGE_NAMES)
    if name is not None and (key := names.find(name)) is not None:
        return key
    whole = _whole(value)
    if not named and whole in known:
        return whole
    key = names.find(value) if isinstance(value, str) else names.number(whole) if named and whole is not None else None
    if key is not None or not (name or isinstance(value, str) or named and whole is not None):
        return key  # what is no id at all is refused with the other fields
    if names.is_ambiguous(name or str(value)):
        several = f"{name or value!r:.80} names several images"
        raise InputError(
            f"results[{place}]: {several}: write file_name with its folder into every row", "labels-image-unknown"
        )
    raise InputError(
        f"results[{place}]: {name or value!r:.80} is no file name or stem of the {len(known)} labeled images"
        + (", which have no ids of their own: write file_name into every row" if named and not name else ""),
        "labels-image-unknown",
    )


class _ImageNames:
    """Images by the ends of their paths, with and without the suffix."""

    def __init__(self, labels: Labels) -> None:
        self._keys, self._numbers = dict[str, int | None](), dict[int, int | None]()
        for place, key in enumerate(labels.keys.tolist()):
            path = _path(labels.name(place))
            for ends in {end for name in (path, path.with_suffix("")) for end in _ends(name)} if path.name else ():
                self._keys[ends] = None if self._keys.get(ends, key) != key else key
            if path.stem.isdecimal():
                number = int(path.stem)
                self._numbers[number] = None if self._numbers.get(number, key) != key else key

    def find(self, name: str) -> int | None:
        """The only image whose path ends as `name` does, in as many parts as possible; if there is none, with another
        suffix, then in capitals or not.
        """
        path = _path(name)
        stem = path.with_suffix("") if path.suffix.lower() in (*SUFFIXES, *UNREAD) else path
        ends = [*_ends(path), *_ends(stem)]
        found = next((self._keys[end] for end in ends if end in self._keys), None)
        if found is not None or any(end in self._keys for end in ends):
            return found
        return next((key for end in ends if (key := self._folded.get(end.casefold())) is not None), None)

    @cached_property
    def _folded(self) -> dict[str, int | None]:
        """Images by the ends of their paths without regard to capitals."""
        folded = dict[str, int | None]()
        for end, key in self._keys.items():
            folded[end.casefold()] = None if folded.get(end.casefold(), key) != key else key
        return folded

    def number(self, stem: int) -> int | None:
        """The only image whose stem is this number."""
        return self._numbers.get(stem)

    def is_ambiguous(self, name: str) -> bool:
        return name in self._keys and self._keys[name] is None


def _path(name: str) -> PurePosixPath:
    """With the characters that look alike written alike, as file systems differ in that."""
    return PurePosixPath(normalize("NFC", name.replace("\\", "/")))


def _ends(path: PurePosixPath) -> list[str]:
    """ "a/b.jpg" -> "a/b.jpg", "b.jpg"."""
    parts = path.parts
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _category_ids(rows: Sequence[Row], labels: Labels) -> tuple[Mapping[int, int], tuple[str, ...]]:
    """New id by the rows' own, empty if they are the labels'; by the names in the rows, else by how they count."""
    ids, values = labels.category_ids, {value for row in rows if (value := _number_of(row)) is not None}
    if (by_name := _by_name(rows, labels)) is not None:
        changed = by_name and {key: own for key, own in by_name.items() if key != own}
        note = "the categories of the results are paired by their names, not by category_id"
        return changed, (note,) if changed else ()
    if not values or labels.named and values <= set(ids) and not _from_one(rows, labels, values):
        return {}, ()
    if labels.named and min(values) >= 1 and max(values) <= len(ids):
        return {key: key - 1 for key in values}, ("the results count categories from 1, which are 0 in the labels",)
    if not labels.named and 0 in values - set(ids) and min(values) == 0 and max(values) < len(ids):
        note = "the results count categories from 0, in the order of the ids that the labels have"
        return {key: sorted(ids)[key] for key in values}, (note,)
    return {}, ()


def _of_names(rows: list[Row], labels: Labels) -> list[Row]:
    """Rows whose `category_id` is the name of a category, with its number; as they are if one is none."""
    known = {name: key for key, name in labels.categories.items()}
    stated = {row.get("category_id") for row in rows if isinstance(row.get("category_id"), str)}
    if not stated or not stated <= known.keys() or all(_whole(name) is not None for name in stated):
        return rows
    return [row | {"category_id": known.get(str(row.get("category_id")), row.get("category_id"))} for row in rows]


def _check_numbering(rows: Sequence[Row], labels: Labels) -> None:
    """Raises InputError if boxes that lie on labeled objects show that the results number the categories otherwise:
    nearly all of a number lie on objects of one other category, which differs from number to number.
    """
    truth, seen = _Objects(labels), dict[int, Counter[int]]()
    for row in rows[:TRIED]:
        number, label = _number_of(row), truth.at(row)
        if number is not None and label is not None:
            seen.setdefault(number, Counter())[labels.category_ids[label]] += 1
    total = sum(each.total() for each in seen.values())
    meant = {number: each.most_common(1)[0] for number, each in seen.items()}
    fitting = sum(count for _, count in meant.values())
    others = len({key for key, _ in meant.values()}) == len(meant) and all(
        key != own for own, (key, _) in meant.items()
    )
    if len(meant) < 2 or total < MANY or not others or fitting < CLEAR * total:
        return
    names = labels.categories
    shown = ", ".join(f"{number} lies on {names[key]!r:.40}" for number, (key, _) in sorted(meant.items())[:3])
    stated = ", ".join(f"{number} {names[number]!r:.40}" for number in sorted(meant)[:3] if number in names)
    raise InputError(
        f"results: category_id is numbered otherwise than the labels: {shown} in {fitting} of {total} boxes, and the "
        f"labels have {stated}: write category_name into every row",
        "label-unknown",
    )


def _by_name(rows: Sequence[Row], labels: Labels) -> dict[int, int] | None:
    """None unless every row names a category of the labels and every number has one name."""
    known = {name: key for key, name in labels.categories.items()}
    pairs = {(_number_of(row), _name(row, CATEGORY_NAMES)) for row in rows}
    if not pairs or any(number is None or name not in known for number, name in pairs):
        return None
    found = {number: known[name] for number, name in pairs if number is not None and name is not None}
    return found if len(found) == len(pairs) else None


def _from_one(rows: Sequence[Row], labels: Labels, values: set[int]) -> bool:
    """Whether the categories of boxes that lie on labeled objects are those of the objects if they count from 1."""
    if min(values) < 1:
        return False
    truth, from_zero, from_one = _Objects(labels), 0, 0
    for row in rows[:TRIED]:
        label = truth.at(row)
        from_zero += label == _number_of(row)
        from_one += label is not None and label + 1 == _number_of(row)
    return from_one >= max(ENOUGH, SURE * from_zero)


class _Objects:
    """The labeled objects of every image."""

    def __init__(self, labels: Labels) -> None:
        self._boxes, self._labels = labels.xywh, labels
        self._place = {key: place for place, key in enumerate(labels.keys.tolist())}

    def at(self, row: Row) -> int | None:
        """The class of the object on which the row's box lies."""
        box, key = row.get("bbox"), row.get("image_id")
        place = self._place.get(key) if isinstance(key, int) else None
        if place is None or not isinstance(box, list) or len(box) != 4 or {*map(type, box)} - {int, float}:
            return None
        start, end = self._labels.offsets[place : place + 2].tolist()
        if start == end:
            return None
        ious = overlaps(np.array([box], np.float64), self._boxes[start:end], np.zeros(end - start, bool))[0]
        return int(self._labels.classes[start + ious.argmax()]) if ious.max() >= AT else None


def _name(row: Row, fields: Sequence[str]) -> str | None:
    return next((row[field] for field in fields if isinstance(row.get(field), str) and row[field]), None)


def _number_of(row: Row) -> int | None:
    return _whole(row.get("category_id"))


def _whole(value: Any) -> int | None:
    """A whole number by its value: 2, 2.0 or "2"."""
    return value if type(value) is int else by_value(value)
