"""Inception V3 (Szegedy et al. 2015, arXiv 1512.00567) as TF-slim builds it: "VALID" in the stem and the reductions."""

from dataclasses import dataclass

from paretodet.backbones.inception import InceptionNet, Table, check_taps, mixed
from paretodet.layers.activations import Activation, Relu
from paretodet.layers.branches import AvgPool, Branches, Conv, MaxPool, branches
from paretodet.layers.norms import BatchNorm, Norm

ROW, COLUMN = (1, 7), (7, 1)
HALF = MaxPool(stride=2, padding="valid")


def halving(depth: int) -> Conv:
    return Conv(depth, 3, stride=2, padding="valid")


def factorized(depth: int) -> Branches:
    """A 7x7 and two 7x7 as rows and columns (Fig. 6)."""
    return branches(
        (Conv(192),),
        (Conv(depth), Conv(depth, ROW), Conv(192, COLUMN)),
        (Conv(depth), Conv(depth, COLUMN), Conv(depth, ROW), Conv(depth, COLUMN), Conv(192, ROW)),
        (AvgPool(), Conv(192)),
    )


def expanded() -> Branches:
    """Branches that end in a row and a column side by side (Fig. 7)."""
    ends = branches((Conv(384, (1, 3)),), (Conv(384, (3, 1)),))
    return branches((Conv(320),), (Conv(384), ends), (Conv(448), Conv(384, 3), ends), (AvgPool(), Conv(192)))


TABLE: Table = {
    "Conv2d_1a_3x3": halving(32),
    "Conv2d_2a_3x3": Conv(32, 3, padding="valid"),
    "Conv2d_2b_3x3": Conv(64, 3),
    "MaxPool_3a_3x3": HALF,
    "Conv2d_3b_1x1": Conv(80),
    "Conv2d_4a_3x3": Conv(192, 3, padding="valid"),
    "MaxPool_5a_3x3": HALF,
    "Mixed_5b": mixed(64, square=(48, 64), double=(64, 96), pooled=32, kernel=5),
    "Mixed_5c": mixed(64, square=(48, 64), double=(64, 96), pooled=64, kernel=5),
    "Mixed_5d": mixed(64, square=(48, 64), double=(64, 96), pooled=64, kernel=5),
    "Mixed_6a": branches((halving(384),), (Conv(64), Conv(96, 3), halving(96)), (HALF,)),
    "Mixed_6b": factorized(128),
    "Mixed_6c": factorized(160),
    "Mixed_6d": factorized(160),
    "Mixed_6e": factorized(192),
    "Mixed_7a": branches(
        (Conv(192), halving(320)), (Conv(192), Conv(192, ROW), Conv(192, COLUMN), halving(192)), (HALF,)
    ),
    "Mixed_7b": expanded(),
    "Mixed_7c": expanded(),
}


@dataclass(frozen=True, kw_only=True)
class InceptionV3:
    """Mixed_5b, 5c, 5d (256, then 288 channels, nominal stride 8), 6a..6e (768, 16), 7a (1280), 7b, 7c (2048, 32).

    "VALID" padding loses borders: 299 px give 35, 17 and 8 cells, 600 px 72, 35 and 17; the smallest side is 75. Huang
    et al.'s Faster R-CNN taps Mixed_6e and crops 17x17, which the `tail` Mixed_7a..7c reduces to 8x8; their API's SSD
    taps 5d, 6e and 7c. Slim normalizes without gamma.
    """

    taps: tuple[str, ...] = ("Mixed_5d", "Mixed_6e", "Mixed_7c")
    tail: bool = False
    norm: Norm = BatchNorm(eps=1e-3, momentum=3e-4, scale=False)
    activation: Activation = Relu()
    width: float = 1.0

    def __post_init__(self) -> None:
        check_taps(self, TABLE)

    def build(self) -> InceptionNet:
        return InceptionNet(self, TABLE)
