"""Heads with separate convolutions for boxes and scores, shared by all levels of a pyramid."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from paretodet.heads.dense import rows, shared
from paretodet.layers.activations import Relu
from paretodet.layers.conv import conv_norm_act
from paretodet.layers.init import normal_, prior_bias
from paretodet.layers.norms import NoNorm
from paretodet.types import FeatureInfo, Predictions


@dataclass(frozen=True, kw_only=True)
class TowerHead:
    """RetinaNet's subnets (Lin et al. 2017, arXiv 1708.02002, section 4): `convs` 3x3 convolutions with ReLU and as
    many channels as the maps, then a 3x3 convolution to codes or logits. Before training every class has the
    probability `prior` (section 4.1).
    """

    convs: int = 4
    prior: float = 0.01

    def __post_init__(self) -> None:
        if self.convs < 0:
            raise ValueError(f"convs: got {self.convs}, allowed 0 or more")
        prior_bias(self.prior)  # raises outside 0..1

    def build(self, info: FeatureInfo, per_cell: tuple[int, ...], logits: int) -> nn.Module:
        """Raises ValueError if levels differ in the number of channels or of anchors in a cell: they share one head."""
        channels, anchors = shared(info, per_cell)
        return _TowerHead(self, channels, anchors, logits)


class _Tower(nn.Module):
    def __init__(self, convs: int, channels: int, outputs: int):
        super().__init__()
        layers = [conv_norm_act(channels, channels, kernel=3, norm=NoNorm(), activation=Relu()) for _ in range(convs)]
        self.convs = nn.Sequential(*layers)
        self.out = nn.Conv2d(channels, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.convs(x))


class _TowerHead(nn.Module):
    def __init__(self, spec: TowerHead, channels: int, anchors: int, logits: int):
        super().__init__()
        self.width = logits
        self.boxes = _Tower(spec.convs, channels, anchors * 4)
        self.scores = _Tower(spec.convs, channels, anchors * logits)
        normal_(self, 0.01)
        nn.init.constant_(self.scores.out.get_parameter("bias"), prior_bias(spec.prior))

    def forward(self, maps: tuple[Tensor, ...]) -> Predictions:
        """Maps of any number and size -> codes [B, N, 4], logits [B, N, S], level by level."""
        codes = [rows(self.boxes(x), 4) for x in maps]
        logits = [rows(self.scores(x), self.width) for x in maps]
        return Predictions(torch.cat(codes, 1), torch.cat(logits, 1))
