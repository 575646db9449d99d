"""A view of a labeled image: which part of it is used, how it is colored, and where its boxes are.

Augmentations (`augment`, `crops`, `color`) change the view only; `render` then resamples the pixels once. So a crop or
an expansion costs no pass over the pixels.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from paretodet.labels.model import Sample
from paretodet.transforms.resize import resize
from paretodet.transforms.resize_policy import FittedImage, ResizePolicy, paste

Color = tuple[int, int, int]  # RGB


class ViewWindow(NamedTuple):
    """The part of the plane that a view shows, in whole pixels of the image, half-open. It may exceed the image."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.bottom - self.top, self.right - self.left


class Tint(NamedTuple):
    """A table of new levels for every channel in a color space of Pillow ("RGB", "HSV")."""

    space: str
    table: tuple[int, ...]  # [768], 0..255


class ImageView(NamedTuple):
    """A labeled image, the window that is used of it, and its changes of color.

    Boxes are in pixels of the image, not of the window.
    """

    pixels: np.ndarray  # [H, W, 3] uint8, read-only by convention
    window: ViewWindow
    boxes: np.ndarray  # [G, 4] float32
    labels: np.ndarray  # [G] int64
    crowd: np.ndarray  # [G] bool
    rows: np.ndarray  # [G] int64: numbers of the boxes in the sample
    mirrored: bool = False  # whether `pixels` are mirrored left to right
    tints: tuple[Tint, ...] = ()  # applied in this order
    fill: Color | None = None  # color outside the image; None: the background of the resize policy

    def keep(self, chosen: np.ndarray) -> "ImageView":
        """The view with only the `chosen` boxes: bool [G], or their numbers in ascending order."""
        parts = (self.boxes[chosen], self.labels[chosen], self.crowd[chosen], self.rows[chosen])
        return self._replace(boxes=parts[0], labels=parts[1], crowd=parts[2], rows=parts[3])

    def clip(self) -> "ImageView":
        """The view with its boxes clipped to the window, without boxes that have no area there."""
        left, top, right, bottom = self.window
        limits = np.array([[left, top] * 2, [right, bottom] * 2], np.float32)
        clipped = self._replace(boxes=self.boxes.clip(*limits))
        return clipped.keep(np.all(clipped.boxes[:, 2:] > clipped.boxes[:, :2], axis=1))


def whole(pixels: np.ndarray, sample: Sample) -> ImageView:
    """A view of the whole image with its usable boxes: finite ones that have an area inside the image."""
    height, width = pixels.shape[:2]
    rows = np.arange(len(sample.boxes))
    view = ImageView(pixels, ViewWindow(0, 0, width, height), sample.boxes, sample.labels, sample.crowd, rows)
    return view.keep(np.all(np.isfinite(sample.boxes), axis=1)).clip()


def mirror(view: ImageView) -> ImageView:
    """The view mirrored left to right."""
    width = view.pixels.shape[1]
    left, top, right, bottom = view.window
    return view._replace(
        pixels=view.pixels[:, ::-1],
        window=ViewWindow(width - right, top, width - left, bottom),
        boxes=_exchanged(view.boxes, width),
        mirrored=not view.mirrored,
    )


def render(view: ImageView, fit: ResizePolicy) -> FittedImage:
    """Resize and color the window and place it on the canvas of `fit`; equal to `fit(pixels)` without augmentation."""
    layout = fit.layout(view.window.size)
    left, top, right, bottom = view.window
    height, width = view.pixels.shape[:2]
    rows = _span(top, bottom, height, layout.resized[0])
    columns = _span(left, right, width, layout.resized[1])
    frame = np.empty((*layout.resized, 3), np.uint8)
    frame[0] = view.fill or (fit.background,) * 3
    frame[1:] = frame[0]
    place = frame[rows, columns]
    if place.size:
        inside = view.pixels[max(top, 0) : bottom, max(left, 0) : right]
        scale = layout.scale if place.shape[:2] == layout.resized else None
        place[:] = _tinted(resize(_contiguous(inside), place.shape[:2], fit.sampling, scale), view.tints)
    return FittedImage(paste(frame, layout, fit.background), *layout.true)


def _span(low: int, high: int, side: int, resized: int) -> slice:
    """Pixels that show the image, after the window from `low` to `high` is resized to `resized` pixels."""
    if low >= side or high <= 0:
        return slice(0, 0)
    scale = resized / (high - low)
    start = min(round((max(low, 0) - low) * scale), resized - 1)
    return slice(start, max(round((min(high, side) - low) * scale), start + 1))


def _contiguous(pixels: np.ndarray) -> np.ndarray:
    """A contiguous copy; mirrored pixels are copied by Pillow, in half of NumPy's time."""
    if pixels.strides[1] > 0:
        return np.ascontiguousarray(pixels)
    turned = Image.fromarray(np.ascontiguousarray(pixels[:, ::-1]))
    return np.asarray(turned.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


def _tinted(image: np.ndarray, tints: tuple[Tint, ...]) -> np.ndarray:
    if not tints:
        return image
    tinted = Image.fromarray(image)
    for tint in tints:
        tinted = tinted.convert(tint.space).point(tint.table)
    return np.asarray(tinted.convert("RGB"))


def _exchanged(boxes: np.ndarray, width: int) -> np.ndarray:
    flipped = boxes.copy()
    flipped[:, [0, 2]] = np.float32(width) - boxes[:, [2, 0]]
    return flipped
