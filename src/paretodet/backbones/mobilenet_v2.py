"""MobileNet v2 (Sandler et al. 2018, arXiv 1801.04381, Table 2) as TF-slim builds it: "SAME" padding, ReLU6 except
after a block, batch norm everywhere.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from paretodet.backbones.no_tail import NoTail
from paretodet.layers.activations import NoActivation, Relu6
from paretodet.layers.conv import conv_norm_act
from paretodet.layers.init import he_
from paretodet.layers.norms import BatchNorm, FrozenNorm
from paretodet.layers.padding import SameConv2d
from paretodet.layers.width import check_width
from paretodet.types import FeatureInfo

STEM, LAST = 32, 1280  # channels of the convolutions before and after the blocks
BODY = (  # stride, channels of the 17 blocks
    (1, 16), (2, 24), (1, 24), (2, 32), *((1, 32),) * 2, (2, 64), *((1, 64),) * 3, *((1, 96),) * 3, (2, 160),
    *((1, 160),) * 2, (1, 320),
)  # fmt: skip
EXPANSION = 6  # of the channels inside of a block; the first block has none
SCOPES = ("expanded_conv", *(f"expanded_conv_{number}" for number in range(1, len(BODY))))
EXPANDED = "{}/expand"  # the map inside of a block, before its depthwise convolution
ENDS = (*SCOPES, "Conv_1")
POINTS = ("expanded_conv", *(point for scope in SCOPES[1:] for point in (EXPANDED.format(scope), scope)), "Conv_1")
MULTIPLE = 8  # numbers of channels are multiples of it
KEPT = 0.9  # rounding keeps at least this share of the channels


@dataclass(frozen=True, kw_only=True)
class MobileNetV2:
    """`taps` are TF-slim's scopes whose outputs the trunk returns: a block (`expanded_conv_12`), the expanded map
    inside of one (`expanded_conv_13/expand`) or the last convolution (`Conv_1`). What comes after the last tap is not
    built.

    `width` is TF-slim's depth_multiplier. It scales the last convolution too, unless `whole_last`: slim's classifiers
    narrower than 1 keep its channels (`finegrain_classification_mode`), detectors do not.
    """

    taps: tuple[str, ...] = ("expanded_conv_13/expand", "Conv_1")
    width: float = 1.0
    whole_last: bool = False
    norm: BatchNorm | FrozenNorm = BatchNorm(eps=1e-3, momentum=3e-4)

    def __post_init__(self) -> None:
        if not self.taps or self.taps[-1] not in ENDS or tuple(p for p in POINTS if p in self.taps) != self.taps:
            raise ValueError(f"taps: got {self.taps}, allowed {', '.join(POINTS)}, in this order, not ending in expand")
        check_width(self.width)

    def build(self) -> "MobileNetV2Net":
        return MobileNetV2Net(self)


def rounded(channels: int, width: float) -> int:
    """The multiple of 8 nearest to channels * width; the next larger one if less than 0.9 of it would remain."""
    exact = channels * width
    near = max(MULTIPLE, int(exact + MULTIPLE / 2) // MULTIPLE * MULTIPLE)
    return near if near >= KEPT * exact else near + MULTIPLE


class InvertedResidual(nn.Module):
    """A block: a 1x1 convolution to more channels, a depthwise one, then a 1x1 one to fewer, without an activation.

    The input is added to an output of its shape. `expand` and `contract` are separate for detectors that read the map
    between them.
    """

    def __init__(self, channels: int, out: int, *, stride: int, expansion: int, norm: BatchNorm | FrozenNorm):
        super().__init__()
        inner, act = channels * expansion, Relu6()
        self.adds = stride == 1 and channels == out
        self.expand = (
            conv_norm_act(channels, inner, kernel=1, norm=norm, activation=act) if expansion > 1 else nn.Identity()
        )
        self.depthwise = conv_norm_act(
            inner, inner, kernel=3, stride=stride, groups=inner, norm=norm, activation=act, conv=SameConv2d
        )
        self.project = conv_norm_act(inner, out, kernel=1, norm=norm, activation=NoActivation())

    def contract(self, inner: Tensor, x: Tensor) -> Tensor:
        """From the expanded map and the block's input to its output, sides ceil(H / stride)."""
        found = self.project(self.depthwise(inner))
        return found + x if self.adds else found


class MobileNetV2Net(NoTail, nn.Module):
    def __init__(self, spec: MobileNetV2):
        super().__init__()
        depths = [rounded(depth, spec.width) for depth in (STEM, *(depth for _, depth in BODY))]
        last, act = rounded(LAST, max(spec.width, 1.0) if spec.whole_last else spec.width), Relu6()
        layers = list(zip((stride for stride, _ in BODY), depths, depths[1:], strict=False))
        layers = layers[: ENDS.index(spec.taps[-1]) + 1]
        self.taps = spec.taps
        self.stem = conv_norm_act(3, depths[0], kernel=3, stride=2, norm=spec.norm, activation=act, conv=SameConv2d)
        self.blocks = nn.ModuleList(
            InvertedResidual(c, d, stride=stride, expansion=EXPANSION if number else 1, norm=spec.norm)
            for number, (stride, c, d) in enumerate(layers)
        )
        ends = "Conv_1" in self.taps
        self.last = conv_norm_act(depths[-1], last, kernel=1, norm=spec.norm, activation=act) if ends else None
        points = dict(_points(layers, last))
        self.info = FeatureInfo(*zip(*(points[tap] for tap in self.taps), strict=True))
        he_(self)

    def trunk(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] -> the tapped maps, sides ceil(H / stride)."""
        maps, x = [], self.stem(pixels)
        blocks: Iterable[Any] = self.blocks
        for scope, block in zip(SCOPES, blocks, strict=False):
            inner = block.expand(x)
            x = block.contract(inner, x)
            maps += [each for tap, each in ((EXPANDED.format(scope), inner), (scope, x)) if tap in self.taps]
        return (*maps, self.last(x)) if self.last is not None else tuple(maps)


def _points(layers: list[tuple[int, int, int]], last: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Channels and stride of every map that can be tapped."""
    total = 2
    for scope, (stride, channels, out) in zip(SCOPES, layers, strict=False):
        yield EXPANDED.format(scope), (channels * EXPANSION, total)
        total *= stride
        yield scope, (out, total)
    yield "Conv_1", (last, total)
