"""One candidate on several views of each image: mirrored, enlarged, shrunk, cropped.

Huang et al. section 4.2 measure "multi-crop inference" and tell neither the crops nor how they are merged; the
geometry here is ours. A view is a window of the image, in fractions of its sides, rounded to whole pixels. What the
candidate's own fit makes of it decides the scale: a window of half the side shows everything twice as large, one that
reaches beyond the image, on gray, shows it smaller. So views change the scale for candidates of any fit, where
resizing the image first would change nothing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paretodet.bench.candidate import Candidate, Image, ModelInfo
from paretodet.ensembles.ensemble import joined, labels_of, one_by_one
from paretodet.ensembles.fusion import BoxFusion, Fusion, inside
from paretodet.ops.geometry import area, clip
from paretodet.types import Detections

GRAY = 128  # what a window shows beyond the image
KRIZHEVSKY = 224 / 256  # side of the ten crops of Krizhevsky et al. 2012, section 4.1


@dataclass(frozen=True, kw_only=True)
class View:
    """A window of the image, as fractions of its height and width, and whether it is seen in a mirror."""

    top: float = 0.0
    left: float = 0.0
    bottom: float = 1.0
    right: float = 1.0
    mirrored: bool = False

    def __post_init__(self) -> None:
        for low, high in (("top", "bottom"), ("left", "right")):
            first, last = getattr(self, low), getattr(self, high)
            if not (first < last and first < 1 and last > 0):
                raise ValueError(f"{low}, {high}: got {first}, {last}; they must rise and meet the image, 0..1")

    def window(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, bottom, right, px; at least one pixel of an image of this size lies inside."""
        top, bottom = _pixels(self.top, self.bottom, height)
        left, right = _pixels(self.left, self.right, width)
        return top, left, bottom, right

    def __call__(self, image: Image) -> Image:
        """What is seen of image [H, W, 3] uint8; a new array."""
        height, width = image.shape[:2]
        top, left, bottom, right = self.window(height, width)
        seen = np.full((bottom - top, right - left, 3), GRAY, np.uint8)
        part = image[max(top, 0) : bottom, max(left, 0) : right]
        seen[max(-top, 0) :, max(-left, 0) :][: part.shape[0], : part.shape[1]] = part
        return np.ascontiguousarray(seen[:, ::-1]) if self.mirrored else seen

    def windows(self, sizes: Tensor) -> Tensor:
        """The windows in images of (height, width) `sizes` [B, 2] as boxes [B, 4], px."""
        corners = [self.window(int(height), int(width)) for height, width in sizes.tolist()]
        return sizes.new_tensor([[left, top, right, bottom] for top, left, bottom, right in corners])

    def restore(self, boxes: Tensor, windows: Tensor) -> Tensor:
        """Boxes [B, D, 4] in pixels of what was seen -> in pixels of the image, not clipped."""
        x1, y1, x2, y2 = boxes.unbind(-1)
        if self.mirrored:
            width = (windows[:, 2] - windows[:, 0])[:, None]
            x1, x2 = width - x2, width - x1
        return torch.stack([x1, y1, x2, y2], -1) + windows[:, None, :2].repeat(1, 1, 2)


WHOLE = (View(),)


def mirrored(views: tuple[View, ...] = WHOLE) -> tuple[View, ...]:
    """Each view and its mirror image."""
    return tuple(replace(view, mirrored=mirror) for view in views for mirror in (view.mirrored, not view.mirrored))


def five_crops(share: float = KRIZHEVSKY) -> tuple[View, ...]:
    """Windows of `share` of either side, in 1/2..1, at the four corners and in the middle: together the whole image."""
    if not 0.5 <= share <= 1:
        raise ValueError(f"share: got {share}, allowed is 0.5..1")
    places = ((0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5))
    corners = [((1 - share) * down, (1 - share) * right) for down, right in places]
    return tuple(View(top=y, left=x, bottom=y + share, right=x + share) for y, x in corners)


def ten_crops(share: float = KRIZHEVSKY) -> tuple[View, ...]:
    """The five crops and their mirror images. The whole image is none of them: `WHOLE + ten_crops()` has it."""
    return mirrored(five_crops(share))


