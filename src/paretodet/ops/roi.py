"""Crops of feature maps: bilinear crops as one weighted gather of map cells, and max RoIPool.

The cells that a bilinear crop reads and their weights are a pure function of the boxes, separable into rows and columns
of the map. `F.embedding_bag` over the table [cells, C] reads them, from one map, from a pyramid (its levels are
concatenated in the table) or from position-sensitive groups (a table row for each cell and bin). RoIAlign whose samples
depend on the box is in `adaptive.py`.

Boxes are xyxy in pixels of the canvas; no gradient flows to them. Maps that are channels-last in memory are read
without a copy, and crops [B, R, C, bins, bins] are channels-last in memory too: `flatten(0, 1)` of them is free.
"""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from paretodet.ops.adaptive import adaptive_align
from paretodet.ops.operator import opaque


class Taps(NamedTuple):
    """What every bin of every box reads along one axis, [B, R, bins, T] each."""

    cells: Tensor  # int64, row or column of the map
    weights: Tensor  # float32


def crop_and_resize(features: Tensor, boxes: Tensor, bins: int | tuple[int, int], canvas: tuple[int, int]) -> Tensor:
    """TensorFlow's crop: features [B, C, H, W], boxes [B, R, 4] px -> [B, R, C, *bins] (Huang et al., section 2.1.2).

    One bilinear sample for each bin, corner-aligned: the first and last lie on the box's edges, a single one at its
    center. The edges of the canvas (height, width), px, are at the centers of the map's outermost cells; outside, 0 is
    read. The edge of a box on the edge of the canvas is inside (TensorFlow's rounding may put it outside and read 0).
    """
    height, width = features.shape[-2:]
    down, across = bins if isinstance(bins, tuple) else (bins, bins)
    y, x = _spans(boxes)
    rows = _taps(_spread(y / canvas[0], down)[..., None] * (height - 1), height, reach=0)
    cols = _taps(_spread(x / canvas[1], across)[..., None] * (width - 1), width, reach=0)
    offsets = (_image(boxes) * height + rows.cells) * width
    return _gather(_table(features), rows._replace(cells=offsets), cols)


