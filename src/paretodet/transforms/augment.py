"""Geometric augmentations: frozen dataclasses that are called as (view, noise) -> view.

Noise comes from a counter-based generator keyed by (seed, epoch, image), so the order in which images are read and the
number of workers change nothing. Augmentations move boxes only; a mask is cropped by its box at the end (`targets`).
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

import numpy as np

from paretodet.transforms.view import Color, ImageView, ViewWindow, mirror

CAFFE_MEAN: Color = (123, 117, 104)  # RGB


class Augmentation(Protocol):
    """Changes a view of an image; it is called once per image, with a generator keyed to that image."""

    def __call__(self, view: ImageView, noise: np.random.Generator) -> ImageView: ...


def generator(seed: int, epoch: int, image: int | str, purpose: str = "augment") -> np.random.Generator:
    """A generator of random numbers that depend only on the four arguments."""
    key = blake2b(f"{seed}/{epoch}/{purpose}/{image}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key)))


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Applies `steps` in order, all with the same generator."""

    steps: tuple[Augmentation, ...] = ()

    def __call__(self, view: ImageView, noise: np.random.Generator) -> ImageView:
        for step in self.steps:
            view = step(view, noise)
        return view


@dataclass(frozen=True, kw_only=True)
class Flip:
    """Mirrors an image left to right with probability `chance`; every family uses it."""

    chance: float = 0.5

    def __post_init__(self) -> None:
        share(chance=self.chance)

    def __call__(self, view: ImageView, noise: np.random.Generator) -> ImageView:
        return mirror(view) if noise.random() < self.chance else view


@dataclass(frozen=True, kw_only=True)
class Expand:
    """Places the image at random on a larger area of color `fill`, with probability `chance`.

    The sides of the area are up to `most` times the image's. Source: Liu et al. 2016, section 3.6, and the models
    marked "*" of Caffe SSD.
    """

    most: float = 4.0
    chance: float = 0.5
    fill: Color = CAFFE_MEAN

    def __post_init__(self) -> None:
        share(chance=self.chance)
        if self.most < 1:
            raise ValueError(f"most: got {self.most}, allowed 1 or more")

    def __call__(self, view: ImageView, noise: np.random.Generator) -> ImageView:
        drawn, ratio, across, down = noise.random(4)
        if drawn >= self.chance:
            return view
        height, width = view.window.size
        high, wide = (int(side * (1 + ratio * (self.most - 1))) for side in (height, width))
        left = view.window.left - int(across * (wide - width + 1))
        top = view.window.top - int(down * (high - height + 1))
        return view._replace(window=ViewWindow(left, top, left + wide, top + high), fill=self.fill)


@dataclass(frozen=True, kw_only=True)
class Jitter:
    """Darknet's jitter: changes the aspect and the size of the image and places it at random on a canvas of `aspect`.

    Width and height are multiplied by random factors in 1 - amount .. 1 + amount; their ratio is the new aspect. The
    image is then scaled to fit the canvas, and by a further random factor from the range `scale` (some versions of
    Darknet use 0.25 to 2). `fill` covers the rest of the canvas. Boxes are clipped to the canvas, and those narrower
    or lower than `least` of its sides are dropped.
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

    def __call__(self, view: ImageView, noise: np.random.Generator) -> ImageView:
        draws = noise.random(5)
        height, width = view.window.size
        changed = 1 + self.amount * (2 * draws[:2] - 1)
        wide = width * changed[0] / (height * changed[1]) / self.aspect  # share of the canvas's width at full height
        size = between(self.scale, draws[2]) * min(1.0, 1 / wide)  # the image's height, as a share of the canvas's
        window = (height / size, width / (size * wide))
        return _within(move_window(view, window, draws[3:]), self.least)._replace(fill=self.fill)


@dataclass(frozen=True, kw_only=True)
class ScaleJitter:
    """Scales the image by a random factor in `low` .. `high` on an unchanged canvas.

    A larger image is cropped, a smaller one is surrounded by `fill`; the aspect stays. Boxes are clipped to the window,
    and those narrower or lower than `least` of its sides are dropped. Source: the scale jitter of Lin et al. 2017
    (RetinaNet), section 5.2, which gives no range.
    """

    low: float
    high: float
    least: float = 0.001
    fill: Color = CAFFE_MEAN

    def __post_init__(self) -> None:
        span(scale=(self.low, self.high))

    def __call__(self, view: ImageView, noise: np.random.Generator) -> ImageView:
        draws = noise.random(3)
        scale = between((self.low, self.high), draws[0])
        height, width = view.window.size
        window = (height / scale, width / scale)
        return _within(move_window(view, window, draws[1:]), self.least)._replace(fill=self.fill)


def move_window(view: ImageView, size: tuple[float, float], place: np.ndarray) -> ImageView:
    """The view with a window of (height, width) `size`, inside the present window if smaller, else around it.

    `place` [2] (down, across) is its position in the free space, 0 at the top or left, 1 at the bottom or right.
    """
    corner = (view.window.top, view.window.left)
    sides = [max(1, round(side)) for side in size]
    free = [old - new for old, new in zip(view.window.size, sides, strict=True)]
    top, left = (low + round(part * room) for low, part, room in zip(corner, place, free, strict=True))
    return view._replace(window=ViewWindow(left, top, left + sides[1], top + sides[0]))


def between(span: tuple[float, float], share: float) -> float:
    return float(span[0] + share * (span[1] - span[0]))


def share(**values: float) -> None:
    """Raises ValueError unless every value is in 0..1."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: got {value}, allowed 0..1")


def span(**values: tuple[float, float]) -> None:
    """Raises ValueError unless every value is (low, high) with 0 < low <= high."""
    for name, (low, high) in values.items():
        if not 0 < low <= high:
            raise ValueError(f"{name}: got {(low, high)}, allowed (low, high) with 0 < low <= high")


def _within(view: ImageView, least: float) -> ImageView:
    """The view with its boxes clipped to the window, without those smaller than `least` of its sides."""
    clipped = view.clip()
    height, width = clipped.window.size
    sides = clipped.boxes[:, 2:] - clipped.boxes[:, :2]
    return clipped.keep((sides >= np.array([width, height], np.float32) * least).all(1))
