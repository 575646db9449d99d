"""Darknet-19 (Redmon and Farhadi 2017, arXiv 1612.08242, Table 6): alternating 3x3 and 1x1 convolutions, leaky ReLU
0.1.
"""

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from paretodet.backbones.no_tail import NoTail
from paretodet.layers.activations import Leaky
from paretodet.layers.conv import conv_norm_act
from paretodet.layers.init import he_
from paretodet.layers.norms import BatchNorm, FrozenNorm
from paretodet.layers.width import check_width, scaled
from paretodet.types import FeatureInfo

STEPS = (  # channels between two poolings; 3x3 first, then alternating 1x1 and 3x3
    (32,), (64,), (128, 64, 128), (256, 128, 256), (512, 256, 512, 256, 512), (1024, 512, 1024, 512, 1024),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Darknet19:
    """Maps of strides 16 and 32 (layers 16 and 22 of darknet's yolov2.cfg)."""

    width: float = 1.0
    norm: BatchNorm | FrozenNorm = BatchNorm(eps=1e-5, momentum=0.01)

    def __post_init__(self) -> None:
        check_width(self.width)

    def build(self) -> "Darknet19Net":
        return Darknet19Net(self)


class Darknet19Net(NoTail, nn.Module):
    def __init__(self, spec: Darknet19):
        super().__init__()
        table = [tuple(scaled(depth, spec.width) for depth in step) for step in STEPS]
        inputs = (3, *(step[-1] for step in table))
        self.info = FeatureInfo(inputs[-2:], (16, 32))
        self.steps = nn.ModuleList(
            nn.Sequential(
                *(
                    conv_norm_act(c, d, kernel=1 if i % 2 else 3, norm=spec.norm, activation=Leaky())
                    for i, (c, d) in enumerate(pairwise((channels, *step)))
                )
            )
            for channels, step in zip(inputs, table, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        he_(self)

    def trunk(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] -> maps of strides 16 and 32."""
        first, *rest = self.steps
        maps = [first(pixels)]
        for step in rest:
            maps.append(step(self.pool(maps[-1])))
        return tuple(maps[-2:])