def position_sensitive_crop(
    features: Tensor, boxes: Tensor, bins: int, canvas: tuple[int, int], *, samples: int
) -> Tensor:
    """R-FCN's crop: features [B, bins * bins * D, H, W], boxes [B, R, 4] px -> [B, R, D, bins, bins].

    Bin (i, j) of a box reads channels of group i * bins + j only, and is the mean of that part of the box cropped by
    `crop_and_resize` to `samples` x `samples` (TensorFlow's position_sensitive_crop_regions, crop = bins * samples).
    The mean over the bins is the vote of Dai et al. 2016, equation 1. Raises ValueError if the number of channels is
    not a multiple of bins * bins.
    """
    channels, height, width = features.shape[-3:]
    if channels % (bins * bins):
        raise ValueError(f"bins: got {bins}, but {channels} channels are not a multiple of {bins} x {bins}")
    y, x = _spans(boxes)
    rows = _taps(_parts(y / canvas[0], bins, samples) * (height - 1), height, reach=0)
    cols = _taps(_parts(x / canvas[1], bins, samples) * (width - 1), width, reach=0)
    group = torch.arange(bins, device=boxes.device)[:, None]
    offsets = (_image(boxes) * height + rows.cells) * (width * bins * bins) + group * bins
    cols = cols._replace(cells=cols.cells * (bins * bins) + group)
    return _gather(_table(features).reshape(-1, channels // (bins * bins)), rows._replace(cells=offsets), cols)


def roi_align(
    maps: Sequence[Tensor],
    boxes: Tensor,
    *,
    strides: Sequence[int],
    bins: int,
    samples: int,
    aligned: bool,
    levels: Tensor | None = None,
) -> Tensor:
    """RoIAlign (He et al. 2017, section 3): maps [B, C, H, W], boxes [B, R, 4] px -> [B, R, C, bins, bins].

    A box reads the map with the index in `levels` [B, R] (None: there is one map). A bin is the mean of `samples` x
    `samples` bilinear samples. 0 means adaptive: ceil(side / bins) along each axis, side in cells, but at most
    ceil(side of the map / bins) + 1, which only boxes larger than the map exceed. Without `aligned` it is Detectron's
    first form: no shift by half a cell, sides of at least one cell. Samples at most one cell outside the map read its
    border, farther ones are 0. Raises ValueError if maps, strides and levels do not fit.
    """
    if len(maps) != len(strides):
        raise ValueError(f"strides: got {len(strides)} for {len(maps)} maps")
    if levels is None and len(maps) > 1:
        raise ValueError(f"levels: got None, but there are {len(maps)} maps to choose from")
    if samples == 0:
        chosen = torch.zeros_like(boxes[..., 0], dtype=torch.int64) if levels is None else levels
        crops = adaptive_align(list(maps), boxes.detach(), chosen, list(strides), bins, aligned)
        return crops.permute(0, 1, 4, 2, 3)
    height, width = (_chosen(levels, [m.shape[axis] for m in maps], 2) for axis in (2, 3))
    y, x = (_aligned(span, aligned) for span in _spans(boxes / _chosen(levels, strides, 1)))
    rows = _taps(_grid(y, bins, samples), height, reach=1)
    cols = _taps(_grid(x, bins, samples), width, reach=1)
    cells = [m.shape[2] * m.shape[3] for m in maps]
    above = _chosen(levels, [sum(cells[:level]) for level in range(len(maps))], 2) * boxes.shape[0]
    tables = [_table(m) for m in maps]
    offsets = above + (_image(boxes) * height + rows.cells) * width
    return _gather(torch.cat(tables) if len(maps) > 1 else tables[0], rows._replace(cells=offsets), cols)


def _spans(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """[B, R, 4] -> (low, high) along y and along x, [B, R, 2] each."""
    corners = boxes.detach().float().reshape(*boxes.shape[:2], 2, 2)
    return corners[..., 1], corners[..., 0]


def _spread(span: Tensor, count: int) -> Tensor:
    """(low, high) [..., 2] -> `count` points from low to high inclusive, or their middle for 1: [..., count]."""
    at = torch.linspace(0, 1, count, device=span.device) if count > 1 else torch.full((1,), 0.5, device=span.device)
    return span[..., :1] * (1 - at) + span[..., 1:] * at


def _parts(span: Tensor, bins: int, samples: int) -> Tensor:
    """(low, high) [B, R, 2] divided into bins, with samples spread over every bin: [B, R, bins, samples]."""
    edges = _spread(span, bins + 1)
    return _spread(torch.stack([edges[..., :-1], edges[..., 1:]], -1), samples)


def _aligned(span: Tensor, aligned: bool) -> Tensor:
    """(low, high) in cells by either convention of RoIAlign."""
    if aligned:
        return span - 0.5
    low, high = span[..., :1], span[..., 1:]
    return torch.cat([low, torch.maximum(high, low + 1)], -1)


def _grid(span: Tensor, bins: int, samples: int) -> Tensor:
    """The centers of `samples` equal parts of every bin of (low, high): [B, R, bins, samples]."""
    step = (span[..., 1:] - span[..., :1]) / bins
    left = span[..., :1] + torch.arange(bins, device=span.device) * step
    return left[..., None] + (torch.arange(samples, device=span.device) + 0.5) * step[..., None] / samples


def _taps(at: Tensor, length: int | Tensor, *, reach: int) -> Taps:
    """Bilinear samples at [B, R, bins, s] cells, each with weight 1 / s, as taps on an axis of `length` cells.

    Samples up to `reach` cells outside read the border, those farther away 0.
    """
    share = 1 / at.shape[-1]
    inside = (at >= -reach) & (at <= length - 1 + reach)
    at = torch.where(inside, at, 0.0).clamp(min=0).clamp(max=length - 1)
    below = at.floor()
    upper = at - below
    cells = torch.stack([below, (below + 1).clamp(max=length - 1)], -1).long()
    weights = torch.stack([1 - upper, upper], -1) * (inside * share)[..., None]
    return Taps(cells.flatten(-2), weights.flatten(-2))


def _table(features: Tensor) -> Tensor:
    """[B, C, H, W] -> [B * H * W, C], a view if channels-last in memory."""
    return features.permute(0, 2, 3, 1).flatten(0, 2).contiguous()


def _image(boxes: Tensor) -> Tensor:
    """The index of a box's image in the batch, [B, 1, 1, 1]."""
    return torch.arange(boxes.shape[0], device=boxes.device)[:, None, None, None]


def _chosen(levels: Tensor | None, values: Sequence[Any], extra: int) -> Any:
    """The value (number or crop) for the level of each box: [B, R] and `extra` dimensions, or the only value."""
    out = values[0]
    for level, value in enumerate(values[1:], 1):
        out = torch.where((levels == level).view(*levels.shape, *[1] * extra), value, out)  # type: ignore[union-attr]
    return out


def _gather(table: Tensor, rows: Taps, cols: Taps) -> Tensor:
    """Bins as weighted sums of table rows, rows.cells + cols.cells: [B, R, C, h, w], channels-last in memory."""
    index = rows.cells[:, :, :, None, :, None] + cols.cells[:, :, None, :, None, :]
    weights = rows.weights[:, :, :, None, :, None] * cols.weights[:, :, None, :, None, :]
    shape, taps = index.shape[:4], index.shape[4] * index.shape[5]
    out = F.embedding_bag(
        index.reshape(-1, taps), table, per_sample_weights=weights.reshape(-1, taps).to(table.dtype), mode="sum"
    )
    return out.view(*shape, table.shape[1]).permute(0, 1, 4, 2, 3)


def roi_pool(features: Tensor, boxes: Tensor, *, stride: int, bins: int = 7) -> Tensor:
    """Max RoIPool (Girshick 2015, section 2.1) as Caffe rounds: [B, C, H, W], [B, R, 4] px -> [B, R, C, bins, bins].

    A box covers cells round(low / stride) to round(high / stride), both included (so legacy detectors pass boxes with
    x2 and y2 reduced by 1); bin i of a side of h cells covers floor(i h / bins) up to ceil((i + 1) h / bins), cut to
    the map. An empty bin is 0.
    """
    return _roi_pool(features, boxes.detach().float(), stride, bins).permute(0, 1, 4, 2, 3)


def _pooled(features: Tensor, boxes: Tensor, stride: int, bins: int) -> Tensor:
    return _peaks((features.permute(0, 2, 3, 1).contiguous(),), (0,), boxes / stride, bins)[0]


def _fake_pooled(features, boxes, stride, bins):  # type: ignore[no-untyped-def]
    return features.new_empty(boxes.shape[0], boxes.shape[1], bins, bins, features.shape[1])


def _gradient(grad: Tensor, features: Tensor, boxes: Tensor, stride: int, bins: int) -> Tensor:
    """Add the gradient of every bin to the cell of its maximum; that of empty bins to an extra row, which is
    dropped.
    """
    values = features.permute(0, 2, 3, 1).contiguous()
    *image, channels = values.shape
    count = math.prod(image)
    cells = torch.arange(count, device=values.device).view(*image, 1).expand_as(values)
    _, cells = _peaks((values, cells), (0, count), boxes / stride, bins)
    table = grad.new_zeros(count + 1, channels)
    add = _add_sorted if table.is_cuda else _add_in_order
    add(table, cells.view(-1, channels), grad.reshape(-1, channels))
    return table[:-1].view(*image, channels).permute(0, 3, 1, 2).contiguous()


def _add_in_order(table: Tensor, rows: Tensor, values: Tensor) -> None:
    """table[rows[i, c], c] += values[i, c], on a CPU, which adds in the order of i; on a GPU the order would vary."""
    table.scatter_add_(0, rows, values)


def _add_sorted(table: Tensor, rows: Tensor, values: Tensor) -> None:
    """The same on a GPU: the indices are sorted first, so that values for one cell are added in the order of i."""
    table.index_put_((rows, torch.arange(table.shape[1], device=rows.device)), values, accumulate=True)


def _fake_gradient(grad, features, boxes, stride, bins):  # type: ignore[no-untyped-def]
    return features.new_empty(features.shape)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, boxes, ctx.stride, ctx.bins = inputs
    ctx.save_for_backward(features, boxes)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return _roi_pool_backward(grad, *ctx.saved_tensors, ctx.stride, ctx.bins), None, None, None


_roi_pool = opaque("roi_pool", _pooled, _fake_pooled)
_roi_pool_backward = opaque("roi_pool_backward", _gradient, _fake_gradient)
torch.library.register_autograd("paretodet::roi_pool", _backward, setup_context=_remember)

Peaks = tuple[Tensor, ...]  # largest values, and optionally their cells, [..., C] each


def _peaks(tables: Peaks, empty: tuple[int, ...], boxes: Tensor, bins: int) -> Peaks:
    """The peaks [B, R, bins, bins, C] of tables [B, H, W, C] in every bin of boxes in cells; `empty` in empty bins.

    The maximum over a window is that of four windows in its corners, with sides that are powers of two. The maxima of
    these are computed for the whole map, each size from the next smaller one.
    """
    batch, height, width, channels = tables[0].shape
    y, x = _spans(boxes)
    top, bottom, tall = _windows(y, bins, height)
    left, right, wide = _windows(x, bins, width)
    shape = (batch, boxes.shape[1], bins, bins, channels)
    out = tuple(t.new_full(shape, value) for t, value in zip(tables, empty, strict=True))
    for a in range(_steps(tall)):
        across = tables = _doubled(tables, 1, a)
        for b in range(_steps(wide)):
            across = _doubled(across, 2, b)
            at = ((tall == a)[..., :, None] & (wide == b)[..., None, :]).nonzero().unbind(1)
            image, box, row, col = at
            ys = (top[image, box, row], bottom[image, box, row] - 2**a)
            xs = (left[image, box, col], right[image, box, col] - 2**b)
            highest = reduce(_higher, (_read(across, image, y, x) for y in ys for x in xs))
            for whole, part in zip(out, highest, strict=True):
                whole[at] = part
    return out


def _windows(span: Tensor, bins: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """First cell, last cell + 1 and log2 of the extent (floored, -1 if empty) of every bin, [B, R, bins] each."""
    ends = span.double()
    cells = (ends.sign() * (ends.abs() + 0.5).floor()).long()  # halves away from zero, as C rounds
    low, high = cells[..., :1], cells[..., 1:]
    side, index = (high - low + 1).clamp(min=1), torch.arange(bins, device=span.device)
    first = (low + index * side // bins).clamp(0, length)
    last = (low - (index + 1) * side // -bins).clamp(0, length)
    return first, last, torch.frexp((last - first).clamp(min=0).float()).exponent - 1


def _steps(logs: Tensor) -> int:
    return int(logs.max()) + 1 if logs.numel() else 0


def _doubled(tables: Peaks, axis: int, step: int) -> Peaks:
    """Peaks of windows of 2 ** step cells along `axis`, each from two of half the side; unchanged for step 0."""
    if step == 0:
        return tables
    half = 2 ** (step - 1)
    count = tables[0].shape[axis] - half
    first, second = (tuple(t.narrow(axis, start, count) for t in tables) for start in (0, half))
    return _higher(first, second)


def _read(tables: Peaks, image: Tensor, y: Tensor, x: Tensor) -> Peaks:
    height, width = tables[0].shape[1:3]
    return tuple(t.flatten(0, 2).index_select(0, (image * height + y) * width + x) for t in tables)


def _higher(a: Peaks, b: Peaks) -> Peaks:
    if len(a) == 1:
        return (torch.maximum(a[0], b[0]),)
    take = b[0] > a[0]
    return tuple(torch.where(take, other, one) for one, other in zip(a, b, strict=True))
