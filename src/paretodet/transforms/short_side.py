"""The size of an image whose shorter side is resized to a length and whose longer side is limited, as systems compute
it: they differ by a pixel where they round, and in the precision of the scale.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

Size = tuple[int, int]  # (height, width), px
Whole = Literal["nearest", "below", "tf1", "detectron", "detectron2", "maskrcnn_benchmark", "transformers"]


def scaled(size: Size, scale: float, more: float = 0.5) -> Size:
    """Both sides times `scale`, rounded down after `more` is added; at least 1."""
    return max(1, int(size[0] * scale + more)), max(1, int(size[1] * scale + more))


def nearest(size: Size, short: int, long: int) -> Size:
    """To the nearest pixel, halves up."""
    return scaled(size, min(short / min(size), long / max(size)))


def below(size: Size, short: int, long: int) -> Size:
    """Down, as torchvision's GeneralizedRCNNTransform.

    Even the shorter side can be one pixel less than `short`, where side * scale is just below it in floating point.
    """
    return scaled(size, min(short / min(size), long / max(size)), more=0.0)


def tf1(size: Size, short: int, long: int) -> Size:
    """To the nearest pixel, halves to even, in float32: `resize_to_range` of TensorFlow's Object Detection API."""
    height, width = _float32(size, np.float32(short) / np.float32(min(size)))
    if max(height, width) <= long:
        return height, width
    return _float32(size, np.float32(long) / np.float32(max(size)))


def detectron(size: Size, short: int, long: int) -> Size:
    """To the nearest pixel, halves to even: `prep_im_for_blob` of Detectron and py-faster-rcnn with OpenCV's resize."""
    scale = detectron_scale(size, short, long)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def detectron_scale(size: Size, short: int, long: int) -> float:
    """The factor of both sides: the longer side limits it only if it would be rounded to more than `long`."""
    scale = short / min(size)
    return long / max(size) if round(scale * max(size)) > long else scale


def detectron2(size: Size, short: int, long: int) -> Size:
    """To the nearest pixel, halves up, by two scales of which only the second knows `long`: Detectron2's
    `ResizeShortestEdge`.
    """
    scale = short / min(size)
    sides = [float(short) if side == min(size) else side * scale for side in size]
    if max(sides) > long:
        limit = long / max(sides)
        sides = [side * limit for side in sides]
    height, width = (max(1, int(side + 0.5)) for side in sides)
    return height, width


def maskrcnn_benchmark(size: Size, short: int, long: int) -> Size:
    """The longer side is rounded down, from a shorter side that is already whole: `Resize` of maskrcnn-benchmark."""
    height, width = size
    if max(size) / min(size) * short > long:
        short = round(long * min(size) / max(size))
    if short < 1:  # there, a side of 0
        return nearest(size, 1, long)
    if min(size) == short:
        return size
    return (int(short * height / width), short) if width < height else (short, int(short * width / height))


def transformers(size: Size, short: int, long: int) -> Size:
    """The shorter side to the nearest pixel, the longer down: `get_size_with_aspect_ratio` of transformers 5."""
    height, width = size
    exact = min(float(short), long * min(size) / max(size))
    whole = round(exact)
    if whole < 1:  # there, a side of 0
        return nearest(size, 1, long)
    if min(size) == whole:
        return size
    return (int(exact * height / width), whole) if width < height else (whole, int(exact * width / height))


def _float32(size: Size, scale: np.float32) -> Size:
    height, width = (max(1, int(np.rint(np.float32(side) * scale))) for side in size)
    return height, width


ROUNDINGS: dict[str, Callable[[Size, int, int], Size]] = {
    "nearest": nearest,
    "below": below,
    "tf1": tf1,
    "detectron": detectron,
    "detectron2": detectron2,
    "maskrcnn_benchmark": maskrcnn_benchmark,
    "transformers": transformers,
}
