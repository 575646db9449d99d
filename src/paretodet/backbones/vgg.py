"""VGG-16 (Simonyan and Zisserman 2014, configuration D) with Caffe's ceil-mode pooling, as detectors cut it."""

from dataclasses import dataclass

from torch import Tensor, nn

from paretodet.types import FeatureInfo

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions


@dataclass(frozen=True, kw_only=True)
class VGG16Reduced:
    """SSD's VGG-16 (Liu et al. section 3): pool5 3x3/1, fc6 a 3x3 convolution of dilation 6, fc7 1x1; no dropout.

    Maps: conv4_3 (512 channels, stride 8) and fc7 (1024, stride 16).
    """

    def build(self) -> "VGG16ReducedNet":
        return VGG16ReducedNet()


def convolutions(channels: int, depth: int, count: int) -> list[nn.Module]:
    """`count` 3x3 convolutions with ReLU."""
    layers: list[nn.Module] = []
    for index in range(count):
        layers += [nn.Conv2d(depth if index else channels, depth, 3, padding=1), nn.ReLU(inplace=True)]
    return layers


def trunk_blocks() -> list[nn.Sequential]:
    """conv1_1..conv5_3 as five blocks, each but the first led by a 2x2/2 ceil-mode max-pool."""
    blocks, channels = [], 3
    for depth, count in BLOCKS:
        pool = [nn.MaxPool2d(2, ceil_mode=True)] if channels != 3 else []
        blocks.append(nn.Sequential(*pool, *convolutions(channels, depth, count)))
        channels = depth
    return blocks


class VGG16ReducedNet(nn.Module):
    tail_channels = 0
    info = FeatureInfo((512, 1024), (8, 16))

    def __init__(self) -> None:
        super().__init__()
        blocks = trunk_blocks()
        self.conv4_3 = nn.Sequential(*blocks[:4])
        self.conv5_3 = blocks[4]
        self.pool5 = nn.MaxPool2d(3, 1, 1)
        self.fc6 = nn.Conv2d(512, 1024, 3, padding=6, dilation=6)
        self.fc7 = nn.Conv2d(1024, 1024, 1)
        self.activation = nn.ReLU(inplace=True)

    def trunk(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] -> conv4_3 of side ceil(H/8) and fc7 of ceil(H/16)."""
        low = self.conv4_3(pixels)
        x = self.pool5(self.conv5_3(low))
        return low, self.activation(self.fc7(self.activation(self.fc6(x))))
