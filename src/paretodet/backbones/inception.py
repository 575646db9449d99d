"""What Inception V2 and V3 share: a module of theirs, and a table of named steps of which some maps are tapped."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from paretodet.layers.activations import Activation
from paretodet.layers.branches import AvgPool, Branches, Conv, ConvStyle, LayerSpec, branches
from paretodet.layers.init import he_
from paretodet.layers.norms import Norm
from paretodet.layers.width import check_width
from paretodet.types import FeatureInfo

Table = Mapping[str, LayerSpec]  # TF-slim's name of an end point -> what makes it


class Choice(Protocol):
    """The fields of either network's frozen choice."""

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


def check(choice: Choice, table: Table) -> None:
    """Raises ValueError for taps that are no rising `Mixed_*` end points, a tail of nothing, a width out of range."""
    allowed = [name for name in table if name.startswith("Mixed_")]
    if not choice.taps or list(choice.taps) != [name for name in allowed if name in choice.taps]:
        raise ValueError(f"taps: got {choice.taps}, allowed some of {', '.join(allowed)} in this order")
    if choice.tail and choice.taps[-1] == allowed[-1]:
        raise ValueError(f"tail: got True, but nothing follows {allowed[-1]}")
    check_width(choice.width)


class InceptionNet(nn.Module):
    """The steps of `table` up to the last tap as the trunk, and with `choice.tail` all after it as the tail.

    A layer's name is the same whatever is tapped: `layers.<end point>`, `Branch_<i>` and its place in the branch. The
    order of the convolutions is TF-slim's, in which it makes its variables and, `BatchNorm` aside, sorts their names.
    """

    def __init__(self, choice: Choice, table: Table):
        super().__init__()
        names = tuple(table)
        cut = names.index(choice.taps[-1]) + 1
        self.taps, self.before, self.after = choice.taps, names[:cut], names[cut:] if choice.tail else ()
        style = ConvStyle(norm=choice.norm, activation=choice.activation, width=choice.width)
        self.layers = nn.ModuleDict()
        channels, stride, seen = 3, 1, {}
        for name in self.before + self.after:
            self.layers[name], channels = table[name].build(channels, style)
            stride *= table[name].stride
            seen[name] = channels, stride
        self.info = FeatureInfo(*zip(*(seen[tap] for tap in self.taps), strict=True))
        self.tail_channels = channels if choice.tail else 0
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
