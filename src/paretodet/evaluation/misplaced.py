"""Whether the boxes of results lie on the labeled objects, or would if their numbers had another unit or form.

The objects show the scale: the ratio of place and size that most pairs of a row and an object of its image agree on.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from paretodet.errors import InputError
from paretodet.evaluation.beside import AT, Beside, beside
from paretodet.evaluation.fields import Row
from paretodet.labels.misread import NAMES, READ, SCALES, Corners, exchanged
from paretodet.labels.model import Labels

PAIRS = 100_000  # of a row and an object: more are not tried
ENOUGH = 3  # rows: of fewer nothing is said
MANY, SURE = 5, 9  # objects that boxes must lie on in another reading, and how many times as many as it loses
GAINED = 0.2  # of the rows that are tried
ALIKE, WINDOW = 0.3, 0.05  # natural logarithms of ratios: how far apart those of a pair are, and those of most pairs
NEAR = 0.03  # of a scale
FEW = 0.01  # of the rows
UNITS = {1: "fractions"} | SCALES

FORMS: dict[str, Corners] = {
    f"{NAMES[form]}{order}": read
    for form in NAMES
    for order, read in (("", READ[form]), (", y before x", exchanged(READ[form])))
}
OWN = NAMES["xywh"]


class _Frame(NamedTuple):
    """What a box is a share of, of each pair: its sides, and how far the image lies from its corner."""

    sides: np.ndarray  # [P, 2] px x, y
    shift: np.ndarray  # [P, 2] px x, y
    meaning: Callable[[float], str]  # of a box at this scale of the frame; empty: as results are read
    usual: tuple[int, ...] = ()  # scales


class _Reading(NamedTuple):
    meaning: str
    hit: np.ndarray  # the objects on which a box lies
    usual: bool


def check_places(rows: Sequence[Row], labels: Labels) -> tuple[str, ...]:
    """A note if almost no box lies on an object of its image. Raises InputError if they would in another unit or form.

    Of every image the best-scored rows are tried, whatever their category; of federated labels, those of categories
    all of whose objects are labeled there.
    """
    near = beside(_labeled(rows, labels), labels, most=PAIRS)
    tried, as_is = near.tried, _hit(near, near.boxes)
    if tried < ENOUGH or 2 * len(as_is) > tried:
        return ()
    best = max(_readings(near, labels), key=lambda each: (len(each.hit), each.usual), default=None)
    if best and _is_clear(best.hit, as_is, tried):
        raise InputError(
            f"results: {len(best.hit)} of the {tried} best boxes lie on labeled objects if their numbers are "
            f"{best.meaning}, and {len(as_is)} as they are; write x, y, width and height in pixels of the image",
            "results-malformed",
        )
    if len(as_is) > FEW * tried:
        return ()
    count = f"only {len(as_is)}" if len(as_is) else "none"
    return (
        f"of the {tried} best boxes of the results {count} lie on labeled objects: they may be of other images, or in "
        "another unit or size",
    )


def _labeled(rows: Sequence[Row], labels: Labels) -> Sequence[Row]:
    """Those of categories all of whose objects in the image are labeled."""
    if (known := labels.federated) is None:
        return rows
    ids = np.array(labels.category_ids)

    def pairs(images: np.ndarray, classes: np.ndarray) -> set[tuple[int, int]]:
        return set(zip(labels.keys[images].tolist(), ids[classes].tolist(), strict=True))

    stated = pairs(labels.owners, labels.classes) | pairs(*known.absent.T)
    stated -= pairs(*known.partial.T)
    return [row for row in rows if (row.get("image_id"), row.get("category_id")) in stated]


def _is_clear(hit: np.ndarray, as_is: np.ndarray, tried: int) -> bool:
    gained, lost = len(np.setdiff1d(hit, as_is)), len(np.setdiff1d(as_is, hit))
    return gained >= max(MANY, SURE * lost, GAINED * tried, len(hit) / 2)


def _readings(near: Beside, labels: Labels) -> list[_Reading]:
    """Every form of the numbers in every frame, at the scale that the objects show."""
    frames = _frames(labels.sizes[labels.owners[near.objects]][:, ::-1].astype(np.float64))
    found = list[_Reading | None]()
    with np.errstate(all="ignore"):
        for form, read in FORMS.items():
            corners = read(near.boxes)
            boxes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
            found += [_reading(near, boxes, form, frame) for frame in frames]
    return [each for each in found if each is not None]


def _frames(sizes: np.ndarray) -> tuple[_Frame, ...]:
    """`sizes` [P, 2] width and height of the pairs' images; of unknown ones there are no shares."""
    sides = np.where(sizes > 0, sizes, np.nan)
    longer, none = sides.max(1, keepdims=True).repeat(2, 1), np.zeros_like(sides)
    return (
        _Frame(np.ones_like(sides), none, _pixels, (1,)),
        _Frame(sides, none, _shares, tuple(UNITS)),
        _Frame(longer, none, lambda scale: f"pixels of images whose longer side is {scale:.0f}"),
        _Frame(longer, (longer - sides) / 2, lambda scale: f"pixels of {scale:.0f}x{scale:.0f} around centered images"),
    )


def _pixels(scale: float) -> str:
    return "" if scale == 1 else f"pixels of images {scale:.3g} times as large"


def _shares(scale: float) -> str:
    known = next((name for unit, name in UNITS.items() if unit == scale), None)
    return f"{known} of the image's sides" if known else f"pixels of images stretched to {scale:.0f}x{scale:.0f}"


def _reading(near: Beside, boxes: np.ndarray, form: str, frame: _Frame) -> _Reading | None:
    """None if no scale is shown, or if this is how results are read."""
    truth = np.hstack([near.truth[:, :2] + frame.shift, near.truth[:, 2:]]) / np.tile(frame.sides, 2)
    if (found := _scale(boxes, truth)) is None:
        return None
    usual = next((each for each in frame.usual if abs(found / each - 1) < NEAR), None)
    scale = usual or found
    meaning = ", as ".join(each for each in (frame.meaning(scale), "" if form == OWN else form) if each)
    placed = boxes / scale * np.tile(frame.sides, 2)
    placed[:, :2] -= frame.shift
    return _Reading(meaning, _hit(near, placed), usual is not None) if meaning else None


def _scale(boxes: np.ndarray, truth: np.ndarray) -> float | None:
    """How many times as large the boxes are as most of the objects that they can be, x, y, width, height [P, 4]."""
    ratios = np.log(_centered(boxes)) - np.log(_centered(truth))
    found = np.sort(ratios[np.ptp(ratios, 1) < ALIKE, :2].mean(1))
    if not len(found):
        return None
    counts = np.searchsorted(found, found + WINDOW, "right") - np.arange(len(found))
    first = int(counts.argmax())
    return float(np.exp(np.median(found[first : first + counts[first]])))


def _centered(boxes: np.ndarray) -> np.ndarray:
    return np.hstack([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]])


def _hit(near: Beside, boxes: np.ndarray) -> np.ndarray:
    """The objects on which a box lies."""
    return np.unique(near.objects[near.overlaps(boxes) >= AT])
