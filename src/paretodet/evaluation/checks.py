"""What labels and results must be before anything is computed from them; each fault is one sentence with its place."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]
MOST = 1e9  # px: no picture has a coordinate beyond, and no product of two overflows


def check_labels(truth: Row) -> None:
    """Raises ValueError naming the first image, category or annotation that is not as COCO's format says.

    An annotation needs image_id, category_id, bbox and area; a missing iscrowd is 0. Finished results are scored
    without the images' file names and sizes and the categories' names; what of these is there must be of its kind.
    """
    images, categories, rows = (_objects(truth.get(name), name) for name in ("images", "categories", "annotations"))
    for name, each in (("images", images), ("categories", categories), ("annotations", rows)):
        ids = _whole(each, "id", name)
        if len(set(ids)) < len(ids):
            raise ValueError(f"{name}: id {Counter(ids).most_common(1)[0][0]} stands there more than once")
    _each(images, "images", "file_name", lambda row: _is_name(row.get("file_name", "-")), "text")
    _each(categories, "categories", "name", lambda row: _is_name(row.get("name", "-")), "text")
    _each(images, "images", "height", lambda row: _is_side(row.get("height", 1)), "pixels, at least 1")
    _each(images, "images", "width", lambda row: _is_side(row.get("width", 1)), "pixels, at least 1")
    _known(rows, "image_id", images, "annotations")
    _known(rows, "category_id", categories, "annotations")
    _boxes(rows, "annotations")
    _numbers([_field(row, "area", "annotations", place) for place, row in enumerate(rows)], "annotations", "area")
    _each(rows, "annotations", "iscrowd", lambda row: row.get("iscrowd", 0) in (0, 1), "0 or 1")


def check_results(results: Sequence[Row], truth: Row) -> None:
    """Raises ValueError naming the first detection that is not as COCO's results format says, or is of an image or
    category that `truth` does not have. A detection has a bbox (x, y, w, h px), a segmentation or both.
    """
    rows = _objects(results, "results")
    _known(rows, "image_id", truth["images"], "results")
    _known(rows, "category_id", truth["categories"], "results")
    _numbers([_field(row, "score", "results", place) for place, row in enumerate(rows)], "results", "score")
    masked = sum("segmentation" in row for row in rows)
    boxed = sum("bbox" in row for row in rows)
    if (masked and masked < len(rows)) or (boxed and boxed < len(rows)):
        lacking = "segmentation" if masked and masked < len(rows) else "bbox"
        place = next(place for place, row in enumerate(rows) if lacking not in row)
        raise ValueError(f"results[{place}]: has no {lacking}, which others have")
    if boxed or not masked:
        _boxes(rows, "results")
    if masked:
        check_outlines(rows, truth, "results")


def check_outlines(rows: Sequence[Row], truth: Row, what: str) -> None:
    """Raises ValueError naming the first row whose segmentation is neither polygons nor run lengths of its image."""
    sizes = {image["id"]: (image.get("height"), image.get("width")) for image in truth["images"]}
    _each(
        rows,
        what,
        "segmentation",
        lambda row: is_outline(row.get("segmentation"), sizes[row["image_id"]]),
        "polygons of at least 3 corners, or run lengths that fill its image",
    )


def is_outline(outline: object, size: tuple[object, object]) -> bool:
    """Whether `outline` is polygons, or run lengths of an image of (height, width) `size`; None: of any."""
    if isinstance(outline, dict):
        own = outline.get("size")
        if not isinstance(own, list) or len(own) != 2:
            return False
        known = [its if side is None else side for side, its in zip(size, own, strict=True)]
        return own == known and _fills(outline.get("counts"), known)
    return isinstance(outline, list) and len(outline) > 0 and all(map(_polygon, outline))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _is_side(value: object) -> bool:
    return type(value) is int and 0 < value < MOST


def _polygon(line: object) -> bool:
    fine = isinstance(line, list) and len(line) >= 6 and len(line) % 2 == 0
    return fine and all(type(each) in (int, float) and abs(each) < MOST for each in line)  # type: ignore[attr-defined]


def _fills(counts: object, size: Sequence[Any]) -> bool:
    if not all(type(side) is int and 0 < side < MOST for side in size):
        return False
    runs = run_lengths(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(each) is int and each >= 0 for each in runs):
        return False
    return bool(sum(runs) == size[0] * size[1])


def run_lengths(text: str) -> list[int] | None:
    """COCO's compressed text -> its runs; None where it is no such text.

    Each number is its 5-bit digits, low ones first, in characters from "0" on; 32 says that more follow, and 16 of the
    last digit is the sign. From the fourth number on it is told as the difference to the one two before.
    """
    try:
        codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        return None
    if len(codes) == 0 or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return None
    ends = np.flatnonzero((codes & 32) == 0)
    starts = np.r_[0, ends[:-1] + 1]
    place = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    if place.max() > 6:  # beyond 35 bits: no picture's
        return None
    numbers = np.add.reduceat((codes & 31) << 5 * place, starts) - ((codes[ends] >> 4 & 1) << 5 * (place[ends] + 1))
    numbers[1::2], numbers[2::2] = np.cumsum(numbers[1::2]), np.cumsum(numbers[2::2])
    return [int(each) for each in numbers]


def _objects(rows: object, what: str) -> list[Row]:
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise ValueError(f"{what}: got {type(rows).__name__}, a list is needed")
    kinds = set(map(type, rows))
    if kinds - {dict}:
        place = next(place for place, row in enumerate(rows) if type(row) is not dict)
        raise ValueError(f"{what}[{place}]: got {type(rows[place]).__name__}, an object is needed")
    return list(rows)


def _field(row: Row, name: str, what: str, place: int) -> Any:
    if name not in row:
        raise ValueError(f"{what}[{place}]: has no {name}")
    return row[name]


def _whole(rows: Sequence[Row], name: str, what: str) -> list[int]:
    values = [_field(row, name, what, place) for place, row in enumerate(rows)]
    if set(map(type, values)) - {int}:
        place = next(place for place, value in enumerate(values) if type(value) is not int)
        raise ValueError(f"{what}[{place}].{name}: got {_short(values[place])}, a whole number is needed")
    if values and max(abs(min(values)), abs(max(values))) >= 2**63:
        raise ValueError(f"{what}: {name} {max(values, key=abs)} has more than 63 bits")
    return values


def _known(rows: Sequence[Row], name: str, owners: Sequence[Row], what: str) -> None:
    values, ids = _whole(rows, name, what), {owner["id"] for owner in owners}
    if strange := set(values) - ids:
        kind = name.removesuffix("_id")
        raise ValueError(f"{name}: {min(strange)} of the {what} is no {kind} of the labels, which have {len(ids)}")


def _boxes(rows: Sequence[Row], what: str) -> None:
    boxes = [_field(row, "bbox", what, place) for place, row in enumerate(rows)]
    if set(map(type, boxes)) - {list, tuple} or {len(box) for box in boxes} - {4}:
        place = next(n for n, box in enumerate(boxes) if not isinstance(box, list | tuple) or len(box) != 4)
        raise ValueError(f"{what}[{place}].bbox: got {_short(boxes[place])}, x, y, width and height are needed")
    _numbers([side for box in boxes for side in box], what, "bbox", each=4)
    if any(box[2] < 0 or box[3] < 0 for box in boxes):
        place = next(n for n, box in enumerate(boxes) if box[2] < 0 or box[3] < 0)
        raise ValueError(f"{what}[{place}].bbox: got {_short(boxes[place])}, width and height cannot be below 0")


def _numbers(values: Sequence[Any], what: str, name: str, *, each: int = 1, most: float = MOST**2) -> None:
    if set(map(type, values)) <= {int, float} and _below(values, most):
        return
    place = next(n for n, one in enumerate(values) if type(one) not in (int, float) or not abs(one) <= most)
    raise ValueError(f"{what}[{place // each}].{name}: got {_short(values[place])}, a finite number is needed")


def _below(values: Sequence[float], most: float) -> bool:
    try:
        return bool((np.abs(np.array(values, np.float64)) <= most).all())
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _each(rows: Sequence[Row], what: str, name: str, fine: Callable[[Row], bool], allowed: str) -> None:
    for place, row in enumerate(rows):
        if not fine(row):
            raise ValueError(f"{what}[{place}].{name}: got {_short(row.get(name))}, allowed {allowed}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
