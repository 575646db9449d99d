"""What Inception V2 and V3 share: their module, and a network built from a table of named steps."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from paretodet.layers.activations import Activation
from paretodet.layers.branches import AvgPool, Branches, Conv, ConvStyle, LayerSpec, branches
from paretodet.layers.init import he_
from paretodet.layers.norms import Norm
from paretodet.layers.width import check_width
from paretodet.types import FeatureInfo

Table = Mapping[str, LayerSpec]  # TF-slim's name of an end point -> the layers that compute it


class InceptionSpec(Protocol):
    """The fields that the specs of both networks have."""

    @property
    def taps(self) -> tuple[str, ...]: ...
    @property
    def tail(self) -> bool: ...
    @property
    def norm(self) -> Norm: ...
    @property
    def activation(self) -> Activation: ...
    @property
    def width(self) -> float: ...


def mixed(
    one: int,
    *,
    square: tuple[int, int],
    double: tuple[int, int],
    pooled: int,
    kernel: int = 3,
    pool: LayerSpec | None = None,
) -> Branches:
    """1x1 | 1x1, `kernel` square | 1x1, 3x3, 3x3 | pooling, 1x1 (Szegedy et al. 2015, arXiv 1512.00567, Fig. 5)."""
    return branches(
        (Conv(one),),
        (Conv(square[0]), Conv(square[1], kernel)),
        (Conv(double[0]), Conv(double[1], 3), Conv(double[1], 3)),
        (pool or AvgPool(), Conv(pooled)),
    )


def check_taps(spec: InceptionSpec, table: Table) -> None:
    """Raises ValueError unless taps are `Mixed_*` end points in order, a tail is not empty, and the width is in
    range.
    """
    allowed = [name for name in table if name.startswith("Mixed_")]
    if not spec.taps or list(spec.taps) != [name for name in allowed if name in spec.taps]:
        raise ValueError(f"taps: got {spec.taps}, allowed some of {', '.join(allowed)} in this order")
    if spec.tail and spec.taps[-1] == allowed[-1]:
        raise ValueError(f"tail: got True, but nothing follows {allowed[-1]}")
    check_width(spec.width)


class InceptionNet(nn.Module):
    """The steps of `table` up to the last tap are the trunk; with `tail` those after it are the tail.

    The name of a layer does not depend on the taps: `layers.<end point>`, `Branch_<i>` and its position in the branch.
    The convolutions are in the order in which TF-slim creates its variables.
    """

    def __init__(self, spec: InceptionSpec, table: Table):
        super().__init__()
        names = tuple(table)
        cut = names.index(spec.taps[-1]) + 1
        self.taps, self.before, self.after = spec.taps, names[:cut], names[cut:] if spec.tail else ()
        style = ConvStyle(norm=spec.norm, activation=spec.activation, width=spec.width)
        self.layers = nn.ModuleDict()
        channels, stride, seen = 3, 1, {}
        for name in self.before + self.after:
            self.layers[name], channels = table[name].build(channels, style)
            stride *= table[name].stride
            seen[name] = channels, stride
        self.info = FeatureInfo(*zip(*(seen[tap] for tap in self.taps), strict=True))
        self.tail_channels = channels if spec.tail else 0
        he_(self)

    def trunk(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] -> the tapped maps."""
        maps, x = [], pixels
        for name in self.before:
            x = self.layers[name](x)
            if name in self.taps:
                maps.append(x)
        return tuple(maps)

    def tail(self, crops: Tensor) -> Tensor:
        """[R, C of the last tap, h, w] -> [R, tail_channels, h', w']"""
        for name in self.after:
            crops = self.layers[name](crops)
        return crops
