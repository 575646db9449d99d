"""Heads that predict one box a cell, with a centerness beside the classes."""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from paretodet.heads.dense import rows, shared
from paretodet.layers.activations import Relu
from paretodet.layers.init import normal_, prior_bias
from paretodet.layers.norms import GroupNorm, Norm
from paretodet.types import FeatureInfo, Predictions


@dataclass(frozen=True, kw_only=True)
class PointHead:
    """FCOS's head (Tian et al. 2019, arXiv 1904.01355, sections 3.2 and 3.3), shared by all levels.

    Two towers of `convs` 3x3 convolutions with bias, norm and ReLU, as deep as the maps. On the first, 3x3 convolutions
    to one centerness and to the classes, in this order; on the second, one to the codes, times a learned number for
    each level. Every class starts at the probability `prior`.
    """

    convs: int = 4
    prior: float = 0.01
    norm: Norm = GroupNorm(size=8)

    def __post_init__(self) -> None:
        if self.convs < 0:
            raise ValueError(f"convs: got {self.convs}, allowed 0 or more")
        prior_bias(self.prior)  # raises outside 0..1

    def build(self, info: FeatureInfo, per_cell: tuple[int, ...], logits: int) -> nn.Module:
        """Raises ValueError if the levels differ in depth, or have more than one reference per cell."""
        channels, count = shared(info, per_cell)
        if count != 1:
            raise ValueError(f"anchors: got {count} per cell, this head predicts one box per cell")
        return _PointHead(self, len(per_cell), channels, logits)


class _PointHead(nn.Module):
    def __init__(self, spec: PointHead, levels: int, channels: int, logits: int):
        super().__init__()
        self.width = logits
        self.score_tower, self.box_tower = _tower(spec, channels), _tower(spec, channels)
        self.scores = nn.Conv2d(channels, logits - 1, 3, padding=1)
        self.centerness = nn.Conv2d(channels, 1, 3, padding=1)
        self.boxes = nn.Conv2d(channels, 4, 3, padding=1)
        self.scales = nn.Parameter(torch.ones(levels))
        normal_(self, 0.01)
        nn.init.constant_(self.scores.get_parameter("bias"), prior_bias(spec.prior))

    def forward(self, maps: tuple[Tensor, ...]) -> Predictions:
        """Maps of the levels -> codes [B, N, 4], logits [B, N, 1 + K], level by level."""
        codes = [rows(self.boxes(self.box_tower(x)), 4) * scale for x, scale in zip(maps, self.scales, strict=True)]
        towers = [self.score_tower(x) for x in maps]
        logits = [rows(torch.cat([self.centerness(x), self.scores(x)], 1), self.width) for x in towers]
        return Predictions(torch.cat(codes, 1), torch.cat(logits, 1))


def _tower(spec: PointHead, channels: int) -> nn.Sequential:
    return nn.Sequential(*(_layer(spec.norm, channels) for _ in range(spec.convs)))


def _layer(norm: Norm, channels: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, channels, 3, padding=1)
    return nn.Sequential(OrderedDict(conv=conv, norm=norm.build(channels), activation=Relu().build()))
