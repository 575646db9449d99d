"""The trunk of darknet's yolov3-tiny.cfg: seven 3x3 convolutions between poolings, leaky ReLU 0.1."""

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from paretodet.backbones.no_tail import NoTail
from paretodet.layers.activations import Leaky
from paretodet.layers.conv import conv_norm_act
from paretodet.layers.init import he_
from paretodet.layers.norms import BatchNorm, FrozenNorm
from paretodet.layers.padding import SameMaxPool2d
from paretodet.layers.width import check_width, scaled
from paretodet.types import FeatureInfo

DEPTHS = (16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True, kw_only=True)
class DarknetTiny:
    """Maps of strides 16 and 32 (layers 8 and 12). The last pooling has stride 1 and pads bottom and right."""

    width: float = 1.0
    norm: BatchNorm | FrozenNorm = BatchNorm(eps=1e-5, momentum=0.01)

    def __post_init__(self) -> None:
        check_width(self.width)

    def build(self) -> "DarknetTinyNet":
        return DarknetTinyNet(self)


class DarknetTinyNet(NoTail, nn.Module):
    def __init__(self, spec: DarknetTiny):
        super().__init__()
        depths = [scaled(depth, spec.width) for depth in DEPTHS]
        self.info = FeatureInfo((depths[4], depths[6]), (16, 32))
        self.convs = nn.ModuleList(
            conv_norm_act(c, d, kernel=3, norm=spec.norm, activation=Leaky()) for c, d in pairwise((3, *depths))
        )
        self.pool = nn.MaxPool2d(2)
        self.last_pool = SameMaxPool2d(2, 1)
        he_(self)

    def trunk(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] -> maps of strides 16 and 32."""
        first, *middle, sixth, seventh = self.convs
        fine = first(pixels)
        for conv in middle:
            fine = conv(self.pool(fine))
        return fine, seventh(self.last_pool(sixth(self.pool(fine))))
