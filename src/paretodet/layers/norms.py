"""Normalization layers, as data."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from paretodet.layers.frozen import FrozenNorm2d


@dataclass(frozen=True, kw_only=True)
class BatchNorm:
    """Trainable batch norm. `momentum` is torch's: 3e-4 is TF's decay 0.9997. Without `scale` there is no gamma."""

    eps: float = 1e-5
    momentum: float = 0.1
    scale: bool = True

    def build(self, channels: int) -> nn.Module:
        norm = nn.BatchNorm2d(channels, self.eps, self.momentum)
        if not self.scale:
            norm.register_parameter("weight", None)
        return norm


@dataclass(frozen=True, kw_only=True)
class FrozenNorm:
    """Batch norm with fixed statistics and affine parameters. Without `scale` it has beta but no gamma."""

    eps: float = 1e-5
    scale: bool = True

    def build(self, channels: int) -> nn.Module:
        norm = FrozenNorm2d(channels, self.eps)
        if not self.scale:
            norm.register_parameter("weight", None)
        return norm


@dataclass(frozen=True, kw_only=True)
class GroupNorm:
    """Group norm (Wu and He 2018, arXiv 1803.08494) over groups of `size` channels: 32 groups of 256 have 8 each."""

    size: int = 8

    def build(self, channels: int) -> nn.Module:
        """Raises ValueError for channels that are no multiple of `size`."""
        if channels % self.size:
            raise ValueError(f"channels: got {channels}, allowed are multiples of {self.size}")
        return nn.GroupNorm(channels // self.size, channels)


@dataclass(frozen=True, kw_only=True)
class NoNorm:
    """No normalization: the convolution has a bias instead."""

    def build(self, channels: int) -> nn.Module:
        return nn.Identity()


Norm = BatchNorm | FrozenNorm | GroupNorm | NoNorm


class L2Norm(nn.Module):
    """The channels at each position divided by their L2 norm, times a trainable scale for each channel (SSD's conv4_3).

    x / sqrt(sum(x^2) + eps), with eps inside the root as in Caffe. Liu et al. section 3.1: the initial scale is 20.
    """

    def __init__(self, channels: int, scale: float = 20.0, eps: float = 1e-10):
        super().__init__()
        self.eps = eps
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape and dtype; the norm is computed in float32, as float16 ends at 65504."""
        squares = x.float().square().sum(1, keepdim=True)
        # a power of two changes no result; without it, torch's ONNX exporter would remove an eps below 1e-8
        length = squares.mul(2.0**20).add(self.eps * 2.0**20).rsqrt().mul(2.0**10)
        return (x.float() * length).to(x.dtype) * self.scale.to(x.dtype)[:, None, None]
