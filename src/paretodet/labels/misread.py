"""Whether most boxes of a file are written in another unit or form than their format's."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

Form = Literal["xyxy", "xywh", "cxcywh"]  # what the four numbers of a box are
Corners = Callable[[np.ndarray], np.ndarray]

FEW = 3  # boxes: of fewer nothing is said
FRACTIONS = 2.0  # px from the image's corner, within which fractions of its sides end
SMALLEST = 10  # px: boxes of a few pixels are no surprise in smaller images
MOST = 0.95  # of the boxes
SCALES = {100: "percent", 1000: "thousandths"}
SOME = 10  # boxes that show a scale
SPREAD = 0.15  # of the scale: how far their centers lie apart, as a standard deviation
IMPOSSIBLE = 0.2  # of the boxes, if there are as many as SOME; of fewer, half
FILLED = 0.9  # of a scale: how far boxes in it reach on both axes
SLACK = 0.01  # of a side, and 1 px: boxes end so far outside by rounding


class Misreading(NamedTuple):
    """What the numbers of the boxes are instead."""

    boxes: int  # that show it
    total: int
    seen: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.boxes} of {self.total} boxes {self.seen}: their numbers are {self.meaning}"


def find_misreading(
    corners: np.ndarray, sizes: np.ndarray, form: Form, *, fractions: bool = False, scales: bool = True
) -> Misreading | None:
    """`corners` [M, 4] xyxy px as they were read from numbers in `form`, `sizes` [M, 2] height and width of the boxes'
    images; `fractions`: they were read from fractions; `scales`: look for percent too. None if nothing is wrong with
    most of them.
    """
    known = np.isfinite(corners).all(1) & (sizes > SMALLEST).all(1)
    corners, sizes = corners[known].astype(np.float64), sizes[known].astype(np.float64)
    found = None if fractions else _fractions(corners) or (_scale(corners, sizes) if scales else None)
    return found or _other_form(corners, sizes, form, scales=not fractions)


def _fractions(corners: np.ndarray) -> Misreading | None:
    ends = _solid(corners).max(1, initial=0)
    small = int((ends <= FRACTIONS).sum())
    if small < max(FEW, MOST * len(ends)):
        return None
    seen = f"end within {FRACTIONS:g} px of their image's corner"
    return Misreading(small, len(ends), seen, "fractions of the image's sides")


def _scale(corners: np.ndarray, sizes: np.ndarray) -> Misreading | None:
    """Boxes that fill a square at the corner of images that are much larger."""
    found = _solid(corners)
    centers = (found[:, :2] + found[:, 2:]) / 2
    for most, name in SCALES.items():
        if len(found) < SOME or found.max() > most or sizes.min() < 2 * most:
            continue
        if (centers.std(0) > SPREAD * most).all() and found.max() > most / 2:
            seen = f"end within {most} px of their image's corner"
            return Misreading(len(found), len(found), seen, f"{name} of the image's sides")
    return None


def _solid(corners: np.ndarray) -> np.ndarray:
    """Those that have an area."""
    solid: np.ndarray = corners[(corners[:, 2:] > corners[:, :2]).all(1)]
    return solid


def _other_form(corners: np.ndarray, sizes: np.ndarray, form: Form, *, scales: bool) -> Misreading | None:
    total, wrong = len(corners), int(_impossible(corners, sizes).sum())
    if wrong < max(FEW, total * (IMPOSSIBLE if total >= SOME else 0.5)):
        return None
    numbers, seen = WRITTEN[form](corners), f"do not fit into their image as {NAMES[form]}"
    for meaning, read in OTHERS[form].items():
        if _impossible(read(numbers), sizes).sum() <= total // 100:
            return Misreading(wrong, total, seen, meaning)
    for most, name in SCALES.items() if scales else ():
        if (order := _shares(numbers, most, form)) is not None:
            return Misreading(wrong, total, seen, f"{name} of the image's sides{order}")
    return None


def _shares(numbers: np.ndarray, most: int, form: Form) -> str | None:
    """The form in which all boxes fill a square of `most` by `most` to its ends, empty for that of the file; None if
    there is none.
    """
    square = np.full((len(numbers), 2), float(most))
    for name, read in {"": READ[form], **{f", as {other}": read for other, read in OTHERS[form].items()}}.items():
        corners = read(numbers)
        if not _impossible(corners, square).any() and (corners[:, 2:].max(0) > FILLED * most).all():
            return name
    return None


def _impossible(corners: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """bool [M]: the box reaches out of its image, or has no positive side."""
    sides = sizes[:, ::-1]
    slack = 1 + SLACK * sides
    outside = (corners[:, :2] < -slack) | (corners[:, 2:] > sides + slack)
    return np.any(outside | (corners[:, 2:] <= corners[:, :2]), axis=1)


def _from_sides(numbers: np.ndarray) -> np.ndarray:
    return np.hstack([numbers[:, :2], numbers[:, :2] + numbers[:, 2:]])


def _from_center(numbers: np.ndarray) -> np.ndarray:
    return np.hstack([numbers[:, :2] - numbers[:, 2:] / 2, numbers[:, :2] + numbers[:, 2:] / 2])


def exchanged(read: Corners) -> Corners:
    """Of numbers that have y before x."""
    return lambda numbers: read(numbers[:, [1, 0, 3, 2]])


WRITTEN: dict[Form, Corners] = {
    "xyxy": lambda corners: corners,
    "xywh": lambda corners: np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]),
    "cxcywh": lambda corners: np.hstack([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]]),
}
READ: dict[Form, Corners] = {"xyxy": lambda numbers: numbers, "xywh": _from_sides, "cxcywh": _from_center}
NAMES: dict[Form, str] = {
    "xyxy": "two corners",
    "xywh": "a corner, width and height",
    "cxcywh": "a center, width and height",
}
OTHERS: dict[Form, dict[str, Corners]] = {
    form: {NAMES[other]: READ[other] for other in NAMES if other != form}
    | {f"{NAMES[form]}, y before x, or the images' sizes are width before height": exchanged(READ[form])}
    for form in NAMES
}
