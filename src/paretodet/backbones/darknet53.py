"""Darknet-53 (Redmon and Farhadi 2018, Table 1): residual pairs of 1x1 and 3x3 convolutions, leaky ReLU 0.1."""

from dataclasses import dataclass

from torch import Tensor, nn

from paretodet.backbones.no_tail import NoTail
from paretodet.layers.activations import Leaky
from paretodet.layers.conv import conv_norm_act
from paretodet.layers.init import he_
from paretodet.layers.norms import BatchNorm, FrozenNorm
from paretodet.layers.width import check_width, scaled
from paretodet.types import FeatureInfo

BLOCKS = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))  # channels, residual pairs


@dataclass(frozen=True, kw_only=True)
class Darknet53:
    """Maps of strides 8, 16 and 32 (darknet's layers 36, 61 and 74)."""

    width: float = 1.0
    norm: BatchNorm | FrozenNorm = BatchNorm(eps=1e-5, momentum=0.01)

    def __post_init__(self) -> None:
        check_width(self.width)

    def build(self) -> "Darknet53Net":
        return Darknet53Net(self)


class DarknetResidual(nn.Module):
    def __init__(self, channels: int, inner: int, norm: BatchNorm | FrozenNorm):
        super().__init__()
        self.squeeze = conv_norm_act(channels, inner, kernel=1, norm=norm, activation=Leaky())
        self.expand = conv_norm_act(inner, channels, kernel=3, norm=norm, activation=Leaky())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.expand(self.squeeze(x))


class Darknet53Net(NoTail, nn.Module):
    def __init__(self, spec: Darknet53):
        super().__init__()
        stem, *depths = (scaled(depth, spec.width) for depth in (32, *(depth for depth, _ in BLOCKS)))
        self.info = FeatureInfo(tuple(depths[2:]), (8, 16, 32))
        self.stem = conv_norm_act(3, stem, kernel=3, norm=spec.norm, activation=Leaky())
        steps, channels = [], stem
        for depth, (full, pairs) in zip(depths, BLOCKS, strict=True):
            inner = scaled(full // 2, spec.width)
            down = conv_norm_act(channels, depth, kernel=3, stride=2, norm=spec.norm, activation=Leaky())
            steps.append(nn.Sequential(down, *(DarknetResidual(depth, inner, spec.norm) for _ in range(pairs))))
            channels = depth
        self.steps = nn.ModuleList(steps)
        he_(self)

    def trunk(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] -> maps of strides 8, 16 and 32."""
        maps, x = [], self.stem(pixels)
        for step in self.steps:
            x = step(x)
            maps.append(x)
        return tuple(maps[2:])
