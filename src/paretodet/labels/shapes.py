"""Shapes that annotation tools draw, as the upright box around them and an outline in pixels."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from paretodet.errors import InputError
from paretodet.labels.builder import real_by_value
from paretodet.labels.rle import MAX_OUTLINE, Size, pack

MARKS = ("iscrowd", "is_crowd", "difficult", "ignore", "isgroupof", "is_group_of")  # neither to be found nor a mistake
NO_OUTLINE: tuple[bytes, Size] = (b"", (0, 0))
SLIGHT = 0.01  # of a box's side: how far a corner may lie beside that of an upright box, by rounding


def is_marked(fields: Any) -> bool:
    """Whether one of the fields is such a mark, and set."""
    if not isinstance(fields, dict):
        return False
    return any(isinstance(name, str) and name.lower() in MARKS and is_set(value) for name, value in fields.items())


def is_set(value: Any) -> bool:
    """Whether a mark has a value that says yes."""
    return value is True or str(value).strip().lower() in ("1", "true", "1.0")


class DrawnShape(NamedTuple):
    """Corners xyxy px, and the packed outline, empty without one."""

    corners: list[float]
    outline: tuple[bytes, Size] = NO_OUTLINE
    turned: bool = False  # the corners are those of the upright box around a box that is drawn turned


def is_turned(angle: float) -> bool:
    """Whether a box that is turned by `angle`, in degrees, is no upright one."""
    return angle % 90 != 0


def angle_of(attributes: Any) -> float:
    """How far a box is turned, in degrees, as CVAT writes it among its attributes; 0 where it does not."""
    known = isinstance(attributes, dict) and "occluded" in attributes
    angle = real_by_value(attributes.get("rotation")) if known else None
    return angle if angle is not None and abs(angle) <= MAX_OUTLINE else 0.0  # neither endless nor no number


def are_turned(corners: np.ndarray) -> bool:
    """Whether corners [N, 2] lie elsewhere than in those of the upright box around them."""
    low, high = corners.min(0), corners.max(0)
    return bool((np.minimum(corners - low, high - corners) > SLIGHT * (high - low)).any())


def turned_box(x1: float, y1: float, x2: float, y2: float, angle: float) -> list[float]:
    """The upright box around a box that is turned about its middle by `angle`, in degrees; one without an extent stays
    as it is written, so that it is refused.
    """
    if not angle or x2 <= x1 or y2 <= y1:
        return [x1, y1, x2, y2]
    x, y, across, down = (x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / 2, (y2 - y1) / 2
    cos, sin = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    wide, high = across * cos + down * sin, across * sin + down * cos
    return [x - wide, y - high, x + wide, y + high]


def turned_ellipse(x: float, y: float, across: float, down: float, angle: float) -> list[float]:
    """The upright box around an ellipse of these half axes."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    wide, high = math.hypot(across * cos, down * sin), math.hypot(across * sin, down * cos)
    return [x - wide, y - high, x + wide, y + high]


def around(boxes: Sequence[DrawnShape]) -> DrawnShape:
    """The box around several, without their outlines."""
    low, high = ([of(column) for column in zip(*(each.corners for each in boxes), strict=True)] for of in (min, max))
    return DrawnShape([*low[:2], *high[2:]], turned=any(each.turned for each in boxes))


def polygons(rings: Sequence[Any]) -> DrawnShape:
    """Of rings of x, y pairs. Raises InputError for fewer than three corners, or what is no number."""
    try:
        points = [np.array(ring, np.float64).reshape(-1, 2) for ring in rings]
    except (TypeError, ValueError, OverflowError):
        points = []
    if not points or any(len(ring) < 3 or not (np.abs(ring) <= MAX_OUTLINE).all() for ring in points):
        raise InputError(f"points are {rings!r:.60}, polygons have at least three corners x, y", "mask-malformed")
    corners = np.concatenate(points)
    return DrawnShape(
        [*corners.min(0).tolist(), *corners.max(0).tolist()], pack([ring.ravel().tolist() for ring in points])
    )


def numbers(values: Any, count: int, what: str) -> list[float]:
    """`count` finite numbers. Raises InputError."""
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        found = []
    if len(found) != count or not all(abs(value) <= MAX_OUTLINE for value in found):
        raise InputError(f"{what} is {values!r:.60}, {count} numbers are needed", "box-malformed")
    return found
