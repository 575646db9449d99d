"""Resizes an image with the sampling of the system that trained the weights, to the last gray level."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from paretodet.transforms import opencv

Sampling = Literal["antialiased", "opencv", "corners", "tf1", "torch"]
UNIT = 2**11  # OpenCV's weights are integer multiples of 1 / UNIT
BLOCK = 2**18  # numbers of the output that are computed at once: few enough for the cache
CHANNELS = np.arange(3)
Weights = tuple[Tensor, Tensor]


class AxisTaps(NamedTuple):
    """The two inputs of every output along one axis, and their weights."""

    first: np.ndarray  # [target] int64
    second: np.ndarray
    weights: tuple[np.ndarray, np.ndarray]  # [target], of the first and of the second

    def part(self, start: int, stop: int) -> "AxisTaps":
        """Those of the outputs from `start` to `stop`."""
        one, two = self.weights
        return AxisTaps(self.first[start:stop], self.second[start:stop], (one[start:stop], two[start:stop]))

    def per_channel(self) -> "AxisTaps":
        """Those of the numbers of a row [target * 3]."""
        first, second = ((index[:, None] * 3 + CHANNELS).reshape(-1) for index in (self.first, self.second))
        one, two = (weight.repeat(3) for weight in self.weights)
        return AxisTaps(first, second, (one, two))


@dataclass(frozen=True, kw_only=True)
class Bilinear:
    """A sampling that reads two pixels along each axis, first along the rows of an image and then along its columns.

    `across` and `down` join the values at two taps by their weights, and may overwrite these values.
    """

    rows: Callable[..., AxisTaps]  # from the numbers of rows of the source and of the target
    columns: Callable[..., AxisTaps]
    across: Callable[[Tensor, Tensor, Weights], Tensor]
    down: Callable[[Tensor, Tensor, Weights], Tensor]
    dtype: torch.dtype = torch.float32
    exchangeable: bool = True  # whether the order of the axes does not matter


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
    method = BILINEAR[sampling]
    if scale is not None:
        method = replace(method, rows=partial(method.rows, scale=scale), columns=partial(method.columns, scale=scale))
    return _bilinear(image, size, method)


def _bilinear(image: np.ndarray, size: tuple[int, int], method: Bilinear) -> np.ndarray:
    height, width = size
    rows = method.rows(image.shape[0], height)
    columns = method.columns(image.shape[1], width).per_channel()
    pixels = image.reshape(len(image), -1)
    resized = np.empty((height, width * 3), np.uint8)
    step = -(-height // -(-height * width * 3 // BLOCK))  # blocks are nearly equal
    for start in range(0, height, step):
        resized[start : start + step] = _block(pixels, rows.part(start, start + step), columns, method)
    return resized.reshape(height, width, 3)


def _block(pixels: np.ndarray, rows: AxisTaps, columns: AxisTaps, method: Bilinear) -> np.ndarray:
    """Some rows of the output, [rows, width * 3], of pixels [H, W * 3]. The longer gather comes where rows are few."""
    count, low, end = len(rows.first), rows.first[0], rows.second[-1] + 1
    if method.exchangeable and end - low > count:
        values = _across(_down(pixels, rows, method), columns, method)
    elif end - low > 2 * count:
        pairs = rows._replace(first=np.arange(count), second=np.arange(count, 2 * count))
        values = _down(_across(pixels[np.concatenate((rows.first, rows.second))], columns, method), pairs, method)
    else:
        within = rows._replace(first=rows.first - low, second=rows.second - low)
        values = _down(_across(pixels[low:end], columns, method), within, method)
    return torch.from_numpy(values).round_().numpy()


def _across(values: np.ndarray, columns: AxisTaps, method: Bilinear) -> np.ndarray:
    left, right = (torch.from_numpy(values.take(index, axis=1)).to(method.dtype) for index in columns[:2])
    one, two = (torch.from_numpy(weight) for weight in columns.weights)
    return method.across(left, right, (one, two)).numpy()


def _down(values: np.ndarray, rows: AxisTaps, method: Bilinear) -> np.ndarray:
    upper, lower = (torch.from_numpy(values.take(index, axis=0)).to(method.dtype) for index in rows[:2])
    one, two = (torch.from_numpy(weight)[:, None] for weight in rows.weights)
    return method.down(upper, lower, (one, two)).numpy()


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


def _interpolated(one: Tensor, two: Tensor, weights: Weights) -> Tensor:
    """In one pass, for weights whose sum is 1."""
    return one.lerp_(two, weights[1])


def _weighted(one: Tensor, two: Tensor, weights: Weights) -> Tensor:
    return one.mul_(weights[0]).addcmul_(two, weights[1])


def _opencv_across(one: Tensor, two: Tensor, weights: Weights) -> Tensor:
    """Drops four bits."""
    return _weighted(one, two, weights).bitwise_right_shift_(4)


def _opencv_down(one: Tensor, two: Tensor, weights: Weights) -> Tensor:
    """Drops 16 bits of each product, and rounds the sum."""
    upper = one.mul_(weights[0]).bitwise_right_shift_(16)
    lower = two.mul_(weights[1]).bitwise_right_shift_(16)
    return upper.add_(lower).add_(2).bitwise_right_shift_(2)


BILINEAR: dict[str, Bilinear] = {
    "opencv": Bilinear(
        rows=_opencv_rows,
        columns=_opencv_columns,
        across=_opencv_across,
        down=_opencv_down,
        dtype=torch.int32,
        exchangeable=False,
    ),
    "corners": Bilinear(rows=_darknet_rows, columns=_darknet_columns, across=_interpolated, down=_weighted),
    "tf1": Bilinear(rows=_tf1, columns=_tf1, across=_interpolated, down=_interpolated),
    "torch": Bilinear(rows=_torch, columns=_torch, across=_interpolated, down=_interpolated),
}
SAMPLINGS = ("antialiased", *BILINEAR)
