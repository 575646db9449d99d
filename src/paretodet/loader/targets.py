"""Targets of an image: its boxes on the canvas, padded to a fixed number, and masks as small crops of their boxes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from paretodet.labels.model import MAX_BOXES, Mask
from paretodet.transforms.resize_policy import ResizePolicy
from paretodet.transforms.view import ImageView
from paretodet.types import Targets

SIDE = 28  # of a mask's crop, in cells
ROUNDING = 1e-3  # px; error of a box that is mapped to the canvas and back


class Truth(NamedTuple):
    """Boxes, labels and masks of one image; boxes are in pixels of its canvas."""

    boxes: np.ndarray  # [G, 4] float32
    labels: np.ndarray  # [G] int64
    crowd: np.ndarray  # [G] bool
    masks: np.ndarray | None  # [G, M, M] float32 in 0..1
    has_mask: np.ndarray | None  # [G] bool: whether the object has a mask
    dropped: int = 0  # boxes beyond the limit
    unreadable_masks: int = 0  # masks that cannot be decoded


def truth(
    view: ImageView,
    fit: ResizePolicy,
    *,
    masks: tuple[Mask | None, ...] | None = None,
    most: int = MAX_BOXES,
    side: int = SIDE,
) -> Truth:
    """The view's boxes on the canvas of `fit`, clipped to it: the `most` largest ones, in their order.

    `masks` are the sample's masks, one per box of the sample (not of the view).
    """
    place = _Place(view, fit)
    boxes = place.on_canvas(view.boxes)
    whole = np.flatnonzero(np.all(boxes[:, 2:] > boxes[:, :2], axis=1))
    chosen = whole[_largest(boxes[whole], most)]
    crops = None if masks is None else _crops(view.keep(chosen), place.in_image(boxes[chosen]), masks, side)
    return Truth(
        boxes=boxes[chosen],
        labels=view.labels[chosen],
        crowd=view.crowd[chosen],
        masks=crops and crops.cells,
        has_mask=crops and crops.known,
        dropped=len(whole) - len(chosen),
        unreadable_masks=crops.unreadable if crops else 0,
    )


def pad(truths: Sequence[Truth], most: int = MAX_BOXES) -> Targets:
    """The targets of a batch, every image padded to `most` boxes; with masks if every image has them."""
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
    """shape bool [H, W], box [4] px with an area -> the share of every cell that is covered, [side, side] in 0..1.

    The box is divided into side x side cells and sampled bilinearly; the filter is wider if the box has more pixels
    than cells. Pixels outside the box do not count.
    """
    left, top = np.floor(box[:2] + ROUNDING).astype(int).clip(0).tolist()
    right, bottom = np.ceil(box[2:] - ROUNDING).astype(int).clip(None, shape.shape[::-1]).tolist()
    if right <= left or bottom <= top:
        return np.zeros((side, side), np.float32)
    inside = Image.fromarray(shape[top:bottom, left:right].astype(np.uint8) * 255)
    corners = (box - [left, top, left, top]).clip(0, [right - left, bottom - top] * 2)
    cells = inside.resize((side, side), Image.Resampling.BILINEAR, box=tuple(corners.tolist()))
    return np.asarray(cells, np.float32) / 255


class _Crops(NamedTuple):
    cells: np.ndarray  # [G, M, M]
    known: np.ndarray  # [G] bool: there is a mask, and it can be decoded
    unreadable: int


class _Place:
    """Maps boxes from the image to the canvas and back."""

    def __init__(self, view: ImageView, fit: ResizePolicy) -> None:
        self.fit, self.size = fit, view.window.size
        self.corner = np.array([view.window.left, view.window.top] * 2, np.float32)
        height, width = fit.layout(self.size).true
        self.limit = np.array([width, height] * 2, np.float32)

    def on_canvas(self, boxes: np.ndarray) -> np.ndarray:
        placed = self.fit.place(torch.from_numpy(boxes - self.corner), self.size).numpy()
        return placed.clip(0, self.limit)

    def in_image(self, boxes: np.ndarray) -> np.ndarray:
        return self.fit.restore(torch.from_numpy(boxes), self.size).numpy() + self.corner


def _largest(boxes: np.ndarray, most: int) -> np.ndarray:
    """Numbers of the `most` largest boxes, in ascending order; of equal ones the first."""
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return np.sort(np.argsort(-area, kind="stable")[:most])


def _crops(view: ImageView, boxes: np.ndarray, masks: tuple[Mask | None, ...], side: int) -> _Crops:
    size = (view.pixels.shape[0], view.pixels.shape[1])
    cells, known, unreadable = np.zeros((len(boxes), side, side), np.float32), np.zeros(len(boxes), bool), 0
    for index, (row, box) in enumerate(zip(view.rows, boxes, strict=True)):
        if (mask := masks[row]) is None:
            continue
        try:
            shape = mask.decode(size)
        except ValueError:
            unreadable += 1
            continue
        known[index] = True
        cells[index] = crop_mask(shape[:, ::-1] if view.mirrored else shape, box, side)
    return _Crops(cells, known, unreadable)


def _padded(parts: Sequence[np.ndarray], most: int) -> torch.Tensor:
    rows = np.zeros((len(parts), most, *parts[0].shape[1:]), parts[0].dtype)
    for row, part in zip(rows, parts, strict=True):
        row[: len(part)] = part
    return torch.from_numpy(rows)
