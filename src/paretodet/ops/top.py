"""The largest of many numbers."""

import math

import torch
from torch import Tensor

MANY = 32_768  # numbers; for fewer, `Tensor.topk` is as fast


def top(values: Tensor, count: int) -> Tensor:
    """Indices of the `count` largest of each row by falling value, ties in any order: [B, M] -> [B, count].

    `Tensor.topk` searches all M numbers. Here they are divided into groups: the `count` largest numbers are in the
    `count` groups with the largest maxima, and only these are searched. Raises ValueError for `count` outside 1..M.
    """
    total = values.shape[1]
    if not (isinstance(total, int) and isinstance(count, int)):
        return values.topk(count).indices  # symbols, in an export whose canvas is open
    if not 1 <= count <= total:
        raise ValueError(f"count: got {count}, allowed 1..{total}")
    members = math.isqrt(total // count)
    if total < MANY or members < 2:
        return values.topk(count).indices
    groups = total // members
    whole = values[:, : groups * members].view(values.shape[0], members, groups)
    best = whole.amax(1).topk(count, sorted=False).indices
    inside = whole.gather(2, best[:, None].expand(-1, members, -1)).flatten(1)
    rest = values[:, groups * members :]
    place = torch.cat([inside, rest], 1).topk(count).indices
    row, column = place // count, place % count
    found = row * groups + best.gather(1, column)
    return found.where(place < members * count, place - members * count + groups * members)
