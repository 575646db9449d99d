"""Boxes of a mirrored photograph: those that are read right are mirrored too."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from paretodet.layouts.decode import decode
from paretodet.layouts.layout import FileLayout, Normalization
from paretodet.ops.geometry import iou
from paretodet.readings.look import FAINT, LOOKED, SURE, top_scores
from paretodet.transforms.resize_policy import ResizePolicy

Run = Callable[[np.ndarray, Normalization, ResizePolicy], Mapping[str, Tensor]]
SHARE = 0.6  # of the canvas's width that the photograph fills at most, at the left edge
OVERLAP = 0.5  # of a box and its mirror image
GRAY = 114
SAME = ""  # no contradiction


def not_mirrored(
    run: Run, layout: FileLayout, policy: ResizePolicy, canvas: tuple[int, int], image: np.ndarray
) -> str | None:
    """What contradicts the order or the unit of the boxes: no clear one is mirrored as the photograph is.

    The photograph stands at the left of a canvas, as the mirror image of a centered object would hide it. None if one
    is mirrored, or if nothing is clear; SAME if the outputs are the same for both, so that nothing is known.
    """
    left = at_left(image, canvas)
    sides = [run(each, layout.pixels, policy) for each in (left, np.ascontiguousarray(left[:, ::-1]))]
    decoded = [_scored(outputs, layout, canvas) for outputs in sides]
    clear = [boxes[scores > SURE] for boxes, scores in decoded]
    if not all(len(boxes) for boxes in clear):
        return None
    if all(_close(output, sides[1][name]) for name, output in sides[0].items()):
        return SAME
    for boxes, (others, scores) in zip(clear, reversed(decoded), strict=True):
        if bool((iou(_mirrored(boxes, canvas[1]), others[scores > FAINT]) > OVERLAP).any()):
            return None
    return f"none of its {len(clear[0])} clear boxes on a photograph is mirrored when the photograph is"


def at_left(image: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    """The image [H, W, 3] as large as fits into the left part of a gray canvas (height, width)."""
    height, width = canvas
    scale = min(height / image.shape[0], SHARE * width / image.shape[1])
    size = max(1, round(scale * image.shape[1])), max(1, round(scale * image.shape[0]))
    whole = np.full((height, width, 3), GRAY, np.uint8)
    whole[: size[1], : size[0]] = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    return whole


def _scored(outputs: Mapping[str, Tensor], layout: FileLayout, canvas: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The best boxes [N, 4] of the first image, and their scores."""
    found = decode(outputs, layout.outputs, canvas)
    scores = top_scores(found.scores[0])
    best = scores.argsort(descending=True)[:LOOKED]
    return found.boxes[0][best], scores[best]


def _mirrored(boxes: Tensor, width: int) -> Tensor:
    return torch.stack((width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]), dim=1)


def _close(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.allclose(first.float(), second.float(), rtol=1e-3, atol=1e-3)
