"""MobileNet v1 (Howard et al. 2017, Table 1) as TF-slim builds it: "SAME" padding, ReLU6, batch norm everywhere."""

from dataclasses import dataclass
from itertools import accumulate
from operator import mul

from torch import Tensor, nn

from paretodet.layers.activations import Relu6
from paretodet.layers.conv import conv_norm_act, depthwise_separable, separable_conv
from paretodet.layers.init import he_
from paretodet.layers.norms import BatchNorm, FrozenNorm
from paretodet.layers.padding import SameConv2d
from paretodet.layers.width import check_width, scaled
from paretodet.types import FeatureInfo

BODY = (  # stride, depth of the 13 separable convolutions
    (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *((1, 512),) * 5, (2, 1024), (1, 1024),
)  # fmt: skip
TAIL_AFTER = 11  # the layer that Huang et al. crop from (section 3.6.1)


@dataclass(frozen=True, kw_only=True)
class MobileNetV1:
    """`taps` are the numbers of the pointwise convolutions whose outputs the trunk returns (11: `Conv2d_11_pointwise`).

    `width` is the paper's alpha (TF-slim's depth_multiplier). Convolutions after the last tap are built only as the
    tail: layers 12 and 13 as in Huang et al.'s released code, each a separable convolution (depthwise without a norm,
    then pointwise with one), for trunks that end in layer 11.
    """

    taps: tuple[int, ...] = (11, 13)
    tail: bool = False
    width: float = 1.0
    norm: BatchNorm | FrozenNorm = BatchNorm(eps=1e-3, momentum=3e-4)

    def __post_init__(self) -> None:
        if not self.taps or sorted(set(self.taps)) != list(self.taps) or not 1 <= self.taps[0] <= self.taps[-1] <= 13:
            raise ValueError(f"taps: got {self.taps}, allowed increasing numbers in 1..13")
        if self.tail and self.taps[-1] != TAIL_AFTER:
            raise ValueError(f"tail: got True with taps {self.taps}, allowed if the last tap is {TAIL_AFTER}")
        check_width(self.width)

    def build(self) -> "MobileNetV1Net":
        return MobileNetV1Net(self)


class MobileNetV1Net(nn.Module):
    def __init__(self, spec: MobileNetV1):
        super().__init__()
        depths = [scaled(depth, spec.width) for depth in (32, *(depth for _, depth in BODY))]
        strides = list(accumulate((2, *(stride for stride, _ in BODY)), mul))
        last, act = spec.taps[-1], Relu6()
        layers = [(c, d, stride) for (stride, _), c, d in zip(BODY, depths, depths[1:], strict=False)]
        self.taps = spec.taps
        self.info = FeatureInfo(tuple(depths[t] for t in self.taps), tuple(strides[t] for t in self.taps))
        self.tail_channels = depths[-1] if spec.tail else 0
        self.stem = conv_norm_act(3, depths[0], kernel=3, stride=2, norm=spec.norm, activation=act, conv=SameConv2d)
        self.body = nn.ModuleList(
            depthwise_separable(c, d, stride=stride, norm=spec.norm, activation=act, conv=SameConv2d)
            for c, d, stride in layers[:last]
        )
        self.rest = nn.Sequential(
            *(
                separable_conv(c, d, stride=stride, norm=spec.norm, activation=act, conv=SameConv2d)
                for c, d, stride in layers[last if spec.tail else len(BODY) :]
            )
        )
        he_(self)

    def trunk(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] -> the tapped maps, sides ceil(H / stride)."""
        maps, x = [], self.stem(pixels)
        for number, layer in enumerate(self.body, 1):
            x = layer(x)
            if number in self.taps:
                maps.append(x)
        return tuple(maps)

    def tail(self, crops: Tensor) -> Tensor:
        """[R, C, h, w] -> [R, C', ceil(h / 2), ceil(w / 2)] for the depths C of layer 11 and C' of layer 13."""
        return self.rest(crops)
