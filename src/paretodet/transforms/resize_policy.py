"""Resize policies: how an image is fitted to the canvas of a network, and how boxes are mapped back to the image.

A policy computes a `Layout`: the size to which the image is resized and where it is pasted. `sampling` selects the
resampling of the system that trained the weights (see `resize`); with another one, accuracy falls on images that
shrink much. It does not change the geometry. "antialiased", the default, is also that of stored policies which do not
state one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from paretodet.errors import InputError
from paretodet.transforms.resize import SAMPLINGS, Sampling, resize
from paretodet.transforms.short_side import ROUNDINGS, Size, Whole, detectron_scale, scaled
from paretodet.types import Detections, Images


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where an image of one size lies on its canvas. Pairs are (vertical, horizontal)."""

    resized: Size
    offset: Size = (0, 0)  # of the resized image's corner; negative where the canvas crops it
    canvas: Size
    true: Size  # the part of the canvas, from its top left corner, in which boxes may lie
    shift: tuple[float, float] | None = None  # of boxes; None: equal to `offset`
    scale: float | None = None  # of pixels and boxes along both sides; None: resized / original


class FittedImage(NamedTuple):
    """A canvas, and the height and width of the part in which boxes may lie."""

    canvas: np.ndarray  # [H, W, 3] uint8
    height: int
    width: int


class ResizePolicy(ABC):
    """Maps an image to a canvas, and boxes to the canvas (`place`) and back (`restore`, its exact inverse)."""

    sampling: Sampling = "antialiased"

    @abstractmethod
    def layout(self, original: Size) -> Layout:
        """The layout of an image with this (height, width)."""

    @property
    def background(self) -> int:
        """The gray level of the canvas outside the image."""
        return 0

    def __call__(self, image: np.ndarray) -> FittedImage:
        """Fit an image [H, W, 3] uint8 to its canvas."""
        layout = self.layout(_size(image))
        resized = resize(image, layout.resized, self.sampling, layout.scale)
        return FittedImage(paste(resized, layout, self.background), *layout.true)

    def canvas(self, original: Size) -> Size:
        """(height, width) of the canvas for an image with this (height, width)."""
        return self.layout(original).canvas

    def place(self, boxes: Tensor, original: Size) -> Tensor:
        """Map boxes [..., 4] from pixels of the image to pixels of the canvas."""
        scale, shift = _affine(self.layout(original), original, boxes)
        return boxes * scale + shift

    def restore(self, boxes: Tensor, original: Size) -> Tensor:
        """Map boxes [..., 4] from pixels of the canvas to pixels of the image, without clipping."""
        scale, shift = _affine(self.layout(original), original, boxes)
        return (boxes - shift) / scale


@dataclass(frozen=True, kw_only=True)
class Stretch(ResizePolicy):
    """Resizes both sides to fixed lengths, whatever the aspect (SSD, detectors like DETR)."""

    height: int
    width: int
    sampling: Sampling = "antialiased"

    def __post_init__(self) -> None:
        _positive(height=self.height, width=self.width)
        _known(self.sampling)

    def layout(self, original: Size) -> Layout:
        size = (self.height, self.width)
        return Layout(resized=size, canvas=size, true=size)


