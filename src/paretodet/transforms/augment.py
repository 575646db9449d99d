"""Augmentations of geometry: frozen choices, each a function (picture, noise) -> picture.

Noise comes from a counter-based generator keyed by (seed, epoch, image), so neither the order in which images are read
nor the number of workers changes anything. Boxes and masks move together: masks are read through the box they belong to
when the picture is finished (`targets`).
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

import numpy as np

from paretodet.transforms.view import Color, ImageView, ViewWindow, mirror

CAFFE_MEAN: Color = (123, 117, 104)  # RGB


class Augmentation(Protocol):
    """Called once an image; `noise` is the image's own."""

    def __call__(self, picture: ImageView, noise: np.random.Generator) -> ImageView: ...


def generator(seed: int, epoch: int, image: int | str, purpose: str = "augment") -> np.random.Generator:
    """The same numbers for the same four, always."""
    key = blake2b(f"{seed}/{epoch}/{purpose}/{image}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key)))


@dataclass(frozen=True, kw_only=True)
class Chain:
    """One after another, of the same noise."""

    steps: tuple[Augmentation, ...] = ()

    def __call__(self, picture: ImageView, noise: np.random.Generator) -> ImageView:
        for step in self.steps:
            picture = step(picture, noise)
        return picture


@dataclass(frozen=True, kw_only=True)
class Flip:
    """Left and right exchanged for a share of the images: every family's."""

    chance: float = 0.5

    def __post_init__(self) -> None:
        share(chance=self.chance)

    def __call__(self, picture: ImageView, noise: np.random.Generator) -> ImageView:
        return mirror(picture) if noise.random() < self.chance else picture


@dataclass(frozen=True, kw_only=True)
class Expand:
    """The image somewhere on a larger field of the mean color (Liu et al. 2016, section 3.6; Caffe SSD's "*" models).

    The field's sides are up to `most` times the image's.
    """

    most: float = 4.0
    chance: float = 0.5
    fill: Color = CAFFE_MEAN

    def __post_init__(self) -> None:
        share(chance=self.chance)
        if self.most < 1:
            raise ValueError(f"most: got {self.most}, allowed 1 or more")

    def __call__(self, picture: ImageView, noise: np.random.Generator) -> ImageView:
        drawn, ratio, across, down = noise.random(4)
        if drawn >= self.chance:
            return picture
        height, width = picture.window.size
        high, wide = (int(side * (1 + ratio * (self.most - 1))) for side in (height, width))
        left = picture.window.left - int(across * (wide - width + 1))
        top = picture.window.top - int(down * (high - height + 1))
        return picture._replace(window=ViewWindow(left, top, left + wide, top + high), fill=self.fill)


@dataclass(frozen=True, kw_only=True)
class Jitter:
    """Darknet's: the image with another aspect, and by `scale` another size, somewhere on a canvas of `aspect`.

    Width and height change by up to `amount` of themselves before the ratio is taken; the image then fits the canvas
    and, where it does not fill it, gray is seen. `scale` times that fit is drawn from its range (some versions of
    Darknet draw from 0.25 to 2). Boxes are cut to the canvas, and those of less than `least` of a side are dropped.
    """

    amount: float = 0.3
    scale: tuple[float, float] = (1.0, 1.0)
    aspect: float = 1.0  # of the canvas, width / height
    least: float = 0.001
    fill: Color = (128, 128, 128)

    def __post_init__(self) -> None:
        if not 0 <= self.amount < 1:
            raise ValueError(f"amount: got {self.amount}, allowed 0 to under 1")
        if self.aspect <= 0:
            raise ValueError(f"aspect: got {self.aspect}, allowed above 0")
        span(scale=self.scale)

    def __call__(self, picture: ImageView, noise: np.random.Generator) -> ImageView:
        draws = noise.random(5)
        height, width = picture.window.size
        changed = 1 + self.amount * (2 * draws[:2] - 1)
        wide = width * changed[0] / (height * changed[1]) / self.aspect  # of the canvas, were it all of its height
        size = between(self.scale, draws[2]) * min(1.0, 1 / wide)  # the image's height, as a share of the canvas's
        seen = (height / size, width / (size * wide))
        return _within(look(picture, seen, draws[3:]), self.least)._replace(fill=self.fill)


@dataclass(frozen=True, kw_only=True)
class ScaleJitter:
    """The image `low` to `high` times as large on the canvas it would have: larger ones are cropped, smaller framed.

    The scale jitter of Lin et al. 2017 (RetinaNet), section 5.2, which gives no range; aspect and canvas stay.
    Boxes are cut to what is seen, and those of less than `least` of a side are dropped.
    """

    low: float
    high: float
    least: float = 0.001
    fill: Color = CAFFE_MEAN

    def __post_init__(self) -> None:
        span(scale=(self.low, self.high))

    def __call__(self, picture: ImageView, noise: np.random.Generator) -> ImageView:
        draws = noise.random(3)
        scale = between((self.low, self.high), draws[0])
        height, width = picture.window.size
        return _within(look(picture, (height / scale, width / scale), draws[1:]), self.least)._replace(fill=self.fill)


def look(picture: ImageView, size: tuple[float, float], place: np.ndarray) -> ImageView:
    """Through a window of (height, width) `size`: a smaller one lies inside the present window, a larger one holds it.

    `place` [2] in 0..1 (down, across): how far along the room there is.
    """
    corner = (picture.window.top, picture.window.left)
    sides = [max(1, round(side)) for side in size]
    free = [old - new for old, new in zip(picture.window.size, sides, strict=True)]
    top, left = (low + round(part * room) for low, part, room in zip(corner, place, free, strict=True))
    return picture._replace(window=ViewWindow(left, top, left + sides[1], top + sides[0]))


def between(span: tuple[float, float], share: float) -> float:
    return float(span[0] + share * (span[1] - span[0]))


def share(**values: float) -> None:
    """Raises ValueError unless each lies in 0..1."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: got {value}, allowed 0..1")


def span(**values: tuple[float, float]) -> None:
    """Raises ValueError unless each is (low, high) with 0 < low <= high."""
    for name, (low, high) in values.items():
        if not 0 < low <= high:
            raise ValueError(f"{name}: got {(low, high)}, allowed (low, high) with 0 < low <= high")


def _within(picture: ImageView, least: float) -> ImageView:
    """Boxes cut to the window, without those of less than `least` of its sides."""
    cut = picture.clip()
    height, width = cut.window.size
    return cut.keep((cut.boxes[:, 2:] - cut.boxes[:, :2] >= np.array([width, height], np.float32) * least).all(1))
