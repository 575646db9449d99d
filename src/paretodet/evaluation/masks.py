"""Masks of finished boxes in pixels of their image, and as COCO's run lengths."""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from paretodet.labels.rle import Rle, encode
from paretodet.types import Detections

Pasting = Literal["detectron", "detectron2", "tensorflow"]  # how a code base draws masks into an image
INSIDE = 0.5  # what belongs to an object
LEAST = 1e-4  # of the image's side, to which TensorFlow's boxes are enlarged


def segmentations(
    detections: Detections, index: int, size: tuple[int, int], pasting: Pasting = "detectron"
) -> list[Rle | None]:
    """One a slot of image `index`, of (height, width) `size`: None in empty slots and without masks."""
    scores = detections.scores[index].tolist()
    if detections.masks is None:
        return [None] * len(scores)
    rows = zip(detections.masks[index], detections.boxes[index], scores, strict=True)
    return [encode(paste(mask, box, size, pasting)) if score > 0 else None for mask, box, score in rows]


def paste(mask: Tensor, box: Tensor, size: tuple[int, int], pasting: Pasting = "detectron") -> np.ndarray:
    """mask [M, M] in 0..1 of box [4] px -> bool [H, W] of the image of (height, width) `size`."""
    return PASTINGS[pasting](mask.float(), box.float(), size)


def _detectron(mask: Tensor, box: Tensor, size: tuple[int, int]) -> np.ndarray:
    """As Detectron and torchvision paste: the mask gets an empty frame of one cell and the box grows in proportion, its
    corners are cut to whole pixels and both ends belong to it, the mask is resized to it by bilinear samples at the
    pixels' middles, and what is above a half is inside.
    """
    grown = (mask.shape[-1] + 2) / mask.shape[-1]
    left, top, right, bottom = _grow(box, grown).long().tolist()
    height, width = max(bottom - top + 1, 1), max(right - left + 1, 1)
    framed = F.pad(mask, (1, 1, 1, 1))[None, None]
    drawn = F.interpolate(framed, (height, width), mode="bilinear", align_corners=False)[0, 0] > INSIDE
    pasted = np.zeros(size, bool)
    inside = pasted[max(top, 0) : max(bottom + 1, 0), max(left, 0) : max(right + 1, 0)]
    down, across = max(-top, 0), max(-left, 0)
    inside[:] = drawn[down : down + inside.shape[0], across : across + inside.shape[1]].numpy()
    return pasted


def _grow(box: Tensor, scale: float) -> Tensor:
    """A box [4] about its middle, in the originals' order of operations: whole pixels are cut from the result."""
    low, high = box[:2], box[2:]
    middle, half = (high + low) * 0.5, (high - low) * 0.5 * scale
    return box.new_tensor([*(middle - half), *(middle + half)])


def _detectron2(mask: Tensor, box: Tensor, size: tuple[int, int]) -> np.ndarray:
    """As Detectron2 pastes: the middle of every pixel is looked up in the box, whose edges are those of the mask's
    outermost cells, between their middles bilinearly and with 0 around; from a half on it is inside.
    """
    rows, columns = (_near(box[axis].item(), box[axis + 2].item(), size[1 - axis]) for axis in (1, 0))
    pasted = np.zeros(size, bool)
    if not (len(rows) and len(columns)):
        return pasted
    down, across = (
        (torch.arange(part.start, part.stop, dtype=torch.float32) + 0.5 - box[axis]) / (box[axis + 2] - box[axis]) * 2
        - 1
        for part, axis in ((rows, 1), (columns, 0))
    )
    places = torch.stack((across.expand(len(rows), -1), down[:, None].expand(-1, len(columns))), dim=-1)
    drawn = F.grid_sample(mask[None, None], places[None], align_corners=False)[0, 0] >= INSIDE
    pasted[rows.start : rows.stop, columns.start : columns.stop] = drawn.numpy()
    return pasted


def _near(low: float, high: float, side: int) -> range:
    """The pixels that a box can reach along an axis; none for a box without a side."""
    return range(max(math.floor(low) - 1, 0), min(math.ceil(high) + 1, side)) if high > low else range(0)


def _tensorflow(mask: Tensor, box: Tensor, size: tuple[int, int]) -> np.ndarray:
    """As TensorFlow's Object Detection API pastes: the edges of the box are the middles of the mask's outermost cells,
    and the edges of the image those of its outermost pixels; between the cells it is bilinear, and outside of the
    box nothing is inside. What is above a half is.
    """
    (rows, down), (columns, across) = (
        _along(box[axis] / side, box[axis + 2] / side, side, mask.shape[axis])
        for axis, side in ((1, size[0]), (0, size[1]))
    )
    pasted = np.zeros(size, bool)
    pasted[rows, columns] = (down @ mask @ across.T > INSIDE).numpy()
    return pasted


def _along(low: Tensor, high: Tensor, side: int, cells: int) -> tuple[slice, Tensor]:
    """Along one axis, the pixels inside of a box from `low` to `high`, as shares of the side, and how much each takes
    of every cell [pixels, cells].
    """
    pixels = torch.arange(side, dtype=torch.float32) / (side - 1) if side > 1 else torch.full((1,), 0.5)
    places = (pixels - low) / (high - low).clamp(min=LEAST) * (cells - 1)
    inside = ((places >= 0) & (places <= cells - 1)).nonzero()[:, 0].tolist()
    part = slice(inside[0], inside[-1] + 1) if inside else slice(0, 0)
    distance = places[part, None] - torch.arange(cells)
    return part, (1 - distance.abs()).clamp(min=0)


PASTINGS: dict[Pasting, Callable[[Tensor, Tensor, tuple[int, int]], np.ndarray]] = {
    "detectron": _detectron,
    "detectron2": _detectron2,
    "tensorflow": _tensorflow,
}
