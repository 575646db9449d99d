"""MobileNet v1 (Howard et al. 2017, Table 1) as TF-slim builds it: "SAME" padding, ReLU6, batch norm everywhere."""

from dataclasses import dataclass

from torch import Tensor, nn

from paretodet.layers.activations import Relu6
from paretodet.layers.conv import conv_norm_act, depthwise_separable
from paretodet.layers.norms import BatchNorm, FrozenNorm
from paretodet.layers.padding import SameConv2d
from paretodet.types import FeatureInfo

BODY = (  # stride, depth of the 13 separable convolutions
    (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *((1, 512),) * 5, (2, 1024), (1, 1024),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MobileNetV1:
    """`taps` are the numbers of the pointwise convolutions whose maps leave the trunk (11: `Conv2d_11_pointwise`).

    Depth is max(16, int(depth * depth_multiplier)). Convolutions after the last tap are not built.
    """

    taps: tuple[int, ...] = (11, 13)
    depth_multiplier: float = 1.0
    norm: BatchNorm | FrozenNorm = BatchNorm(eps=1e-3, momentum=3e-4)

    def __post_init__(self) -> None:
        if not self.taps or sorted(set(self.taps)) != list(self.taps) or not 1 <= self.taps[0] <= self.taps[-1] <= 13:
            raise ValueError(f"taps: {self.taps} must be rising numbers of 1..13")

    def depth(self, channels: int) -> int:
        return max(16, int(channels * self.depth_multiplier))

    def build(self) -> "MobileNetV1Net":
        return MobileNetV1Net(self)


class MobileNetV1Net(nn.Module):
    tail_channels = 0

    def __init__(self, spec: MobileNetV1):
        super().__init__()
        body = BODY[: spec.taps[-1]]
        depths = [spec.depth(32), *(spec.depth(depth) for _, depth in body)]
        self.taps = spec.taps
        act = Relu6()
        self.stem = conv_norm_act(3, depths[0], kernel=3, stride=2, norm=spec.norm, activation=act, conv=SameConv2d)
        self.body = nn.ModuleList(
            depthwise_separable(c, d, stride=stride, norm=spec.norm, activation=act, conv=SameConv2d)
            for (stride, _), c, d in zip(body, depths, depths[1:], strict=False)
        )
        strides = [2]
        for stride, _ in body:
            strides.append(strides[-1] * stride)
        self.info = FeatureInfo(tuple(depths[t] for t in self.taps), tuple(strides[t] for t in self.taps))

    def trunk(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] -> the tapped maps, sides ceil(H / stride)."""
        maps, x = [], self.stem(pixels)
        for number, layer in enumerate(self.body, 1):
            x = layer(x)
            if number in self.taps:
                maps.append(x)
        return tuple(maps)
