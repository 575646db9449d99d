"""What results must be before anything is computed from them; each fault is one sentence with its place."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from paretodet.errors import InputError
from paretodet.labels.misread import find_misreading
from paretodet.labels.model import Labels
from paretodet.labels.rle import pack

Row = dict[str, Any]
MAX_NUMBER = 1e18  # px or px²: no product of two coordinates overflows
ROW = "a row is one detection with image_id, category_id, bbox and score"
UPRIGHT = "it has an oriented box: write the upright one around it as x, y, width and height"
TURNED = (5, 8)  # numbers of a box and its angle, or of four corners
POSE = "it has the keypoints of a pose: write the box of each pose as bbox, with x, y, width and height"
OTHER_TASKS = {  # by a field of rows without a box
    "rbox": UPRIGHT,  # of Ultralytics
    "poly": UPRIGHT,
    "keypoints": POSE,
    "segments_info": "it is of panoptic segmentation: panopticapi's panoptic2detection_coco_format.py writes boxes",
    "caption": "it is a caption of an image, which has no boxes",
}
UNKNOWN = {
    "image_id": "write file_name into every row, or leave out the rows of other images",
    "category_id": "write category_name into every row, or leave out the rows of other categories",
}


def check_results(results: Sequence[Row], labels: Labels) -> None:
    """Raises ValueError naming the first detection that violates COCO's results format, or is of an image or
    category that `labels` do not have. A detection has a bbox (x, y, w, h px), a segmentation or both.
    """
    rows = _objects(results, "results")
    _known(rows, "image_id", set(labels.keys.tolist()), "results")
    _known(rows, "category_id", set(labels.category_ids), "results")
    _numbers([_field(row, "score", "results", place) for place, row in enumerate(rows)], "results", "score")
    masked = sum("segmentation" in row for row in rows)
    boxed = sum("bbox" in row for row in rows)
    if (masked and masked < len(rows)) or (boxed and boxed < len(rows)):
        lacking = "segmentation" if masked and masked < len(rows) else "bbox"
        place = next(place for place, row in enumerate(rows) if lacking not in row)
        raise InputError(f"results[{place}]: has no {lacking}, which others have", "results-malformed")
    if boxed or not masked:
        _boxes(rows, "results")
        _check_reading(rows, labels)
    if masked:
        check_outlines(rows, labels, "results")


def _check_reading(rows: Sequence[Row], labels: Labels) -> None:
    """Raises InputError if most boxes are in another unit or form than x, y, width and height in pixels."""
    sizes = dict(zip(labels.keys.tolist(), labels.sizes.tolist(), strict=True))
    boxes = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
    corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    of_rows = np.array([sizes[row["image_id"]] for row in rows], np.float64).reshape(-1, 2)
    if (misreading := find_misreading(corners, of_rows, "xywh", scales=False)) is not None:
        raise InputError(
            f"results: {misreading}; write x, y, width and height in pixels of the image", "results-malformed"
        )


def check_outlines(rows: Sequence[Row], labels: Labels, what: str) -> None:
    """Raises ValueError naming the first row whose segmentation is neither polygons nor run lengths of its image."""
    sizes = dict(zip(labels.keys.tolist(), labels.sizes.tolist(), strict=True))
    for place, row in enumerate(rows):
        height, width = sizes[row["image_id"]]
        if not is_outline(row.get("segmentation"), (height, width)):
            allowed = "polygons of at least 3 corners, or run lengths that fill its image"
            raise InputError(
                f"{what}[{place}].segmentation: got {_short(row.get('segmentation'))}, allowed {allowed}",
                "results-malformed",
            )


def is_outline(outline: object, size: tuple[int, int]) -> bool:
    """Whether `outline` is polygons, or run lengths of an image of (height, width) `size`; a side of 0: of any."""
    try:
        packed, drawn = pack(outline)
    except ValueError:
        return False
    known = tuple(own if side == 0 else side for own, side in zip(drawn, size, strict=True))
    return bool(packed) and drawn in ((0, 0), known)


def _objects(rows: object, what: str) -> list[Row]:
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise InputError(f"{what}: got {type(rows).__name__}, a list is needed", "results-malformed")
    kinds = set(map(type, rows))
    if kinds - {dict}:
        place = next(place for place, row in enumerate(rows) if type(row) is not dict)
        raise InputError(f"{what}[{place}]: got {type(rows[place]).__name__}, an object is needed", "results-malformed")
    return list(rows)


def _field(row: Row, name: str, what: str, place: int) -> Any:
    if name not in row:
        hints = (hint for field, hint in OTHER_TASKS.items() if field in row and "bbox" not in row)
        raise InputError(f"{what}[{place}]: has no {name}; {next(hints, ROW)}", "results-malformed")
    return row[name]


def _whole(rows: Sequence[Row], name: str, what: str) -> list[int]:
    values = [_field(row, name, what, place) for place, row in enumerate(rows)]
    if set(map(type, values)) - {int}:
        place = next(place for place, value in enumerate(values) if type(value) is not int)
        raise InputError(
            f"{what}[{place}].{name}: got {_short(values[place])}, a whole number is needed", "results-malformed"
        )
    if values and max(abs(min(values)), abs(max(values))) >= 2**63:
        raise InputError(f"{what}: {name} {max(values, key=abs)} has more than 63 bits", "results-malformed")
    return values


def _known(rows: Sequence[Row], name: str, ids: set[int], what: str) -> None:
    values = _whole(rows, name, what)
    if strange := set(values) - ids:
        kind = name.removesuffix("_id")
        raise InputError(
            f"{name}: {min(strange)} of the {what} is no {kind} of the labels, which have {len(ids)}: {UNKNOWN[name]}",
            "labels-image-unknown" if kind == "image" else "label-unknown",
        )


def _boxes(rows: Sequence[Row], what: str) -> None:
    boxes = [_field(row, "bbox", what, place) for place, row in enumerate(rows)]
    if set(map(type, boxes)) - {list, tuple} or {len(box) for box in boxes} - {4}:
        place = next(n for n, box in enumerate(boxes) if not isinstance(box, list | tuple) or len(box) != 4)
        turned = isinstance(boxes[place], list | tuple) and len(boxes[place]) in TURNED
        hint = "; of an oriented box, write the upright one around it" if turned else ""
        raise InputError(
            f"{what}[{place}].bbox: got {_short(boxes[place])}, x, y, width and height are needed{hint}",
            "results-malformed",
        )
    _numbers([side for box in boxes for side in box], what, "bbox", each=4)
    if any(box[2] < 0 or box[3] < 0 for box in boxes):
        place = next(n for n, box in enumerate(boxes) if box[2] < 0 or box[3] < 0)
        raise InputError(
            f"{what}[{place}].bbox: got {_short(boxes[place])}, width and height cannot be below 0", "results-malformed"
        )


def _numbers(values: Sequence[Any], what: str, name: str, *, each: int = 1, most: float = MAX_NUMBER) -> None:
    if set(map(type, values)) <= {int, float} and _below(values, most):
        return
    place = next(n for n, one in enumerate(values) if type(one) not in (int, float) or not abs(one) <= most)
    raise InputError(
        f"{what}[{place // each}].{name}: got {_short(values[place])}, a finite number is needed", "results-malformed"
    )


def _below(values: Sequence[float], most: float) -> bool:
    try:
        return bool((np.abs(np.array(values, np.float64)) <= most).all())
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
