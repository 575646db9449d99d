"""Placement of labels beside points so that they cover neither each other nor the points."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretodet.frontier.row_labels import SEPARATOR

GLYPH = 0.6  # mean width of a character over the font size, sans serif
GAP = 6.0  # between a symbol and its label, px


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle in px; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def sides(self) -> tuple[float, float, float, float]:
        return self.left, self.top, self.right, self.bottom

    def inside(self, width: float, height: float) -> bool:
        return self.left >= 0 and self.top >= 0 and self.right <= width and self.bottom <= height


@dataclass(frozen=True, kw_only=True)
class LabelRequest:
    """A point at (x, y) px with a symbol of `radius` px, and the text to place beside it."""

    key: str
    text: str
    x: float
    y: float
    radius: float = 4.0


@dataclass(frozen=True, kw_only=True)
class PlacedLabel:
    """A label that has a free place: anchored at (x, y) px, vertically centered, `align` left, center or right."""

    key: str
    text: str
    x: float
    y: float
    align: str


def place(
    requests: Sequence[LabelRequest], *, size: tuple[float, float], font: float = 11.0, obstacles: Sequence[Box] = ()
) -> tuple[PlacedLabel, ...]:
    """Place labels greedily, in the order given: a label takes the first free place around its point or is left out.

    `size` is the plot's (width, height) in px, `font` the text size in px. No label covers an obstacle; points are
    obstacles too.
    """
    taken = np.zeros((len(obstacles) + len(requests), 4))  # left, top, right, bottom
    taken[: len(obstacles)] = np.reshape([box.sides for box in obstacles], (-1, 4))
    filled, placed = len(obstacles), []
    for request in requests:
        for label in _places(request, font):
            box = _extent(label, font)
            if box.inside(*size) and not _overlaps(box, taken[:filled]):
                taken[filled] = box.sides
                filled += 1
                placed.append(label)
                break
    return tuple(placed)


def shortened(text: str, limit: int) -> str:
    """The text in at most `limit` characters, with an ellipsis. What a label says after the name stays, if it can."""
    name, *notes = text.partition(SEPARATOR)
    end = "".join(notes)
    if len(text) <= limit:
        return text
    return f"{name[: limit - 1 - len(end)]}…{end}" if len(end) < limit / 2 else f"{text[: limit - 1]}…"


def _overlaps(box: Box, others: NDArray[np.float64]) -> bool:
    left, top, right, bottom = others.T
    across = (box.left < right) & (left < box.right)
    return bool((across & (box.top < bottom) & (top < box.bottom)).any())


def _places(request: LabelRequest, font: float) -> Iterator[PlacedLabel]:
    side, lift = request.radius + GAP, request.radius + GAP + font / 2 - 1
    for dx, dy, align in (
        (side, 0.0, "left"),
        (-side, 0.0, "right"),
        (0.0, -lift, "center"),
        (0.0, lift, "center"),
        (side - 3, -lift + 3, "left"),
        (side - 3, lift - 3, "left"),
        (-side + 3, -lift + 3, "right"),
        (-side + 3, lift - 3, "right"),
    ):
        yield PlacedLabel(key=request.key, text=request.text, x=request.x + dx, y=request.y + dy, align=align)


def _extent(label: PlacedLabel, font: float) -> Box:
    width = GLYPH * font * len(label.text)
    left = label.x - width * {"left": 0.0, "center": 0.5, "right": 1.0}[label.align]
    return Box(left=left, top=label.y - font * 0.6, right=left + width, bottom=label.y + font * 0.6)
