"""Pairs the rows of a results file with the images and the categories of labels.

The images of most formats have no ids, so their rows are paired by file name: `file_name` and its like, or an
`image_id` that is the name or the stem of a file, as a number too. A row of another id is refused, not paired with the
image that happens to have this number here.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from unicodedata import normalize

from paretodet.errors import InputError
from paretodet.evaluation.beside import AT, beside
from paretodet.evaluation.fields import Row, name_in, whole
from paretodet.evaluation.numbering import ENOUGH, SURE, with_categories
from paretodet.images import SUFFIXES, UNREAD
from paretodet.labels.builder import real_by_value
from paretodet.labels.model import Labels
from paretodet.labels.rle import is_empty

OPTIONAL = ("segmentation", "bbox")
IMAGE_NAMES = ("file_name", "filename", "image_name", "image")
SOME = 0.1  # of the rows that are tried must lie on objects of the images that are meant
BY_STEM = "image_id of the results is the number in the images' file names, not their id in the labels"


class Paired(NamedTuple):
    """Rows with the ids of the labels, and a sentence for everything that was not as in the file."""

    rows: list[Any]
    notes: tuple[str, ...]


def pair_results(rows: Sequence[Any], labels: Labels) -> Paired:
    """Rows that are no objects are left as they are. Raises InputError for a row whose image cannot be found, and for
    categories that are numbered otherwise.
    """
    kept, first = _with_all_outlines(_of_text_ids([_without_empty(_with_numbers(row)) for row in rows], labels))
    objects = [row for row in kept if isinstance(row, dict)]
    images, second = _image_ids(objects, labels)
    placed = [_with_image(row, key) for row, key in zip(objects, images, strict=True)]
    numbered, third = with_categories(placed, labels)
    by_place = iter(numbered)
    paired = [next(by_place) if isinstance(row, dict) else row for row in kept]
    return Paired(paired, (*first, *second, *third))


def _with_image(row: Row, key: int | None) -> Row:
    same = key is None or type(row.get("image_id")) is int and row["image_id"] == key
    return row if same else row | {"image_id": key}


def _of_text_ids(rows: list[Any], labels: Labels) -> list[Any]:
    """Rows whose `image_id` is a text that an image of the labels has as its id, with the number that stands for it."""
    numbers = {text: key for key, text in labels.text_ids.items()}
    if not numbers:
        return rows
    ids = [row.get("image_id") if isinstance(row, dict) else None for row in rows]
    keys = [numbers.get(each) if isinstance(each, str) else None for each in ids]
    return [row if key is None else row | {"image_id": key} for row, key in zip(rows, keys, strict=True)]


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
    if not isinstance(row, dict) or not any(name in row and is_empty(row[name]) for name in OPTIONAL):
        return row
    return {name: value for name, value in row.items() if not (name in OPTIONAL and is_empty(value))}


def _with_all_outlines(rows: list[Any]) -> tuple[list[Any], tuple[str, ...]]:
    """Without any outline if only some rows have one and all have a box."""
    objects = [row for row in rows if isinstance(row, dict)]
    bare = sum("segmentation" not in row for row in objects)
    if not 0 < bare < len(objects) or not all("bbox" in row for row in objects):
        return rows, ()
    kept = [
        {name: value for name, value in row.items() if name != "segmentation"} if isinstance(row, dict) else row
        for row in rows
    ]
    return kept, (f"masks are not scored, as {bare} of {len(objects)} rows of the results have no outline",)


def _image_ids(rows: Sequence[Row], labels: Labels) -> tuple[list[int | None], tuple[str, ...]]:
    """The id of each row's image, None where the row has it already."""
    known, names = set(labels.keys.tolist()), _ImageNames(labels)
    numbers = [_number_alone(row) for row in rows]
    stems = {} if labels.named else _stems(rows, numbers, labels, names)
    meant = stems or {key: key for key in known if not labels.named}
    found = [
        meant[number] if number in meant else _image_id(place, row, names, known, named=labels.named)
        for place, (row, number) in enumerate(zip(rows, numbers, strict=True))
    ]
    others = [
        (row.get("image_id"), key) for row, key, number in zip(rows, found, numbers, strict=True) if number not in stems
    ]
    other = sum(key is not None and key != own for own, key in others)
    note = f"{other} of {len(rows)} rows of the results are paired with their images by file name, not by image_id"
    is_noted = other and any(type(own) is int for own, _ in others)
    return found, (*([BY_STEM] if stems else []), *([note] if is_noted else []))


def _number_alone(row: Row) -> int | None:
    """The number that a row has for its image, unless it has a file name, or the number is written as a stem is."""
    value = row.get("image_id")
    number = whole(value)
    return None if name_in(row, IMAGE_NAMES) or isinstance(value, str) and value.strip() != str(number) else number


def _stems(
    rows: Sequence[Row], numbers: Sequence[int | None], labels: Labels, names: "_ImageNames"
) -> dict[int | None, int]:
    """The images by the numbers of the rows, if these are the numbers of files and not ids; else empty."""
    stated = {number for number in numbers if number is not None}
    found: dict[int | None, int] = {number: key for number in stated if (key := names.number(number)) is not None}
    if len(found) < len(stated) or all(number == key for number, key in found.items()):
        return {}
    if stated <= set(labels.keys.tolist()) and not _fit_better(rows, numbers, found, labels):
        return {}
    return found


def _fit_better(
    rows: Sequence[Row], ids: Sequence[int | None], stems: Mapping[int | None, int], labels: Labels
) -> bool:
    """Whether boxes lie on objects of the images with these numbers in their names, and not of those with these ids.
    Raises InputError if that is true of some and the contrary of others.
    """
    by_id, by_stem = (beside(rows, labels, images) for images in (ids, [stems.get(number) for number in ids]))
    on_id, on_stem = (set(each.rows[each.overlaps() >= AT].tolist()) for each in (by_id, by_stem))
    more, fewer = len(on_stem - on_id), len(on_id - on_stem)
    if more < max(ENOUGH, SOME * by_stem.tried, fewer / SURE):
        return False
    if more < SURE * fewer:
        raise InputError(
            "results: image_id is an id of the labels and also the number in the name of another image, and boxes lie "
            "on objects of both: write file_name into every row",
            "labels-image-unknown",
        )
    return True


def _image_id(place: int, row: Row, names: "_ImageNames", known: set[int], *, named: bool) -> int | None:
    value, name = row.get("image_id"), name_in(row, IMAGE_NAMES)
    if name is not None and (key := names.find(name)) is not None:
        return key
    number, text = whole(value), value if isinstance(value, str) else ""
    written = text.strip() != str(number)  # as a name is, 000006 too
    if text and written and (key := names.find(text)) is not None:
        return key
    if not named and number in known and not (written and names.is_ambiguous(text)):
        return number
    key = names.find(text) if text else None
    if key is None and named and number is not None:
        key = names.number(number)
    if key is not None or not (name or isinstance(value, str) or named and number is not None):
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
