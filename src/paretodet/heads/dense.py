"""Heads that predict at every cell of every map, ordered by location, then by anchor."""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from paretodet.layers.activations import Activation, Relu6
from paretodet.layers.conv import conv_norm_act
from paretodet.layers.init import Init, TruncatedNormal, he_
from paretodet.layers.norms import BatchNorm
from paretodet.types import FeatureInfo, Predictions


@dataclass(frozen=True, kw_only=True)
class SeparateHead:
    """SSD: one convolution for codes and one for logits on each map, no norm, no activation.

    Kernel 3 (Liu et al. section 2.1; Huang's Inception nets), 1 for Huang's MobileNet. `init` is that of Huang
    et al. section 3.6.3; Liu et al. use Xavier.
    """

    kernel: int = 3
    init: Init = TruncatedNormal(std=0.03)

    def build(self, info: FeatureInfo, per_cell: tuple[int, ...], logits: int) -> nn.Module:
        return _SeparateHead(self, info, per_cell, logits)


@dataclass(frozen=True, kw_only=True)
class SeparableHead:
    """SSDLite: in place of each convolution of `SeparateHead` a depthwise one with norm and activation, then a 1x1 one
    with a bias alone (Sandler et al. 2018, arXiv 1801.04381, section 6.2).
    """

    kernel: int = 3
    norm: BatchNorm = BatchNorm(eps=1e-3, momentum=3e-4)
    activation: Activation = Relu6()
    init: Init = TruncatedNormal(std=0.03)

    def build(self, info: FeatureInfo, per_cell: tuple[int, ...], logits: int) -> nn.Module:
        return _SeparateHead(self, info, per_cell, logits)


@dataclass(frozen=True, kw_only=True)
class JointHead:
    """YOLO: one 1x1 convolution for each map; the channels of an anchor are its 4 codes, then its logits."""

    def build(self, info: FeatureInfo, per_cell: tuple[int, ...], logits: int) -> nn.Module:
        return _JointHead(info, per_cell, logits)


@dataclass(frozen=True, kw_only=True)
class ProposalHead:
    """Region proposal network: a 3x3 convolution, then 1x1 convolutions for codes and logits, shared by all maps.

    Huang et al.: 512 channels, ReLU6, dilation 2 at output stride 8; Ren et al.: 512, ReLU. `init` is a
    truncated normal in Huang et al., a plain normal in Ren et al., Detectron and torchvision.
    """

    channels: int = 512
    dilation: int = 1
    ceiling: float | None = 6.0  # None: ReLU
    init: Init = TruncatedNormal(std=0.01)

    def build(self, info: FeatureInfo, per_cell: tuple[int, ...], logits: int) -> nn.Module:
        """Raises ValueError if maps differ in the number of channels or of anchors in a cell: they share one head."""
        channels, anchors = shared(info, per_cell)
        return _ProposalHead(self, channels, anchors, logits)


def shared(info: FeatureInfo, per_cell: tuple[int, ...]) -> tuple[int, int]:
    """The channels and the anchors in a cell, equal for all levels. Raises ValueError if they differ."""
    if len({*info.channels}) != 1 or len({*per_cell}) != 1 or len(info.channels) != len(per_cell):
        raise ValueError(
            f"neck: got {info.channels} channels and {per_cell} anchors in a cell, which must be equal for all levels"
        )
    return info.channels[0], per_cell[0]


def rows(output: Tensor, width: int) -> Tensor:
    """[B, A*width, H, W] -> [B, H*W*A, width]"""
    return output.permute(0, 2, 3, 1).reshape(output.shape[0], -1, width)


def _predictor(spec: SeparateHead | SeparableHead, channels: int, out: int) -> nn.Module:
    if isinstance(spec, SeparateHead):
        return nn.Conv2d(channels, out, spec.kernel, padding=spec.kernel // 2)
    depthwise = conv_norm_act(
        channels, channels, kernel=spec.kernel, groups=channels, norm=spec.norm, activation=spec.activation
    )
    return nn.Sequential(OrderedDict(depthwise=depthwise, pointwise=nn.Conv2d(channels, out, 1)))


class _SeparateHead(nn.Module):
    def __init__(self, spec: SeparateHead | SeparableHead, info: FeatureInfo, per_cell: tuple[int, ...], logits: int):
        super().__init__()
        self.width = logits
        levels = tuple(zip(info.channels, per_cell, strict=True))
        self.boxes = nn.ModuleList(_predictor(spec, c, a * 4) for c, a in levels)
        self.scores = nn.ModuleList(_predictor(spec, c, a * logits) for c, a in levels)
        spec.init(self)

    def forward(self, maps: tuple[Tensor, ...]) -> Predictions:
        codes = [rows(layer(x), 4) for layer, x in zip(self.boxes, maps, strict=True)]
        logits = [rows(layer(x), self.width) for layer, x in zip(self.scores, maps, strict=True)]
        return Predictions(torch.cat(codes, 1), torch.cat(logits, 1))


class _JointHead(nn.Module):
    def __init__(self, info: FeatureInfo, per_cell: tuple[int, ...], logits: int):
        super().__init__()
        self.width = 4 + logits
        self.layers = nn.ModuleList(
            nn.Conv2d(c, a * self.width, 1) for c, a in zip(info.channels, per_cell, strict=True)
        )
        he_(self)

    def forward(self, maps: tuple[Tensor, ...]) -> Predictions:
        outputs = torch.cat([rows(layer(x), self.width) for layer, x in zip(self.layers, maps, strict=True)], 1)
        return Predictions(outputs[..., :4], outputs[..., 4:])


class _ProposalHead(nn.Module):
    def __init__(self, spec: ProposalHead, channels: int, anchors: int, logits: int):
        super().__init__()
        self.width = logits
        self.conv = nn.Conv2d(channels, spec.channels, 3, padding=spec.dilation, dilation=spec.dilation)
        self.activation = (
            nn.ReLU(inplace=True) if spec.ceiling is None else nn.Hardtanh(0.0, spec.ceiling, inplace=True)
        )
        self.boxes = nn.Conv2d(spec.channels, anchors * 4, 1)
        self.scores = nn.Conv2d(spec.channels, anchors * logits, 1)
        spec.init(self)

    def forward(self, maps: tuple[Tensor, ...]) -> Predictions:
        hidden = [self.activation(self.conv(x)) for x in maps]
        codes = [rows(self.boxes(x), 4) for x in hidden]
        logits = [rows(self.scores(x), self.width) for x in hidden]
        return Predictions(torch.cat(codes, 1), torch.cat(logits, 1))
