"""VGG-16 (Simonyan and Zisserman 2014, configuration D) with Caffe's ceil-mode pooling, as used in detectors."""

from dataclasses import dataclass

from torch import Tensor, nn

from paretodet.backbones.no_tail import NoTail
from paretodet.layers.init import he_
from paretodet.layers.norms import NoNorm, Norm
from paretodet.layers.width import check_width, scaled
from paretodet.types import FeatureInfo

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions
CROP = 7  # cells a side of the input of fc6


@dataclass(frozen=True, kw_only=True)
class VGG16:
    """conv1_1..conv5_3, and with `tail` fc6 and fc7 (Girshick 2015; Ren et al. 2015; Huang et al. section 2.1.2).

    `taps` are the blocks whose outputs the trunk returns: (5,) is conv5_3 (512 channels, stride 16). A norm follows
    convolutions only (for training from scratch). There is no dropout: neither Huang et al. nor py-faster-rcnn's COCO
    network use it.
    """

    taps: tuple[int, ...] = (5,)
    tail: bool = True
    norm: Norm = NoNorm()
    width: float = 1.0

    def __post_init__(self) -> None:
        if not self.taps or list(self.taps) != sorted({*self.taps} & {1, 2, 3, 4, 5}):
            raise ValueError(f"taps: got {self.taps}, allowed increasing numbers in 1..5")
        if self.tail and self.taps[-1] != 5:
            raise ValueError(f"tail: got True with taps {self.taps}, allowed if the last tap is 5")
        check_width(self.width)

    def build(self) -> "VGG16Net":
        return VGG16Net(self)


@dataclass(frozen=True, kw_only=True)
class VGG16Reduced:
    """SSD's VGG-16 (Liu et al. section 3): pool5 3x3/1, fc6 a 3x3 convolution of dilation 6, fc7 1x1; no dropout.

    Maps: conv4_3 (512 channels, stride 8) and fc7 (1024, stride 16).
    """

    norm: Norm = NoNorm()
    width: float = 1.0

    def __post_init__(self) -> None:
        check_width(self.width)

    def build(self) -> "VGG16ReducedNet":
        return VGG16ReducedNet(self)


def convolution(channels: int, depth: int, norm: Norm, *, kernel: int = 3, dilation: int = 1) -> list[nn.Module]:
    """A convolution that keeps the size, with its norm, or with a bias if there is no norm."""
    bare, padding = isinstance(norm, NoNorm), dilation * (kernel // 2)
    layer = nn.Conv2d(channels, depth, kernel, padding=padding, dilation=dilation, bias=bare)
    return [layer] if bare else [layer, norm.build(depth)]


def block(channels: int, depth: int, count: int, norm: Norm) -> list[nn.Module]:
    """`count` 3x3 convolutions, each with its norm and a ReLU."""
    layers: list[nn.Module] = []
    for index in range(count):
        layers += [*convolution(depth if index else channels, depth, norm), nn.ReLU(inplace=True)]
    return layers


def trunk_blocks(norm: Norm, width: float) -> list[nn.Sequential]:
    """conv1_1..conv5_3 as five blocks, each but the first starting with a 2x2/2 ceil-mode max-pool."""
    blocks, channels = [], 3
    for index, (depth, count) in enumerate(BLOCKS):
        pool = [nn.MaxPool2d(2, ceil_mode=True)] if index else []
        blocks.append(nn.Sequential(*pool, *block(channels, scaled(depth, width), count, norm)))
        channels = scaled(depth, width)
    return blocks


class VGG16Net(nn.Module):
    def __init__(self, spec: VGG16):
        super().__init__()
        self.taps = spec.taps
        self.blocks = nn.ModuleList(trunk_blocks(spec.norm, spec.width)[: spec.taps[-1]])
        depths = [scaled(depth, spec.width) for depth, _ in BLOCKS]
        self.info = FeatureInfo(tuple(depths[tap - 1] for tap in spec.taps), tuple(2 ** (tap - 1) for tap in spec.taps))
        self.tail_channels = scaled(4096, spec.width) if spec.tail else 0
        if spec.tail:
            self.fc6 = nn.Linear(self.info.channels[-1] * CROP * CROP, self.tail_channels)
            self.fc7 = nn.Linear(self.tail_channels, self.tail_channels)
            self.activation = nn.ReLU(inplace=True)
        he_(self)

    def trunk(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] -> the tapped maps, conv5_3 of side ceil(H / 16)."""
        maps: list[Tensor] = []
        for layers in self.blocks:
            maps.append(layers(maps[-1] if maps else pixels))
        return tuple(maps[tap - 1] for tap in self.taps)

    def tail(self, crops: Tensor) -> Tensor:
        """[R, 512, 7, 7] -> [R, 4096]: fc6 and fc7, each with its ReLU; the input order of fc6 is channel, row, column,
        as in Caffe.
        """
        return self.activation(self.fc7(self.activation(self.fc6(crops.flatten(1)))))


class VGG16ReducedNet(NoTail, nn.Module):
    def __init__(self, spec: VGG16Reduced):
        super().__init__()
        blocks = trunk_blocks(spec.norm, spec.width)
        low, high = scaled(512, spec.width), scaled(1024, spec.width)
        self.info = FeatureInfo((low, high), (8, 16))
        self.conv4_3 = nn.Sequential(*blocks[:4])
        self.conv5_3 = blocks[4]
        self.pool5 = nn.MaxPool2d(3, 1, 1)
        self.fc6 = _joined(convolution(low, high, spec.norm, dilation=6))
        self.fc7 = _joined(convolution(high, high, spec.norm, kernel=1))
        self.activation = nn.ReLU(inplace=True)
        he_(self)

    def trunk(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] -> conv4_3 of side ceil(H/8) and fc7 of ceil(H/16)."""
        low = self.conv4_3(pixels)
        x = self.pool5(self.conv5_3(low))
        return low, self.activation(self.fc7(self.activation(self.fc6(x))))


def _joined(layers: list[nn.Module]) -> nn.Module:
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)
