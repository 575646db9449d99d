"""Resizes images by reading two pixels along each axis, first along the rows of an image and then along its columns.

The pixels of a row are gathered as words of four bytes, three of which are theirs: one read moves a whole pixel. Where
they are read and how they are joined is up to the sampling (`resize`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BLOCK = 2**17  # numbers between the two passes that are held at once: few enough for the cache
KEPT = 64  # pairs of sizes whose taps are kept


class AxisTaps(NamedTuple):
    """The two inputs of every output along one axis, and their weights."""

    first: np.ndarray  # [target] int64
    second: np.ndarray
    weights: tuple[np.ndarray, np.ndarray]  # [target], of the first and of the second


Taps = Callable[..., AxisTaps]  # from the lengths of source and target; and the factor between them where it is given


@dataclass(frozen=True, kw_only=True)
class Bilinear:
    """Where a sampling reads, and how it joins two pixels.

    `across(left, right, weights)` joins numbers [N, W], and may overwrite them; weights are [W]. `down(values, pairs,
    weights)` joins rows of values, by numbers of rows [M, 2] and weights [M, 2].
    """

    rows: Taps
    columns: Taps
    across: Callable[[Tensor, Tensor, tuple[Tensor, Tensor]], Tensor]
    down: Callable[[Tensor, Tensor, Tensor], Tensor]
    dtype: torch.dtype = torch.float32


class Block(NamedTuple):
    """Some rows of the output, from `start` to `stop`."""

    start: int
    stop: int
    reads: slice | np.ndarray  # the rows of the image that are read
    pairs: Tensor  # [stop - start, 2]: numbers of rows among them
    weights: Tensor  # [stop - start, 2]


class ColumnTaps(NamedTuple):
    """What is read along the rows."""

    taps: np.ndarray  # [2 * target]: numbers of columns, all of the first tap and then all of the second
    weights: tuple[Tensor, Tensor]  # [target * 3]


def resized(image: np.ndarray, size: tuple[int, int], method: Bilinear, *scale: float) -> np.ndarray:
    """image [H, W, 3] uint8 -> [*size, 3] uint8. `scale` is the factor of both axes, where it is given."""
    height, width = size
    blocks = _blocks(method.rows, image.shape[0], height, BLOCK // (width * 3), *scale)
    columns = _columns(method.columns, image.shape[1], width, *scale)
    pixels, made = image.reshape(len(image), -1), np.empty((height, width * 3), np.uint8)
    across = _Across(max(len(block.pairs) for block in blocks) * 2, image.shape[1], columns, method)
    for start, stop, reads, pairs, weights in blocks:
        made[start:stop] = method.down(across(pixels[reads]), pairs, weights).round_().numpy()
    return made.reshape(height, width, 3)


class _Across:
    """The pass along the rows of an image, with buffers for `count` rows."""

    def __init__(self, count: int, source: int, columns: ColumnTaps, method: Bilinear) -> None:
        self.columns, self.across = columns, method.across
        taps = len(columns.taps)
        self.read, self.source = _words(count, source)
        self.written, self.target = _words(count, taps)
        self.aligned, self.gathered = (np.empty((count, width), np.uint32) for width in (source, taps))
        self.values = torch.empty((count, 2, len(columns.weights[0])), dtype=method.dtype)
        self.bytes = torch.from_numpy(self.written[:-1]).view(self.values.shape)

    def __call__(self, rows: np.ndarray) -> Tensor:
        """rows [N, source * 3] uint8 -> [N, target * 3]."""
        count = len(rows)
        self.read[: rows.size] = rows.reshape(-1)
        self.aligned[:count] = self.source[:count]
        self.aligned[:count].take(self.columns.taps, axis=1, out=self.gathered[:count], mode="wrap")  # the fastest mode
        self.target[:count] = self.gathered[:count]
        values = self.values[:count].copy_(self.bytes[:count])
        return self.across(values[:, 0], values[:, 1], self.columns.weights)


def _words(count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of `count` rows of RGB, and a view of them [count, width] uint32: every pixel, and a byte of the next.

    Writing them in order leaves the pixels: what a word puts into the next pixel is overwritten by that pixel's word.
    """
    numbers = np.empty(count * width * 3 + 1, np.uint8)
    return numbers, np.ndarray((count, width), np.uint32, numbers.data, 0, (width * 3, 3))


@lru_cache(KEPT)
def _blocks(taps: Taps, source: int, target: int, limit: int, *scale: float) -> tuple[Block, ...]:
    """The output in blocks of nearly equal size that read about `limit` rows each."""
    found = taps(source, target, *scale)
    pairs, weights = (np.stack(each, axis=1) for each in (found[:2], found.weights))
    step = -(-target // -(-min(source, 2 * target) // max(limit, 1)))
    return tuple(
        _block(start, pairs[start : start + step], weights[start : start + step]) for start in range(0, target, step)
    )


def _block(start: int, pairs: np.ndarray, weights: np.ndarray) -> Block:
    """All rows between the first and the last, or only those that are read if this is fewer."""
    count, low, end = len(pairs), int(pairs[0, 0]), int(pairs[-1, 1]) + 1
    reads: slice | np.ndarray = slice(low, end)
    if end - low <= 2 * count:
        pairs = pairs - low
    else:
        reads, pairs = pairs.reshape(-1), np.arange(2 * count).reshape(count, 2)
    return Block(start, start + count, reads, torch.from_numpy(pairs), torch.from_numpy(weights))


@lru_cache(KEPT)
def _columns(taps: Taps, source: int, target: int, *scale: float) -> ColumnTaps:
    found = taps(source, target, *scale)
    one, two = (torch.from_numpy(weight.repeat(3)) for weight in found.weights)
    return ColumnTaps(np.concatenate(found[:2]), (one, two))
