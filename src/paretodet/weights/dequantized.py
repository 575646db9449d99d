"""The numbers that those of a quantized file stand for, computed in double precision and kept in float32."""

from collections.abc import Callable
from types import EllipsisType

import torch
from torch import Tensor

MOST = 2**16  # numbers in double precision at a time, which take twice the memory of the result


def by_rows(stored: Tensor, numbers: Callable[[slice | EllipsisType], Tensor]) -> Tensor:
    """A float32 tensor of the shape of `stored`, from `numbers` of few of its rows at a time."""
    if not stored.dim():
        return numbers(...).float()
    found = torch.empty(stored.shape)
    step = max(1, MOST * len(stored) // max(1, stored.numel()))
    for start in range(0, len(stored), step):
        rows = slice(start, start + step)
        found[rows] = numbers(rows)
    return found
