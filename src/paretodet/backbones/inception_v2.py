"""Inception V2 (Ioffe and Szegedy 2015, arXiv 1502.03167) as TF-slim builds it: "SAME", a separable first layer."""

from dataclasses import dataclass

from paretodet.backbones.inception import InceptionNet, Table, check_taps, mixed
from paretodet.layers.activations import Activation, Relu
from paretodet.layers.branches import Conv, MaxPool, Separable, branches
from paretodet.layers.norms import BatchNorm, Norm

HALF = MaxPool(stride=2)
TABLE: Table = {
    "Conv2d_1a_7x7": Separable(64, 7, stride=2, multiplier=8),
    "MaxPool_2a_3x3": HALF,
    "Conv2d_2b_1x1": Conv(64),
    "Conv2d_2c_3x3": Conv(192, 3),
    "MaxPool_3a_3x3": HALF,
    "Mixed_3b": mixed(64, square=(64, 64), double=(64, 96), pooled=32),
    "Mixed_3c": mixed(64, square=(64, 96), double=(64, 96), pooled=64),
    "Mixed_4a": branches((Conv(128), Conv(160, 3, stride=2)), (Conv(64), Conv(96, 3), Conv(96, 3, stride=2)), (HALF,)),
    "Mixed_4b": mixed(224, square=(64, 96), double=(96, 128), pooled=128),
    "Mixed_4c": mixed(192, square=(96, 128), double=(96, 128), pooled=128),
    "Mixed_4d": mixed(160, square=(128, 160), double=(128, 160), pooled=96),
    "Mixed_4e": mixed(96, square=(128, 192), double=(160, 192), pooled=96),
    "Mixed_5a": branches(
        (Conv(128), Conv(192, 3, stride=2)), (Conv(192), Conv(256, 3), Conv(256, 3, stride=2)), (HALF,)
    ),
    "Mixed_5b": mixed(352, square=(192, 320), double=(160, 224), pooled=128),
    "Mixed_5c": mixed(352, square=(192, 320), double=(192, 224), pooled=128, pool=MaxPool()),
}


@dataclass(frozen=True, kw_only=True)
class InceptionV2:
    """Maps of sides ceil(H / stride): Mixed_3b, 3c of stride 8, 4a..4e of 16 (576 channels), 5a..5c of 32 (1024).

    Huang et al.'s SSD taps Mixed_4c and Mixed_5c; their Faster R-CNN and R-FCN tap Mixed_4e, with Mixed_5a (stride 2),
    5b and 5c as the `tail` (sections 3.6.1 to 3.6.3). The released detectors normalize with gamma, SSD with ReLU6
    throughout. Slim's classifier has ReLU, no gamma, and in its first layer a bias in place of the norm: what a norm of
    mean 0, variance 1 - eps and gamma 1 computes.
    """

    taps: tuple[str, ...] = ("Mixed_4c", "Mixed_5c")
    tail: bool = False
    norm: Norm = BatchNorm(eps=1e-3, momentum=3e-4)
    activation: Activation = Relu()
    width: float = 1.0

    def __post_init__(self) -> None:
        check_taps(self, TABLE)

    def build(self) -> InceptionNet:
        return InceptionNet(self, TABLE)
