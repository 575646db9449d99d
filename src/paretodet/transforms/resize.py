"""Resizes an image with the sampling of the system that trained the weights, to the last gray level."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from paretodet.transforms import bilinear, opencv
from paretodet.transforms.bilinear import AxisTaps, Bilinear

Sampling = Literal["antialiased", "opencv", "corners", "tf1", "torch"]
UNIT = 2**11  # OpenCV's weights are integer multiples of 1 / UNIT


def resize(
    image: np.ndarray, size: tuple[int, int], sampling: Sampling = "antialiased", scale: float | None = None
) -> np.ndarray:
    """image [H, W, 3] uint8 -> [*size, 3] uint8, bilinear.

    "antialiased" is Pillow's: the filter is wider when the image shrinks. The others read two pixels along each axis,
    however much the image shrinks:

    - "opencv": INTER_LINEAR of an uint8 image. Pixels are areas, weights are integers.
    - "corners": darknet's `resize_image`. Pixels are points, and the corners of input and output coincide.
    - "tf1": `tf.image.resize_bilinear` of TensorFlow 1 without `align_corners`: output i reads i * source / target.
    - "torch": `F.interpolate(mode="bilinear", align_corners=False)` of a float image. Pixels are areas.

    "antialiased" and "opencv" equal their library, and OpenCV itself computes if it is installed. The results of
    darknet, TensorFlow and torch are floats; here they are rounded to the nearest gray level.

    `scale` is the factor of both sides from which `size` was rounded, for "opencv" alone: `fx` and `fy` of its resize,
    which then reads i / scale. Without it each side has the factor target / source.
    """
    if size == image.shape[:2]:
        return image
    if sampling == "antialiased":
        return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))
    if sampling == "opencv" and (made := opencv.resized(image, size, scale)) is not None:
        return made
    made = bilinear.resized(image, size, BILINEAR[sampling], *(() if scale is None else (scale,)))
    return _with_halved_edges(made, image) if (sampling, scale) == ("opencv", 0.5) else made


def _with_halved_edges(made: np.ndarray, image: np.ndarray) -> np.ndarray:
    """OpenCV halves an image by the means of 2 x 2 pixels. Where an odd side is rounded up, those at its end are means
    of the two pixels that there are, and a half is rounded to even; elsewhere it is rounded up, as in `BILINEAR`.
    """
    for end, pixels, side in ((made[:, -1], image[:, -1], 1), (made[-1], image[-1], 0)):
        if image.shape[side] == 2 * made.shape[side] - 1:
            count = len(pixels) // 2
            first, second = (pixels[start : 2 * count : 2].astype(np.float32) for start in (0, 1))
            end[:count] = np.rint((first + second) / 2)[: len(end)]
    return made


# Where the taps are, in the arithmetic of each library


def _opencv_rows(source: int, target: int, scale: float | None = None) -> AxisTaps:
    """The center of output i is at (i + 1/2) / scale."""
    place = ((np.arange(target) + 0.5) * (1 / (scale or target / source)) - 0.5).astype(np.float32)
    low = np.floor(place).astype(np.int64)
    fraction = (place - low).astype(np.float32)
    one, two = (np.rint(part * UNIT).astype(np.int32) for part in (1 - fraction, fraction))  # their sum may not be UNIT
    return AxisTaps(low.clip(0, source - 1), (low + 1).clip(0, source - 1), (one, two))


def _opencv_columns(source: int, target: int, scale: float | None = None) -> AxisTaps:
    """As the rows, but a pixel at the edge has the whole weight, which rows split."""
    made = _opencv_rows(source, target, scale)
    split = made.first < made.second
    one, two = made.weights
    return made._replace(weights=(np.where(split, one, np.int32(UNIT)), np.where(split, two, np.int32(0))))


def _darknet_rows(source: int, target: int) -> AxisTaps:
    """The first and the last pixel of input and output coincide.

    Darknet reads only the first tap for the last row. Where rounding places that row above the last of the source, it
    is nearly black in darknet, and so it is here.
    """
    made = _darknet(source, target)
    made.weights[1][-1] = 0
    return made


def _darknet_columns(source: int, target: int) -> AxisTaps:
    made = _darknet(source, target)
    made.first[-1], made.weights[0][-1], made.weights[1][-1] = source - 1, 1, 0
    return made


def _darknet(source: int, target: int) -> AxisTaps:
    scale = np.float32(source - 1) / np.float32(max(target - 1, 1))
    return _floored(np.arange(target, dtype=np.float32) * scale, source)


def _tf1(source: int, target: int) -> AxisTaps:
    return _floored(np.arange(target, dtype=np.float32) * (np.float32(source) / np.float32(target)), source)


def _torch(source: int, target: int) -> AxisTaps:
    """The center of output i is at (i + 1/2) * source / target. Product and difference are rounded once, to float32."""
    scale = float(np.float32(source) / np.float32(target))
    place = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
    return _floored(place.clip(0), source)


def _floored(place: np.ndarray, source: int) -> AxisTaps:
    """The pixels at and after each place, float32 of at least 0, weighted by its fraction."""
    low = place.astype(np.int64).clip(max=source - 1)
    fraction = (place - low.astype(np.float32)).clip(0, 1)
    return AxisTaps(low, (low + 1).clip(max=source - 1), (1 - fraction, fraction))


# How the values at two taps are joined


def _interpolated(left: Tensor, right: Tensor, weights: tuple[Tensor, Tensor]) -> Tensor:
    """In one pass, for weights whose sum is 1."""
    return torch.lerp(left, right, weights[1])


def _summed(values: Tensor, pairs: Tensor, weights: Tensor) -> Tensor:
    """Reads both rows, multiplies and adds in one pass."""
    return F.embedding_bag(pairs, values, mode="sum", per_sample_weights=weights)


def _opencv_across(left: Tensor, right: Tensor, weights: tuple[Tensor, Tensor]) -> Tensor:
    """Drops four bits."""
    return left.mul_(weights[0]).addcmul_(right, weights[1]).bitwise_right_shift_(4)


def _opencv_down(values: Tensor, pairs: Tensor, weights: Tensor) -> Tensor:
    """Drops 16 bits of each product, and rounds the sum."""
    upper, lower = (
        values.index_select(0, rows).mul_(weight[:, None]).bitwise_right_shift_(16)
        for rows, weight in zip(pairs.unbind(1), weights.unbind(1), strict=True)
    )
    return upper.add_(lower).add_(2).bitwise_right_shift_(2)


BILINEAR: dict[str, Bilinear] = {
    "opencv": Bilinear(
        rows=_opencv_rows, columns=_opencv_columns, across=_opencv_across, down=_opencv_down, dtype=torch.int32
    ),
    "corners": Bilinear(rows=_darknet_rows, columns=_darknet_columns, across=_interpolated, down=_summed),
    "tf1": Bilinear(rows=_tf1, columns=_tf1, across=_interpolated, down=_summed),
    "torch": Bilinear(rows=_torch, columns=_torch, across=_interpolated, down=_summed),
}
SAMPLINGS = ("antialiased", *BILINEAR)
