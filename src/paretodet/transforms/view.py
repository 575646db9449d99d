"""A labeled image on its way to a batch: which part of it is seen, how it is colored, where its boxes lie.

Augmentations describe (`augment`, `crops`, `color`); `render` reads each pixel once, when all is known: a crop or an
expansion costs nothing, and pixels are resampled a single time.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from paretodet.labels.model import Sample
from paretodet.transforms.resize import resize
from paretodet.transforms.resize_policy import FittedImage, ResizePolicy, paste

Color = tuple[int, int, int]  # RGB


class ViewWindow(NamedTuple):
    """What is seen, in whole pixels of the image, half-open; it may reach beyond the image."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.bottom - self.top, self.right - self.left


class Tint(NamedTuple):
    """What becomes of each level of each channel in one color space of Pillow's ("RGB", "HSV")."""

    space: str
    table: tuple[int, ...]  # [768], 0..255


class ImageView(NamedTuple):
    """Boxes are in pixels of the image, not of the window."""

    pixels: np.ndarray  # [H, W, 3] uint8, not to be written to
    window: ViewWindow
    boxes: np.ndarray  # [G, 4] float32
    labels: np.ndarray  # [G] int64
    crowd: np.ndarray  # [G] bool
    rows: np.ndarray  # [G] int64: which of the sample's boxes each one is
    mirrored: bool = False  # whether `pixels` are the file's mirror image
    tints: tuple[Tint, ...] = ()  # in order
    fill: Color | None = None  # where the window reaches beyond the image; None: the fit's background

    def keep(self, chosen: np.ndarray) -> "ImageView":
        """The picture with the boxes of `chosen` alone: bool [G], or their numbers in order."""
        parts = (self.boxes[chosen], self.labels[chosen], self.crowd[chosen], self.rows[chosen])
        return self._replace(boxes=parts[0], labels=parts[1], crowd=parts[2], rows=parts[3])

    def clip(self) -> "ImageView":
        """Boxes cut to the window; what of them lies outside is gone, and so are boxes of no area."""
        left, top, right, bottom = self.window
        limits = np.array([[left, top] * 2, [right, bottom] * 2], np.float32)
        cut = self._replace(boxes=self.boxes.clip(*limits))
        return cut.keep(np.all(cut.boxes[:, 2:] > cut.boxes[:, :2], axis=1))


def whole(pixels: np.ndarray, sample: Sample) -> ImageView:
    """All of an image with all of its usable boxes: finite, and of some area inside of the image."""
    height, width = pixels.shape[:2]
    rows = np.arange(len(sample.boxes))
    picture = ImageView(pixels, ViewWindow(0, 0, width, height), sample.boxes, sample.labels, sample.crowd, rows)
    return picture.keep(np.all(np.isfinite(sample.boxes), axis=1)).clip()


def mirror(picture: ImageView) -> ImageView:
    """Left and right exchanged."""
    width = picture.pixels.shape[1]
    left, top, right, bottom = picture.window
    return picture._replace(
        pixels=picture.pixels[:, ::-1],
        window=ViewWindow(width - right, top, width - left, bottom),
        boxes=_exchanged(picture.boxes, width),
        mirrored=not picture.mirrored,
    )


def render(picture: ImageView, fit: ResizePolicy) -> FittedImage:
    """The window on the canvas of `fit`, colored; without augmentation exactly `fit(pixels)`."""
    layout = fit.layout(picture.window.size)
    left, top, right, bottom = picture.window
    height, width = picture.pixels.shape[:2]
    rows = _span(top, bottom, height, layout.resized[0])
    columns = _span(left, right, width, layout.resized[1])
    frame = np.empty((*layout.resized, 3), np.uint8)
    frame[0] = picture.fill or (fit.background,) * 3
    frame[1:] = frame[0]
    place = frame[rows, columns]
    if place.size:
        seen = picture.pixels[max(top, 0) : bottom, max(left, 0) : right]
        place[:] = _tinted(resize(_contiguous(seen), place.shape[:2], fit.sampling), picture.tints)
    return FittedImage(paste(frame, layout, fit.background), *layout.true)


def _span(low: int, high: int, side: int, resized: int) -> slice:
    """Where the image's part of the window from low to high comes to lie once the window has `resized` pixels."""
    if low >= side or high <= 0:
        return slice(0, 0)
    scale = resized / (high - low)
    start = min(round((max(low, 0) - low) * scale), resized - 1)
    return slice(start, max(round((min(high, side) - low) * scale), start + 1))


def _contiguous(pixels: np.ndarray) -> np.ndarray:
    """Mirrored ones by Pillow, in half of NumPy's time."""
    if pixels.strides[1] > 0:
        return np.ascontiguousarray(pixels)
    turned = Image.fromarray(np.ascontiguousarray(pixels[:, ::-1]))
    return np.asarray(turned.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


def _tinted(image: np.ndarray, tints: tuple[Tint, ...]) -> np.ndarray:
    if not tints:
        return image
    picture = Image.fromarray(image)
    for tint in tints:
        picture = picture.convert(tint.space).point(tint.table)
    return np.asarray(picture.convert("RGB"))


def _exchanged(boxes: np.ndarray, width: int) -> np.ndarray:
    flipped = boxes.copy()
    flipped[:, [0, 2]] = np.float32(width) - boxes[:, [2, 0]]
    return flipped
