"""What darknet's layers compute, where torch has no module of its own for it."""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "leaky": partial(nn.LeakyReLU, 0.1, inplace=True),
    "relu": partial(nn.ReLU, inplace=True),
    "relu6": partial(nn.ReLU6, inplace=True),
    "relie": partial(nn.LeakyReLU, 0.01, inplace=True),
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "hardtan": nn.Hardtanh,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": partial(nn.GELU, approximate="tanh"),
    "swish": nn.SiLU,
    "mish": nn.Mish,
}


class DarknetMaxPool(nn.Module):
    """Darknet's: `padding` in total, the smaller half above and left, never the maximum."""

    def __init__(self, size: int, stride: int, padding: int):
        super().__init__()
        self.size, self.stride, self.padding = size, stride, padding

    def reached(self, side: int) -> int:
        """The output's side."""
        return (side + self.padding - self.size) // self.stride + 1

    def forward(self, x: Tensor) -> Tensor:
        (top, bottom), (left, right) = (self._margins(side) for side in x.shape[2:])
        if any((top, bottom, left, right)):
            x = F.pad(x, (left, right, top, bottom), value=-math.inf)
        return F.max_pool2d(x, self.size, self.stride)

    def _margins(self, side: int) -> tuple[int, int]:
        before = self.padding // 2
        return before, max((self.reached(side) - 1) * self.stride + self.size - before - side, 0)

    def extra_repr(self) -> str:
        return f"{self.size}, stride={self.stride}, padding={self.padding}"


class Route(nn.Module):
    """One of `groups` equal parts of each map's channels, joined."""

    def __init__(self, groups: int, group: int):
        super().__init__()
        self.groups, self.group = groups, group

    def forward(self, *maps: Tensor) -> Tensor:
        parts = [x if self.groups == 1 else x.chunk(self.groups, 1)[self.group] for x in maps]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


class Shortcut(nn.Module):
    """The sum of maps, then an activation. As darknet adds: what is larger is sampled every so many rows and columns,
    what has more channels loses them, what has fewer adds nothing to the rest."""

    def __init__(self, activation: str):
        super().__init__()
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            x = x + _matched(other, x)
        return self.activation(x)


class Product(nn.Module):
    """The second map times the first, which may have one value a channel or a place, then an activation."""

    def __init__(self, activation: str):
        super().__init__()
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        return self.activation(x * other)


class Upsample(nn.Module):
    """Nearest, times `scale`."""

    def __init__(self, stride: int, scale: float):
        super().__init__()
        self.stride, self.scale = stride, scale

    def forward(self, x: Tensor) -> Tensor:
        larger = F.interpolate(x, scale_factor=self.stride, mode="nearest")
        return larger if self.scale == 1 else larger * self.scale


class DarknetSoftmax(nn.Module):
    """Over each of `groups` equal parts of an image's values, whatever their place."""

    def __init__(self, groups: int, temperature: float):
        super().__init__()
        self.groups, self.temperature = groups, temperature

    def forward(self, x: Tensor) -> Tensor:
        return (x.reshape(len(x), self.groups, -1) / self.temperature).softmax(2).reshape(x.shape)


def _matched(other: Tensor, x: Tensor) -> Tensor:
    """`other` sampled and cut or filled up to the shape of x."""
    step = max(other.shape[2] // x.shape[2], 1)
    sampled = other[:, : x.shape[1], ::step, ::step]
    missing = x.shape[1] - sampled.shape[1]
    return F.pad(sampled, (0, 0, 0, 0, 0, missing)) if missing else sampled
