"""What an image is to be learned as: boxes on the canvas, padded, and masks as small crops of their boxes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from paretodet.labels.model import MAX_BOXES, Mask
from paretodet.transforms.resize_policy import ResizePolicy
from paretodet.transforms.view import ImageView
from paretodet.types import Targets

SIDE = 28  # cells of a mask's crop
ROUNDING = 1e-3  # px: boxes that went to the canvas and back


class Truth(NamedTuple):
    """Of one image, in pixels of its canvas; `dropped` boxes were too many, `torn` masks could not be decoded."""

    boxes: np.ndarray  # [G, 4] float32
    labels: np.ndarray  # [G] int64
    crowd: np.ndarray  # [G] bool
    masks: np.ndarray | None  # [G, M, M] float32 in 0..1
    has_mask: np.ndarray | None  # [G] bool: whose mask is known
    dropped: int = 0
    torn: int = 0


def truth(
    picture: ImageView,
    fit: ResizePolicy,
    *,
    masks: tuple[Mask | None, ...] | None = None,
    most: int = MAX_BOXES,
    side: int = SIDE,
) -> Truth:
    """The picture's boxes on the canvas of `fit`, cut to it; the `most` largest stay, in their order.

    `masks` are the sample's, one a box of the file.
    """
    place = _Place(picture, fit)
    boxes = place.on_canvas(picture.boxes)
    whole = np.flatnonzero(np.all(boxes[:, 2:] > boxes[:, :2], axis=1))
    chosen = whole[_largest(boxes[whole], most)]
    crops = None if masks is None else _crops(picture.keep(chosen), place.in_image(boxes[chosen]), masks, side)
    return Truth(
        boxes=boxes[chosen],
        labels=picture.labels[chosen],
        crowd=picture.crowd[chosen],
        masks=crops and crops.cells,
        has_mask=crops and crops.known,
        dropped=len(whole) - len(chosen),
        torn=crops.torn if crops else 0,
    )


def pad(truths: Sequence[Truth], most: int = MAX_BOXES) -> Targets:
    """One batch, every image padded to `most`; masks where every image has them."""
    masks = [item.masks for item in truths if item.masks is not None]
    known = [item.has_mask for item in truths if item.has_mask is not None]
    return Targets(
        boxes=_padded([item.boxes for item in truths], most),
        labels=_padded([item.labels for item in truths], most),
        valid=_padded([np.ones(len(item.labels), bool) for item in truths], most),
        crowd=_padded([item.crowd for item in truths], most),
        masks=_padded(masks, most) if len(masks) == len(truths) else None,
        has_mask=_padded(known, most) if len(masks) == len(truths) else None,
    )


def crop_mask(shape: np.ndarray, box: np.ndarray, side: int = SIDE) -> np.ndarray:
    """shape bool [H, W], box [4] px of some area -> how far each cell of the box is covered, [side, side] in 0..1.

    Bilinear, widened where the box has more pixels than cells; what lies outside of the box does not count.
    """
    left, top = np.floor(box[:2] + ROUNDING).astype(int).clip(0).tolist()
    right, bottom = np.ceil(box[2:] - ROUNDING).astype(int).clip(None, shape.shape[::-1]).tolist()
    if right <= left or bottom <= top:
        return np.zeros((side, side), np.float32)
    seen = Image.fromarray(shape[top:bottom, left:right].astype(np.uint8) * 255)
    corners = (box - [left, top, left, top]).clip(0, [right - left, bottom - top] * 2)
    cells = seen.resize((side, side), Image.Resampling.BILINEAR, box=tuple(corners.tolist()))
    return np.asarray(cells, np.float32) / 255


class _Crops(NamedTuple):
    cells: np.ndarray  # [G, M, M]
    known: np.ndarray  # [G] bool: there is a mask, and it can be decoded
    torn: int


class _Place:
    """Between the image and the canvas."""

    def __init__(self, picture: ImageView, fit: ResizePolicy) -> None:
        self.fit, self.size = fit, picture.window.size
        self.corner = np.array([picture.window.left, picture.window.top] * 2, np.float32)
        height, width = fit.layout(self.size).true
        self.limit = np.array([width, height] * 2, np.float32)

    def on_canvas(self, boxes: np.ndarray) -> np.ndarray:
        placed = self.fit.place(torch.from_numpy(boxes - self.corner), self.size).numpy()
        return placed.clip(0, self.limit)

    def in_image(self, boxes: np.ndarray) -> np.ndarray:
        return self.fit.restore(torch.from_numpy(boxes), self.size).numpy() + self.corner


def _largest(boxes: np.ndarray, most: int) -> np.ndarray:
    """Numbers of the `most` largest, in order; of equals the first."""
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return np.sort(np.argsort(-area, kind="stable")[:most])


def _crops(picture: ImageView, boxes: np.ndarray, masks: tuple[Mask | None, ...], side: int) -> _Crops:
    size = (picture.pixels.shape[0], picture.pixels.shape[1])
    cells, known, torn = np.zeros((len(boxes), side, side), np.float32), np.zeros(len(boxes), bool), 0
    for index, (row, box) in enumerate(zip(picture.rows, boxes, strict=True)):
        if (mask := masks[row]) is None:
            continue
        try:
            shape = mask.decode(size)
        except ValueError:
            torn += 1
            continue
        known[index] = True
        cells[index] = crop_mask(shape[:, ::-1] if picture.mirrored else shape, box, side)
    return _Crops(cells, known, torn)


def _padded(parts: Sequence[np.ndarray], most: int) -> torch.Tensor:
    rows = np.zeros((len(parts), most, *parts[0].shape[1:]), parts[0].dtype)
    for row, part in zip(rows, parts, strict=True):
        row[: len(part)] = part
    return torch.from_numpy(rows)