@dataclass(frozen=True, kw_only=True)
class Letterbox(ResizePolicy):
    """Resizes the whole image to fit a fixed canvas and centers it; `fill` covers the rest (Darknet, Ultralytics).

    Lengths are rounded as in Darknet: one side fits the canvas exactly, the other is rounded down, and the image is
    pasted at half of the margin, rounded down. `undo="darknet"` maps boxes back with the margin's exact half, as
    Darknet does, which moves them by half a pixel if the margin is odd.
    """

    height: int
    width: int
    fill: int = 128
    undo: Literal["exact", "darknet"] = "exact"
    sampling: Sampling = "antialiased"

    def __post_init__(self) -> None:
        _positive(height=self.height, width=self.width)
        _known(self.sampling)
        if not 0 <= self.fill <= 255:
            raise ValueError(f"fill: got {self.fill}, a gray level is 0..255")
        if self.undo not in ("exact", "darknet"):
            raise ValueError(f"undo: got {self.undo!r}, it is 'exact' or 'darknet'")

    @property
    def background(self) -> int:
        return self.fill

    def layout(self, original: Size) -> Layout:
        height, width = original
        if self.width * height < self.height * width:
            resized = (max(1, height * self.width // width), self.width)
        else:
            resized = (self.height, max(1, width * self.height // height))
        margin = (self.height - resized[0], self.width - resized[1])
        canvas = (self.height, self.width)
        return Layout(
            resized=resized,
            offset=(margin[0] // 2, margin[1] // 2),
            canvas=canvas,
            true=canvas,
            shift=(margin[0] / 2, margin[1] / 2) if self.undo == "darknet" else None,
        )


@dataclass(frozen=True, kw_only=True)
class CornerLetterbox(ResizePolicy):
    """Resizes the whole image to fit a fixed canvas, in its top left corner; `fill` covers the rest (YOLOX).

    Lengths are rounded down, as of `Letterbox`.
    """

    height: int
    width: int
    fill: int = 114
    sampling: Sampling = "antialiased"

    def __post_init__(self) -> None:
        _positive(height=self.height, width=self.width)
        _known(self.sampling)
        if not 0 <= self.fill <= 255:
            raise ValueError(f"fill: got {self.fill}, a gray level is 0..255")

    @property
    def background(self) -> int:
        return self.fill

    def layout(self, original: Size) -> Layout:
        centered = Letterbox(height=self.height, width=self.width).layout(original)
        return Layout(resized=centered.resized, canvas=centered.canvas, true=centered.resized)


@dataclass(frozen=True, kw_only=True)
class PaddedSides(ResizePolicy):
    """Resizes the whole image so that no side exceeds `max_height` or `max_width`, in the top left corner of a fixed
    canvas (image processors of transformers).

    Both sides are rounded down from one factor in floating point: even the side that fits can be a pixel less.
    """

    height: int
    width: int
    max_height: int
    max_width: int
    sampling: Sampling = "antialiased"

    def __post_init__(self) -> None:
        _positive(max_height=self.max_height, max_width=self.max_width)
        _known(self.sampling)
        if self.max_height > self.height or self.max_width > self.width:
            most, canvas = f"{self.max_height}x{self.max_width}", f"{self.height}x{self.width}"
            raise ValueError(f"max_height, max_width: got {most}, larger than the canvas ({canvas})")

    def layout(self, original: Size) -> Layout:
        scale = min(self.max_height / original[0], self.max_width / original[1])
        resized = scaled(original, scale, more=0.0)
        return Layout(resized=resized, canvas=(self.height, self.width), true=resized)


@dataclass(frozen=True, kw_only=True)
class ShortSide(ResizePolicy):
    """Resizes the shorter side to `short`, or less if the longer side would exceed `long`; keeps the aspect (R-CNN).

    The canvas is padded at the bottom and right to a multiple of `multiple`, so its size depends on the image. `whole`
    selects how sides become whole pixels, in the arithmetic of a system (`short_side`). With OpenCV's sampling,
    "detectron" scales pixels and boxes by the factor from which the sides are rounded, not by their ratio.
    """

    short: int
    long: int
    multiple: int = 1
    whole: Whole = "nearest"
    sampling: Sampling = "antialiased"

    def __post_init__(self) -> None:
        _positive(short=self.short, long=self.long, multiple=self.multiple)
        _known(self.sampling)
        if self.whole not in ROUNDINGS:
            raise ValueError(f"whole: got {self.whole!r}, it is one of {', '.join(ROUNDINGS)}")
        if self.long < self.short:
            raise ValueError(f"long: got {self.long}, it cannot be less than short ({self.short})")

    def layout(self, original: Size) -> Layout:
        resized = ROUNDINGS[self.whole](original, self.short, self.long)
        height, width = (-(-side // self.multiple) * self.multiple for side in resized)
        exact = (self.whole, self.sampling) == ("detectron", "opencv")
        scale = detectron_scale(original, self.short, self.long) if exact else None
        return Layout(resized=resized, canvas=(height, width), true=resized, scale=scale)


@dataclass(frozen=True, kw_only=True)
class ShortSideCrop(ResizePolicy):
    """Resizes the image to cover a fixed canvas and keeps its center: the timing input of Huang et al. 2017, 3.5."""

    height: int
    width: int
    sampling: Sampling = "antialiased"

    def __post_init__(self) -> None:
        _positive(height=self.height, width=self.width)
        _known(self.sampling)

    def layout(self, original: Size) -> Layout:
        scale = max(self.height / original[0], self.width / original[1])
        covered = scaled(original, scale)
        resized = (max(covered[0], self.height), max(covered[1], self.width))
        canvas = (self.height, self.width)
        offset = (-((resized[0] - self.height) // 2), -((resized[1] - self.width) // 2))
        return Layout(resized=resized, offset=offset, canvas=canvas, true=canvas)


FITS: dict[str, Callable[..., ResizePolicy]] = {  # policies of a fixed canvas, by the name that a user gives
    "stretch": Stretch,
    "letterbox": Letterbox,
    "letterbox-darknet": partial(Letterbox, undo="darknet"),
}


def to_batch(images: Sequence[np.ndarray], fit: ResizePolicy) -> Images:
    """Fit images [H, W, 3] uint8 of any sizes and stack them, padded at the bottom and right to the largest canvas."""
    if not images:
        raise ValueError("images: got none, a batch needs at least one")
    fitted = [fit(image) for image in images]
    height = max(item.canvas.shape[0] for item in fitted)
    width = max(item.canvas.shape[1] for item in fitted)
    pixels = np.full((len(fitted), height, width, 3), fit.background, np.uint8)
    for row, item in zip(pixels, fitted, strict=True):
        row[: item.canvas.shape[0], : item.canvas.shape[1]] = item.canvas
    sizes = torch.tensor([[item.height, item.width] for item in fitted], dtype=torch.float32)
    return Images(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), sizes)


def to_originals(detections: Detections, fit: ResizePolicy, sizes: Tensor) -> Detections:
    """Map detections from the canvases to the images with (height, width) `sizes` [B, 2], and clip them to these."""
    boxes = torch.empty_like(detections.boxes)
    for index, size in enumerate(sizes.tolist()):
        height, width = int(size[0]), int(size[1])
        limit = boxes.new_tensor([width, height, width, height])
        boxes[index] = fit.restore(detections.boxes[index], (height, width)).clamp(min=0).minimum(limit)
    return detections._replace(boxes=boxes)


def with_sampling(fit: ResizePolicy, sampling: Sampling | None) -> ResizePolicy:
    """The policy with another sampling; None keeps its own."""
    return fit if sampling in (None, fit.sampling) else replace(fit, sampling=sampling)  # type: ignore[type-var]


def multi_scale(sides: Sequence[int]) -> tuple[Stretch, ...]:
    """Policies for square canvases of these sides; Darknet's are 320, 352, ... 608."""
    return tuple(Stretch(height=side, width=side) for side in sides)


def _affine(layout: Layout, original: Size, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Scale [4] and shift [4] that map a box of the image to the canvas."""
    vertical, horizontal = (layout.scale or new / old for new, old in zip(layout.resized, original, strict=True))
    top, left = layout.offset if layout.shift is None else layout.shift
    return boxes.new_tensor([horizontal, vertical] * 2), boxes.new_tensor([left, top] * 2)


def _size(image: np.ndarray) -> Size:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"image: got {image.dtype} {list(image.shape)}, it must be uint8 [H, W, 3]")
    return image.shape[0], image.shape[1]


def paste(image: np.ndarray, layout: Layout, background: int) -> np.ndarray:
    """Paste the resized image on its canvas; a negative offset crops it."""
    canvas = np.full((*layout.canvas, 3), background, np.uint8)
    (top, left), (height, width) = layout.offset, layout.canvas
    part = image[max(0, -top) : height - top, max(0, -left) : width - left]
    top, left = max(0, top), max(0, left)
    canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
    return canvas


def _positive(**sides: int) -> None:
    for name, side in sides.items():
        if side < 1:
            raise InputError(f"{name}: got {side}, it must be at least 1", "option-range")


def _known(sampling: str) -> None:
    if sampling not in SAMPLINGS:
        raise InputError(f"sampling: got {sampling!r}, it is one of {', '.join(SAMPLINGS)}", "option-value")
