"""Resizes an image with the sampling of the system that trained the weights."""

from typing import Literal

import numpy as np
from PIL import Image

Sampling = Literal["antialiased", "opencv", "corners"]
SAMPLINGS = ("antialiased", "opencv", "corners")
UNIT = 2**11  # OpenCV's weights are integer multiples of 1 / UNIT
Taps = tuple[np.ndarray, np.ndarray, np.ndarray]  # per output: the two inputs and the weight of the second, 0..1


def resize(image: np.ndarray, size: tuple[int, int], sampling: Sampling = "antialiased") -> np.ndarray:
    """image [H, W, 3] uint8 -> [*size, 3] uint8, bilinear.

    "antialiased" is Pillow's: the filter is wider when the image shrinks. "opencv" reads two pixels per axis and equals
    OpenCV's INTER_LINEAR to the last bit. "corners" is darknet's: it also reads two pixels per axis, but aligns the
    centers of the corner pixels; darknet's output is float32, here it is rounded.
    """
    if size == image.shape[:2]:
        return image
    if sampling == "antialiased":
        return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))
    taps, blend = (_centered, _whole) if sampling == "opencv" else (_cornered, _float)
    return blend(image, taps(image.shape[0], size[0]), taps(image.shape[1], size[1]))


def _centered(source: int, target: int) -> Taps:
    """Taps where pixels are areas: the center of output i is at (i + 1/2) * source / target."""
    place = ((np.arange(target) + 0.5) * (source / target) - 0.5).astype(np.float32)
    low = np.floor(place).astype(np.int64)
    return low.clip(0, source - 1), (low + 1).clip(0, source - 1), (place - low).astype(np.float32)


def _cornered(source: int, target: int) -> Taps:
    """Taps where pixels are points: the first and the last pixel of input and output coincide."""
    place = (np.arange(target) * ((source - 1) / max(target - 1, 1))).astype(np.float32)
    low = np.floor(place).astype(np.int64).clip(0, source - 1)
    return low, (low + 1).clip(0, source - 1), (place - low).astype(np.float32)


def _whole(image: np.ndarray, rows: Taps, columns: Taps) -> np.ndarray:
    """Blend in OpenCV's integer arithmetic: columns, drop four bits, rows, round."""
    across = np.where(columns[0] < columns[1], columns[2], 0)  # an edge column has weight 1; OpenCV splits edge rows
    left, right = (_weights(part)[None, :, None] for part in (1 - across, across))
    upper, lower = (_weights(part)[:, None, None] for part in (1 - rows[2], rows[2]))
    (a, b), (c, d) = _corners(image, rows, columns, np.int32)
    top, bottom = (a * left + b * right) >> 4, (c * left + d * right) >> 4
    return (((upper * top >> 16) + (lower * bottom >> 16) + 2) >> 2).astype(np.uint8)


def _float(image: np.ndarray, rows: Taps, columns: Taps) -> np.ndarray:
    across, down = columns[2][None, :, None], rows[2][:, None, None]
    (a, b), (c, d) = _corners(image, rows, columns, np.float32)
    mixed = (a * (1 - across) + b * across) * (1 - down) + (c * (1 - across) + d * across) * down
    return np.rint(mixed).astype(np.uint8)


def _corners(image: np.ndarray, rows: Taps, columns: Taps, dtype: type) -> list[list[np.ndarray]]:
    """The four inputs of every output as [upper, lower][left, right]."""
    return [[image[row][:, column].astype(dtype) for column in columns[:2]] for row in rows[:2]]


def _weights(fraction: np.ndarray) -> np.ndarray:
    return np.rint(fraction * UNIT).astype(np.int32)
