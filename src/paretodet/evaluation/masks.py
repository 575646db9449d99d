"""Masks of finished boxes in pixels of their image, and as COCO's run lengths."""

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from paretodet.labels.rle import Rle, encode
from paretodet.types import Detections


def segmentations(detections: Detections, index: int, size: tuple[int, int]) -> list[Rle | None]:
    """One a slot of image `index`, of (height, width) `size`: None in empty slots and without masks."""
    scores = detections.scores[index].tolist()
    if detections.masks is None:
        return [None] * len(scores)
    rows = zip(detections.masks[index], detections.boxes[index], scores, strict=True)
    return [encode(paste(mask, box, size)) if score > 0 else None for mask, box, score in rows]


def paste(mask: Tensor, box: Tensor, size: tuple[int, int], threshold: float = 0.5) -> np.ndarray:
    """mask [M, M] in 0..1 of box [4] px -> bool [H, W] of the image of (height, width) `size`.

    As Detectron and torchvision paste: the mask gets an empty frame of one cell and the box grows in proportion, its
    corners are cut to whole pixels and both ends belong to it, the mask is resized to it by bilinear samples at the
    pixels' middles, and what is above `threshold` is inside.
    """
    grown = (mask.shape[-1] + 2) / mask.shape[-1]
    left, top, right, bottom = _grow(box.float(), grown).long().tolist()
    height, width = max(bottom - top + 1, 1), max(right - left + 1, 1)
    framed = F.pad(mask.float(), (1, 1, 1, 1))[None, None]
    drawn = F.interpolate(framed, (height, width), mode="bilinear", align_corners=False)[0, 0] > threshold
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
