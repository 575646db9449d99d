"""One candidate on several views of each image: mirrored, enlarged, shrunk, cropped.

Huang et al. 2017, section 4.2, measure "multi-crop inference" but describe neither the crops nor how results are
merged; the geometry here is this project's. A view is a window of the image, in fractions of its sides, rounded to
whole pixels. The candidate's resize policy then sets the scale: a window of half the side shows everything twice as
large; a window that extends beyond the image (filled with gray) shows it smaller. So views change the scale for any
resize policy, whereas resizing the image first would have no effect.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paretodet.bench.candidate import Candidate, Image, ModelInfo
from paretodet.ensembles.ensemble import combined_info, labels_of, part_stages
from paretodet.ensembles.fusion import BoxFusion, Fusion, inside
from paretodet.ops.geometry import area, clip
from paretodet.types import Detections

GRAY = 128  # the value of pixels beyond the image
KRIZHEVSKY = 224 / 256  # side of the ten crops of Krizhevsky et al. 2012, section 4.1


@dataclass(frozen=True, kw_only=True)
class View:
    """A window of the image, as fractions of its height and width, and whether it is mirrored."""

    top: float = 0.0
    left: float = 0.0
    bottom: float = 1.0
    right: float = 1.0
    mirrored: bool = False

    def __post_init__(self) -> None:
        for low, high in (("top", "bottom"), ("left", "right")):
            first, last = getattr(self, low), getattr(self, high)
            if not (first < last and first < 1 and last > 0):
                raise ValueError(f"{low}, {high}: got {first}, {last}; they must rise and overlap the image, 0..1")

    def window(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, bottom, right in px, with at least one pixel of an image of this size inside."""
        top, bottom = _pixels(self.top, self.bottom, height)
        left, right = _pixels(self.left, self.right, width)
        return top, left, bottom, right

    def __call__(self, image: Image) -> Image:
        """The view of an image [H, W, 3] uint8, as a new array."""
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
        """Boxes [B, D, 4] in pixels of the view -> in pixels of the image, not clipped."""
        x1, y1, x2, y2 = boxes.unbind(-1)
        if self.mirrored:
            width = (windows[:, 2] - windows[:, 0])[:, None]
            x1, x2 = width - x2, width - x1
        return torch.stack([x1, y1, x2, y2], -1) + windows[:, None, :2].repeat(1, 1, 2)


WHOLE = (View(),)


def mirrored(views: tuple[View, ...] = WHOLE) -> tuple[View, ...]:
    """Every view, followed by its mirror image."""
    return tuple(replace(view, mirrored=mirror) for view in views for mirror in (view.mirrored, not view.mirrored))


def five_crops(share: float = KRIZHEVSKY) -> tuple[View, ...]:
    """Windows of `share` (0.5..1) of both sides, at the four corners and in the center; together, the whole image."""
    if not 0.5 <= share <= 1:
        raise ValueError(f"share: got {share}, allowed is 0.5..1")
    places = ((0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5))
    corners = [((1 - share) * down, (1 - share) * right) for down, right in places]
    return tuple(View(top=y, left=x, bottom=y + share, right=x + share) for y, x in corners)


def ten_crops(share: float = KRIZHEVSKY) -> tuple[View, ...]:
    """The five crops and their mirror images. They do not include the whole image: use `WHOLE + ten_crops()`."""
    return mirrored(five_crops(share))


def at_scales(*scales: float) -> tuple[View, ...]:
    """The image at each of `scales` (up to 2): five crops if enlarged, a gray margin if shrunk."""
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

    A box that is closer than `cut` of the window's side to a window edge inside the image may show only a part of an
    object and is dropped; such a view does not count against the boxes of other views there (`Fusion`). Boxes are
    clipped to the image; boxes without area are dropped. Raises ValueError without views or for `cut` outside 0..0.5.
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
        sources, visible = [], []
        for view, part in zip(self.views, outputs, strict=True):
            windows = view.windows(sizes)
            detections = self.candidate.finish(part, windows[:, [3, 2]] - windows[:, [1, 0]])
            restored = detections._replace(boxes=view.restore(detections.boxes, windows))
            visible.append(_visible(windows, sizes, self.cut))
            sources.append(_in_image(restored, visible[-1], sizes))
        return self.fusion(sources, torch.stack(visible))

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        """One stage for each view."""
        return part_stages((f"view {place}", self.candidate.infer) for place, _ in enumerate(self.views, 1))

    def facts(self) -> ModelInfo:
        """The candidate's weights once and its work once per view, because a window is resized to the full canvas."""
        passes = [self.candidate] * len(self.views)
        return combined_info(passes, self.labels, fusion=self.fusion, views=self.views, cut=self.cut)


def _visible(windows: Tensor, sizes: Tensor, cut: float) -> Tensor:
    """Where a view can detect objects, [B, 4]: up to `cut` before an edge inside the image, infinite elsewhere."""
    sides = (windows[:, 2:] - windows[:, :2]).repeat(1, 2)
    low, high = (windows + sides * cut)[:, :2], (windows - sides * cut)[:, 2:]
    low = low.masked_fill(windows[:, :2] <= 0, -math.inf)
    return torch.cat([low, high.masked_fill(windows[:, 2:] >= sizes.flip(1), math.inf)], 1)


def _in_image(detections: Detections, visible: Tensor, sizes: Tensor) -> Detections:
    boxes = clip(detections.boxes, sizes)
    kept = inside(detections.boxes, visible[:, None]) & (area(boxes) > 0)
    return Detections(boxes, detections.scores.masked_fill(~kept, 0), detections.labels)


def _pixels(low: float, high: float, side: int) -> tuple[int, int]:
    """Both ends rounded, with at least one pixel inside the image."""
    first = min(math.floor(low * side + 0.5), side - 1)
    return first, max(math.floor(high * side + 0.5), first + 1, 1)
