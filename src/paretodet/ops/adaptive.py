"""RoIAlign that samples a large box more often than a small one: ceil(side / bins) samples a bin, as in Detectron2.

How many samples there are depends on the boxes, so this is an operator of our own. A box reads a window of cells; the
weights of its rows and of its columns are two matrices, and a crop is their product with the window. Boxes whose
windows are about as large are computed together.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from paretodet.ops.operator import opaque

WINDOWS = 16 << 20  # bytes of the windows that are computed at once: about the size of the caches


def adaptive_align(
    maps: list[Tensor], boxes: Tensor, levels: Tensor, strides: list[int], bins: int, aligned: bool
) -> Tensor:
    """Maps [B, C, H, W], boxes [B, R, 4] px, levels [B, R] -> [B, R, bins, bins, C]; see `roi.roi_align`."""
    crops: Tensor = _crops(maps, boxes, levels, strides, bins, aligned)
    return crops


class WindowSide(NamedTuple):
    """One side of n windows, each with the same number of cells: the first cell, and the weights of all of them."""

    first: Tensor  # [n] int64
    weights: Tensor  # [n, bins, cells] float32


class Windows(NamedTuple):
    """Boxes of one level whose windows are computed together."""

    at: tuple[Tensor, Tensor]  # image and number of each box
    cells: Tensor  # [n, h, w] rows of the table of the level's cells
    rows: Tensor  # [n, bins, h]
    columns: Tensor  # [n, bins, w]


class Span(NamedTuple):
    """The extent of n boxes along an axis, in cells of their map."""

    low: Tensor  # [n]
    size: Tensor
    samples: Tensor  # a bin; 0 for a box that reads nothing
    length: int  # of the map

    @property
    def first(self) -> Tensor:
        return self.low.floor().clamp(0, self.length - 1).long()

    @property
    def cells(self) -> Tensor:
        """How many cells can be read, at least 1."""
        last = ((self.low + self.size.clamp(min=0)).floor() + 1).clamp(0, self.length - 1).long()
        return (last - self.first + 1).clamp(min=1)

    def at(self, index: Tensor) -> "Span":
        return Span(self.low[index], self.size[index], self.samples[index], self.length)

    def axis(self, bins: int, cells: int) -> WindowSide:
        """The weights of `cells` cells from the first one on."""
        most, device = int(self.samples.max()), self.low.device
        number = torch.arange(most, device=device)
        step = self.size / bins
        starts = self.low[:, None] + torch.arange(bins, device=device) * step[:, None]
        count = self.samples.clamp(min=1)[:, None, None]
        at = starts[..., None] + (number + 0.5) * step[:, None, None] / count
        used = (number < self.samples[:, None, None]) & (at >= -1) & (at <= self.length)
        at = torch.where(used, at, 0.0).clamp(0, self.length - 1)
        below = at.floor()
        pair = torch.stack([below, (below + 1).clamp(max=self.length - 1)], -1).long() - self.first[:, None, None, None]
        share = torch.stack([1 - (at - below), at - below], -1) * (used / count)[..., None]
        weights = share.new_zeros(*starts.shape, cells)
        return WindowSide(self.first, weights.scatter_add_(-1, pair.clamp(0, cells - 1).flatten(2), share.flatten(2)))


def _span(low: Tensor, high: Tensor, bins: int, length: int, aligned: bool) -> Span:
    """Of (low, high) in cells, by either convention of RoIAlign. What is not a number reads nothing."""
    if aligned:
        low, high = low - 0.5, high - 0.5
    else:
        high = torch.maximum(high, low + 1)
    known = low.isfinite() & high.isfinite()
    low, size = torch.where(known, low, 0.0), torch.where(known, high - low, 0.0)
    most = -(-length // bins) + 1
    return Span(low, size, (size / bins).ceil().clamp(0, most).long(), length)


def _windows(
    shape: torch.Size, boxes: Tensor, chosen: Tensor, stride: int, bins: int, aligned: bool
) -> Iterator[Windows]:
    """The windows of the chosen boxes in a map [B, C, H, W], by size."""
    channels, height, width = shape[1:]
    image, number = chosen.nonzero().unbind(1)
    left, top, right, bottom = (boxes[image, number].float() / stride).unbind(1)
    y = _span(top, bottom, bins, height, aligned)
    x = _span(left, right, bins, width, aligned)
    sides = torch.stack([_power(y.cells), _power(x.cells)], 1)
    for tall, wide in torch.unique(sides, dim=0).tolist():
        same = ((sides[:, 0] == tall) & (sides[:, 1] == wide)).nonzero()[:, 0]
        for index in same.split(max(1, WINDOWS // (tall * wide * channels * 4))):
            down, across = y.at(index).axis(bins, tall), x.at(index).axis(bins, wide)
            rows, columns = _run(down.first, tall, height), _run(across.first, wide, width)
            cells = (image[index, None] * height + rows)[:, :, None] * width + columns[:, None]
            yield Windows((image[index], number[index]), cells, down.weights, across.weights)


def _power(sides: Tensor) -> Tensor:
    """The next power of two."""
    return 2 ** torch.frexp((sides - 0.5).float()).exponent.clamp(min=0).long()


def _run(first: Tensor, cells: int, length: int) -> Tensor:
    """The numbers of `cells` cells from each first one on, [n, cells]; those behind the map, of no weight, are its
    last.
    """
    return (first[:, None] + torch.arange(cells, device=first.device)).clamp(max=length - 1)


def _table(features: Tensor) -> Tensor:
    """[B, C, H, W] -> [B * H * W, C]"""
    return features.permute(0, 2, 3, 1).flatten(0, 2)


def _cropped(maps: list[Tensor], boxes: Tensor, levels: Tensor, strides: list[int], bins: int, aligned: bool) -> Tensor:
    out = maps[0].new_zeros(*levels.shape, bins, bins, maps[0].shape[1])
    for level, (features, stride) in enumerate(zip(maps, strides, strict=True)):
        table = _table(features)
        for part in _windows(features.shape, boxes, levels == level, stride, bins, aligned):
            count, tall, wide = part.cells.shape
            window = table[part.cells.flatten()].view(count, tall, -1)
            strips = (part.rows.to(table.dtype) @ window).view(count, bins, wide, -1)
            out[part.at] = part.columns.to(table.dtype)[:, None] @ strips
    return out


def _like_crops(maps, boxes, levels, strides, bins, aligned):  # type: ignore[no-untyped-def]
    return maps[0].new_empty(*levels.shape, bins, bins, maps[0].shape[1])


def _gradients(
    grad: Tensor, maps: list[Tensor], boxes: Tensor, levels: Tensor, strides: list[int], bins: int, aligned: bool
) -> list[Tensor]:
    """The transposed products, added to the cells of every window."""
    found = []
    for level, (features, stride) in enumerate(zip(maps, strides, strict=True)):
        table = grad.new_zeros(features.permute(0, 2, 3, 1).shape).flatten(0, 2)
        for part in _windows(features.shape, boxes, levels == level, stride, bins, aligned):
            count, tall, wide = part.cells.shape
            strips = part.columns.to(grad.dtype).mT[:, None] @ grad[part.at]
            window = part.rows.to(grad.dtype).mT @ strips.view(count, bins, -1)
            table.index_put_((part.cells.flatten(),), window.view(count * tall * wide, -1), accumulate=True)
        image, _, height, width = features.shape
        found.append(table.view(image, height, width, -1).permute(0, 3, 1, 2).contiguous())
    return found


def _like_maps(grad, maps, boxes, levels, strides, bins, aligned):  # type: ignore[no-untyped-def]
    return [features.new_empty(features.shape) for features in maps]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    maps, boxes, levels, *ctx.options = inputs
    ctx.save_for_backward(*maps, boxes, levels)


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    *maps, boxes, levels = ctx.saved_tensors
    return _crops_backward(grad, maps, boxes, levels, *ctx.options), None, None, None, None, None


_crops = opaque("adaptive_align", _cropped, _like_crops)
_crops_backward = opaque("adaptive_align_backward", _gradients, _like_maps)
torch.library.register_autograd("paretodet::adaptive_align", _backward, setup_context=_remember)
