"""Anchors: the reference boxes of a first stage, computed from the shapes of the maps, so that any canvas works.

References are ordered by level, then by location (row, column), then by anchor. Each class documents the order of its
anchors at a location, because weights depend on it. `strides` has the stride of each map, px, or None if it is computed
as canvas / map. The "+1" arithmetic of Caffe and Detectron is expressed with half-open boxes: their corner x2 is one
less than ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from paretodet.types import References

Maps = tuple[Tensor, ...]
Shape = tuple[float, float]  # width, height, px


class Grid(NamedTuple):
    """One level: the same shapes around every center. The step and the first center are (y, x), px."""

    shapes: Sequence[Shape]
    step: tuple[float, float]
    first: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class GridAnchors:
    """Huang et al.'s proposal anchors on one map: sides of `base` px times scale, ratio = width / height at the
    same area.

    Order: ratio, then scale, as TF's grid_anchor_generator. The first center is at pixel (0, 0).
    """

    base: float = 256.0
    scales: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    stride: int = 16
    offset: tuple[float, float] = (0.0, 0.0)  # y, x of the first center, px

    @property
    def per_cell(self) -> tuple[int, ...]:
        return (len(self.scales) * len(self.ratios),)

    @property
    def strides(self) -> tuple[int, ...]:
        return (self.stride,)

    def __call__(self, maps: Maps, canvas: tuple[int, int]) -> References:
        shapes = [_shape(self.base * scale, ratio) for ratio in self.ratios for scale in self.scales]
        return tile(maps, [Grid(shapes, (self.stride, self.stride), self.offset)])


@dataclass(frozen=True, kw_only=True)
class MultiGridAnchors:
    """Huang et al.'s SSD anchors: sides from `smallest` to `largest` of the canvas' short side, evenly spaced over
    levels.

    Order: the ratios, then a square between this level's scale and the next. The lowest level has only three anchors,
    the first of them a square of scale `lowest`. Cells divide the canvas evenly (TF's multiple_grid_anchor_generator).
    The last ratio is that of the released configurations, 0.3333: with 1/3 anchors are up to 0.0123 px off at 300 px.
    """

    levels: int = 6
    smallest: float = 0.2
    largest: float = 0.95
    lowest: float = 0.1
    ratios: tuple[float, ...] = (1.0, 2.0, 0.5, 3.0, 0.3333)

    def __post_init__(self) -> None:
        if self.levels < 2:
            raise ValueError(f"levels: got {self.levels}, allowed 2 or more")

    @property
    def per_cell(self) -> tuple[int, ...]:
        return (3, *[len(self.ratios) + 1] * (self.levels - 1))

    @property
    def strides(self) -> tuple[None, ...]:
        return (None,) * self.levels

    @property
    def scales(self) -> tuple[tuple[float, ...], ...]:
        """The scale of each anchor of a location, for each level."""
        return tuple(tuple(scale for scale, _ in level) for level in self._scaled_ratios())

    def __call__(self, maps: Maps, canvas: tuple[int, int]) -> References:
        side = min(canvas)
        grids = []
        for level, x in zip(self._scaled_ratios(), maps, strict=True):
            step = _even_step(x, canvas)
            grids.append(Grid([_shape(side * s, ratio) for s, ratio in level], step, (step[0] / 2, step[1] / 2)))
        return tile(maps, grids)

    def _scaled_ratios(self) -> list[list[Shape]]:
        rise = (self.largest - self.smallest) / (self.levels - 1)
        scales = [*(self.smallest + rise * i for i in range(self.levels)), 1.0]
        first = [(self.lowest, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
        later = [
            [*((scale, ratio) for ratio in self.ratios), (math.sqrt(scale * following), 1.0)]
            for scale, following in list(pairwise(scales))[1:]
        ]
        return [first, *later]


@dataclass(frozen=True, kw_only=True)
class PriorBoxes:
    """Liu et al.'s default boxes as Caffe's PriorBox computes them.

    `percents` of the canvas' short side, truncated to whole pixels, are the bounds of each level's sizes. Order: the
    smaller square, the square of side sqrt(smaller * larger), then r and 1/r for each of the level's ratios. Centers
    lie at (column + 0.5) * step; a step of None divides the canvas evenly. With `bounded` no side is longer than the
    canvas's (torchvision).
    """

    percents: tuple[int, ...]
    ratios: tuple[tuple[float, ...], ...]
    steps: tuple[int | None, ...]
    bounded: bool = False

    @staticmethod
    def ssd300() -> "PriorBoxes":
        """SSD300's on COCO: 21, 45, 99, 153, 207, 261, 315 px at a canvas of 300."""
        return PriorBoxes(
            percents=ssd_percents(levels=6, lowest=7, smallest=15),
            ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
            steps=(8, 16, 32, 64, None, None),
        )

    @staticmethod
    def ssd512() -> "PriorBoxes":
        """SSD512's on COCO: 20, 51, 133, 215, 296, 378, 460, 542 px at a canvas of 512."""
        return PriorBoxes(
            percents=ssd_percents(levels=7, lowest=4, smallest=10),
            ratios=((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,)),
            steps=(8, 16, 32, 64, None, None, None),
        )

    @property
    def per_cell(self) -> tuple[int, ...]:
        return tuple(2 + 2 * len(ratios) for ratios in self.ratios)

    @property
    def strides(self) -> tuple[int | None, ...]:
        return self.steps

    def __call__(self, maps: Maps, canvas: tuple[int, int]) -> References:
        bounds = pairwise(min(canvas) * percent // 100 for percent in self.percents)
        grids = []
        for x, (small, large), ratios, step in zip(maps, bounds, self.ratios, self.steps, strict=True):
            squares = [_shape(small, 1.0), _shape(math.sqrt(small * large), 1.0)]
            oblongs = [_shape(small, ratio) for r in ratios for ratio in (r, 1 / r)]
            steps = _even_step(x, canvas) if step is None else (float(step), float(step))
            grids.append(Grid(self._sizes(squares + oblongs, canvas), steps, (steps[0] / 2, steps[1] / 2)))
        return tile(maps, grids)

    def _sizes(self, shapes: list[Shape], canvas: tuple[int, int]) -> list[Shape]:
        return [(min(w, canvas[1]), min(h, canvas[0])) for w, h in shapes] if self.bounded else shapes


@dataclass(frozen=True, kw_only=True)
class CellPriors:
    """YOLO v2 and v3: for each level priors (width, height), px, around the center of each cell; cells divide the
    canvas.
    """

    priors: tuple[tuple[Shape, ...], ...]

    @property
    def per_cell(self) -> tuple[int, ...]:
        return tuple(len(level) for level in self.priors)

    @property
    def strides(self) -> tuple[None, ...]:
        return (None,) * len(self.priors)

    def __call__(self, maps: Maps, canvas: tuple[int, int]) -> References:
        """Raises ValueError if the cells of a map are not square."""
        grids = []
        for x, shapes in zip(maps, self.priors, strict=True):
            step = _even_step(x, canvas)
            if step[0] != step[1]:
                raise ValueError(
                    f"canvas: got {canvas}, which over a map of {tuple(x.shape[2:])} does not give square cells"
                )
            grids.append(Grid(shapes, step, (step[0] / 2, step[1] / 2)))
        return tile(maps, grids)


@dataclass(frozen=True, kw_only=True)
class PyramidAnchors:
    """py-faster-rcnn's and Detectron's anchors: RPN on one map or a pyramid, RetinaNet.

    `shapes` are (scale, ratio) in channel order, scale in units of the stride and ratio = height / width. Both
    code bases round the box of each ratio at the stride's size to whole pixels before scaling it, so that there are
    24x48 and 44x24.
    """

    strides: tuple[int, ...]
    shapes: tuple[tuple[float, float], ...]

    @staticmethod
    def retinanet() -> "PyramidAnchors":
        """Levels 3 to 7, three octaves of side 4 strides, ratios 1, 2, 0.5; order: octave, then ratio."""
        octaves = (4 * 2 ** (i / 3) for i in range(3))
        shapes = tuple((scale, ratio) for scale in octaves for ratio in (1.0, 2.0, 0.5))
        return PyramidAnchors(strides=(8, 16, 32, 64, 128), shapes=shapes)

    @staticmethod
    def fpn() -> "PyramidAnchors":
        """The proposal network's on levels 2 to 6: one scale of 8 strides; order: ratios 0.5, 1, 2."""
        return PyramidAnchors(strides=(4, 8, 16, 32, 64), shapes=((8, 0.5), (8, 1.0), (8, 2.0)))

    @staticmethod
    def ren() -> "PyramidAnchors":
        """Ren et al.'s on COCO: one map of stride 16, sides 64 to 512; order: ratio 0.5, 1, 2, then scale."""
        shapes = tuple((float(scale), ratio) for ratio in (0.5, 1.0, 2.0) for scale in (4, 8, 16, 32))
        return PyramidAnchors(strides=(16,), shapes=shapes)

    @property
    def per_cell(self) -> tuple[int, ...]:
        return (len(self.shapes),) * len(self.strides)

    def __call__(self, maps: Maps, canvas: tuple[int, int]) -> References:
        grids = []
        for stride in self.strides:
            shapes = [_rounded_shape(stride, scale, ratio) for scale, ratio in self.shapes]
            grids.append(Grid(shapes, (stride, stride), (stride / 2, stride / 2)))
        return tile(maps, grids)


@dataclass(frozen=True, kw_only=True)
class RoundedAnchors:
    """torchvision's anchors on a pyramid: the `sides`, px, of each level at every ratio = height / width with the same
    area, the corners rounded to whole pixels (halves to even) around a first center at pixel (0, 0).

    Order: ratio, then side. The step is canvas / map truncated to whole pixels: 61 for 13 cells over 800 px.
    """

    sides: tuple[tuple[int, ...], ...]
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)

    @staticmethod
    def retinanet() -> "RoundedAnchors":
        """Levels 3 to 7: 32 to 512 px, and one and two thirds of an octave above, truncated to whole pixels."""
        octaves = (2 ** (1 / 3), 2 ** (2 / 3))
        return RoundedAnchors(sides=tuple((s, *(int(s * o) for o in octaves)) for s in (32, 64, 128, 256, 512)))

    @staticmethod
    def fpn() -> "RoundedAnchors":
        """The proposal network's on levels 2 to 6: 32 to 512 px, one side for each level."""
        return RoundedAnchors(sides=((32,), (64,), (128,), (256,), (512,)))

    @property
    def per_cell(self) -> tuple[int, ...]:
        return tuple(len(level) * len(self.ratios) for level in self.sides)

    @property
    def strides(self) -> tuple[None, ...]:
        return (None,) * len(self.sides)

    def __call__(self, maps: Maps, canvas: tuple[int, int]) -> References:
        grids = []
        for x, sides in zip(maps, self.sides, strict=True):
            step = (canvas[0] // x.shape[2], canvas[1] // x.shape[3])
            grids.append(Grid([_rounded_corners(side, r) for r in self.ratios for side in sides], step, (0.0, 0.0)))
        return tile(maps, grids)


@dataclass(frozen=True, kw_only=True)
class UnroundedAnchors:
    """Detectron2's anchors on a pyramid: the `sides`, px, of each level at every ratio = height / width with the same
    area, around a first center at pixel (0, 0). Nothing is rounded. Order: side, then ratio.
    """

    strides: tuple[int, ...]
    sides: tuple[tuple[float, ...], ...]
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)

    @staticmethod
    def retinanet() -> "UnroundedAnchors":
        """Levels 3 to 7: 32 to 512 px, and one and two thirds of an octave above."""
        sides = tuple((s, s * 2 ** (1 / 3), s * 2 ** (2 / 3)) for s in (32.0, 64.0, 128.0, 256.0, 512.0))
        return UnroundedAnchors(strides=(8, 16, 32, 64, 128), sides=sides)

    @staticmethod
    def fpn() -> "UnroundedAnchors":
        """The proposal network's on levels 2 to 6: 32 to 512 px, one side for each level."""
        return UnroundedAnchors(strides=(4, 8, 16, 32, 64), sides=((32.0,), (64.0,), (128.0,), (256.0,), (512.0,)))

    @property
    def per_cell(self) -> tuple[int, ...]:
        return tuple(len(level) * len(self.ratios) for level in self.sides)

    def __call__(self, maps: Maps, canvas: tuple[int, int]) -> References:
        grids = []
        for stride, sides in zip(self.strides, self.sides, strict=True):
            shapes = [_tall_shape(side, ratio) for side in sides for ratio in self.ratios]
            grids.append(Grid(shapes, (stride, stride), (0.0, 0.0)))
        return tile(maps, grids)


def ssd_percents(*, levels: int, lowest: int, smallest: int, largest: int = 90) -> tuple[int, ...]:
    """SSD's sizes: the lowest level at `lowest` % of the canvas, the others evenly spaced from `smallest` to `largest`.

    There is one more number than levels: each level's upper bound is the lower bound of the next (Liu et al. section
    2.2, released code).
    """
    rise = (largest - smallest) // (levels - 2)
    return (lowest, *(smallest + rise * i for i in range(levels)))


def tile(maps: Maps, grids: Sequence[Grid]) -> References:
    """Every grid's shapes around the center of every cell of its map, float32 on the maps' device.

    Raises ValueError unless there are as many maps as grids.
    """
    if len(maps) != len(grids):
        raise ValueError(f"maps: got {len(maps)}, allowed {len(grids)}, the number of anchor levels")
    boxes = [_tile_level(x, grid) for x, grid in zip(maps, grids, strict=True)]
    counts = tuple(level.shape[0] for level in boxes)
    steps = (grid.step[0] for grid in grids)
    cell = torch.cat([level.new_full((level.shape[0], 1), step) for level, step in zip(boxes, steps, strict=True)])
    return References(torch.cat(boxes), cell, counts)


def _tile_level(x: Tensor, grid: Grid) -> Tensor:
    rows, columns = (
        torch.arange(count, device=x.device, dtype=torch.float32) * step + first
        for count, step, first in zip(x.shape[2:], grid.step, grid.first, strict=True)
    )
    half = torch.tensor([(-w / 2, -h / 2, w / 2, h / 2) for w, h in grid.shapes], device=x.device)
    y, x_ = torch.meshgrid(rows, columns, indexing="ij")
    return (torch.stack([x_, y, x_, y], -1).view(-1, 1, 4) + half).view(-1, 4)


def _even_step(x: Tensor, canvas: tuple[int, int]) -> tuple[float, float]:
    return _quotient(canvas[0], x.shape[2]), _quotient(canvas[1], x.shape[3])


def _quotient(length: int, count: int) -> float:
    """A whole number where it is one, also of symbols, in an export whose canvas is open."""
    return length / count if length % count else int(length // count)


def _shape(side: float, ratio: float) -> Shape:
    """(width, height) of area side² and width / height = ratio."""
    return side * math.sqrt(ratio), side / math.sqrt(ratio)


def _tall_shape(side: float, ratio: float) -> Shape:
    """(width, height) of area side² and height / width = ratio, in the original's order of operations."""
    width = math.sqrt(side * side / ratio)
    return width, width * ratio


def _rounded_corners(side: float, ratio: float) -> Shape:
    height, width = _shape(side, ratio)
    return 2.0 * round(width / 2), 2.0 * round(height / 2)


def _rounded_shape(stride: int, scale: float, ratio: float) -> Shape:
    width = round(math.sqrt(stride * stride / ratio))
    return width * scale, round(width * ratio) * scale