def at_scales(*scales: float) -> tuple[View, ...]:
    """The image times each of `scales`: five crops where it grows, up to 2, and gray around it where it shrinks."""
    return tuple(view for scale in scales for view in _at_scale(scale))


def _at_scale(scale: float) -> tuple[View, ...]:
    if not 0 < scale <= 2:
        raise ValueError(f"scale: got {scale}, allowed is more than 0 and up to 2")
    if scale > 1:
        return five_crops(1 / scale)
    margin = (1 / scale - 1) / 2
    return (View(top=-margin, left=-margin, bottom=1 + margin, right=1 + margin),)


class MultiCrop:
    """A candidate on several views of each image, one after another, its detections fused.

    A box that comes nearer than `cut` of a window's side to an edge inside the image shows a part of an object and is
    left out; what a view cannot tell is not held against a box (`Fusion`). Boxes are clipped to the image, and those
    without area in it left out. Raises ValueError for no views, or `cut` out of 0..0.5.
    """

    def __init__(
        self,
        candidate: Candidate,
        *,
        views: tuple[View, ...] = mirrored(WHOLE),
        fusion: Fusion | None = None,
        cut: float = 0.01,
        name: str | None = None,
    ):
        if not views:
            raise ValueError("views: got none, at least one is needed")
        if not 0 <= cut < 0.5:
            raise ValueError(f"cut: got {cut}, allowed is 0 up to less than 0.5")
        self.candidate, self.views, self.cut = candidate, views, cut
        self.fusion: Fusion = fusion or BoxFusion()
        self.name = name or f"{candidate.name} in {len(views)} views"
        self.labels = labels_of(candidate)

    def prepare(self, images: Sequence[Image]) -> tuple[Any, ...]:
        return tuple(self.candidate.prepare([view(image) for image in images]) for view in self.views)

    def infer(self, batch: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(self.candidate.infer(part) for part in batch)

    def finish(self, outputs: tuple[Any, ...], sizes: Tensor) -> Detections:
        found, sight = [], []
        for view, part in zip(self.views, outputs, strict=True):
            windows = view.windows(sizes)
            seen = self.candidate.finish(part, windows[:, [3, 2]] - windows[:, [1, 0]])
            sight.append(_sight(windows, sizes, self.cut))
            found.append(_in_image(seen._replace(boxes=view.restore(seen.boxes, windows)), sight[-1], sizes))
        return self.fusion(found, torch.stack(sight))

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        """One stage a view."""
        return one_by_one((f"view {place}", self.candidate.infer) for place, _ in enumerate(self.views, 1))

    def facts(self) -> ModelInfo:
        """The candidate's weights once and its work once a view: a window is brought to the canvas an image is."""
        passes = [self.candidate] * len(self.views)
        return joined(passes, self.labels, fusion=self.fusion, views=self.views, cut=self.cut)


def _sight(windows: Tensor, sizes: Tensor, cut: float) -> Tensor:
    """Where a view tells of objects, [B, 4]: up to `cut` before an edge inside the image, without end elsewhere."""
    sides = (windows[:, 2:] - windows[:, :2]).repeat(1, 2)
    low, high = (windows + sides * cut)[:, :2], (windows - sides * cut)[:, 2:]
    low = low.masked_fill(windows[:, :2] <= 0, -math.inf)
    return torch.cat([low, high.masked_fill(windows[:, 2:] >= sizes.flip(1), math.inf)], 1)


def _in_image(found: Detections, sight: Tensor, sizes: Tensor) -> Detections:
    boxes = clip(found.boxes, sizes)
    kept = inside(found.boxes, sight[:, None]) & (area(boxes) > 0)
    return Detections(boxes, found.scores.masked_fill(~kept, 0), found.labels)


def _pixels(low: float, high: float, side: int) -> tuple[int, int]:
    """Rounded, and inside the image by a pixel at least."""
    first = min(math.floor(low * side + 0.5), side - 1)
    return first, max(math.floor(high * side + 0.5), first + 1, 1)
