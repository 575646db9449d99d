"""The layers of darknet in its v2, v3 and v4 era: read from a section with every shape checked, then built.

A layer is frozen data with `read(section, inputs)`, the output's `shape`, the number of `floats` it stores in a weights
file, and `build()`. Reading allocates nothing for the sizes that a section states.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from torch import nn

from paretodet.layers.reorg import Reorg as ReorgModule
from paretodet.sources.darknet_modules import (
    ACTIVATIONS,
    DarknetMaxPool,
    DarknetSoftmax,
    Product,
    Route,
    Shortcut,
    Upsample,
)
from paretodet.sources.darknet_text import CfgSection

SIDE = 2**14  # px, the longest side of a map
CHANNELS = 2**16
POINTS = ("center", "left_top", "right_bottom")  # of a box, that a Gaussian head locates
TRAINING = ("stopbackward", "learning_rate", "train_only_bn", "burnin_update")  # say nothing of inference


class MapShape(NamedTuple):
    """Of one image's map."""

    channels: int
    height: int
    width: int

    @property
    def values(self) -> int:
        return math.prod(self)


class Layer(Protocol):
    """`shape` is the output's."""

    @property
    def shape(self) -> MapShape: ...

    @property
    def floats(self) -> int: ...

    def build(self) -> nn.Module: ...


Fitting = TypeVar("Fitting", bound=Layer)


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """Convolution, norm if any, activation."""

    source: MapShape
    filters: int
    size: int
    stride: int
    padding: int  # on each side, at dilation 1; it grows with the dilation
    dilation: int
    groups: int
    normalized: bool
    activation: str

    @classmethod
    def read(cls, section: CfgSection, inputs: Sequence[MapShape]) -> "Convolution":
        """`pad=1` pads half the size; `padding` counts where it is absent. A kernel of one pixel has no dilation."""
        known = ("filters", "size", "stride", "pad", "padding", "groups", "batch_normalize", "activation")
        off = ("binary", "xnor", "antialiasing", "share_index", "dontload", "dontloadscales", "flipped")
        section.only((*known, *off, *TRAINING, "dilation"))
        section.never(*off)
        dilation = section.integer("dilation", 1, low=1, high=255)
        size = section.integer("size", 1, low=1, high=255)
        padding = section.integer("padding", 0, low=0, high=255)
        layer = cls(
            source=inputs[0],
            filters=section.integer("filters", 1, low=1, high=CHANNELS),
            size=size,
            stride=section.integer("stride", 1, low=1, high=255),
            padding=size // 2 if section.integer("pad", 0, low=0, high=1) else padding,
            dilation=dilation if size > 1 else 1,
            groups=section.integer("groups", 1, low=1, high=CHANNELS),
            normalized=bool(section.integer("batch_normalize", 0, low=0, high=1)),
            activation=section.choice("activation", "logistic", tuple(ACTIVATIONS)),
        )
        if layer.source.channels % layer.groups or layer.filters % layer.groups:
            channels = f"{layer.source.channels} channels and {layer.filters} filters"
            raise section.error("groups", f"got {layer.groups}, it must divide {channels}")
        if layer.dilation > 1 and 2 * layer.padding + 1 != size:
            raise section.error("dilation", f"got {dilation}, which needs an odd size and padding of half of it")
        return _fitting(section, layer)

    @property
    def shape(self) -> MapShape:
        reach = 2 * self.padding - self.size
        height, width = ((side + reach) // self.stride + 1 for side in self.source[1:])
        return MapShape(self.filters, height, width)

    @property
    def kernel(self) -> tuple[int, int, int, int]:
        """The weights' shape, in memory and in a weights file."""
        return self.filters, self.source.channels // self.groups, self.size, self.size

    @property
    def floats(self) -> int:
        return math.prod(self.kernel) + self.filters * (4 if self.normalized else 1)

    def build(self) -> nn.Module:
        """Names as everywhere in this package, so that norms can be folded."""
        conv = nn.Conv2d(
            self.source.channels,
            self.filters,
            self.size,
            self.stride,
            self.padding * self.dilation,
            self.dilation,
            groups=self.groups,
            bias=not self.normalized,
        )
        norm = nn.BatchNorm2d(self.filters, momentum=0.01) if self.normalized else nn.Identity()
        return nn.Sequential(OrderedDict(conv=conv, norm=norm, activation=ACTIVATIONS[self.activation]()))


@dataclass(frozen=True, kw_only=True)
class BatchNormalization:
    """A norm that is a layer of its own: bias, scale, mean and variance of every channel."""

    shape: MapShape

    @classmethod
    def read(cls, section: CfgSection, inputs: Sequence[MapShape]) -> "BatchNormalization":
        section.only(TRAINING)
        return cls(shape=inputs[0])

    @property
    def floats(self) -> int:
        return 4 * self.shape.channels

    def build(self) -> nn.Module:
        return nn.BatchNorm2d(self.shape.channels, momentum=0.01)


@dataclass(frozen=True, kw_only=True)
class Still:
    """A layer that changes at most the values or the shape, by a module without weights."""

    shape: MapShape
    module: nn.Module
    floats: int = 0

    def build(self) -> nn.Module:
        return self.module


@dataclass(frozen=True, kw_only=True)
class DarknetHead:
    """Where boxes are read: `region` (YOLO v2) or `yolo` (v3). Its map is the last convolution's, unchanged.

    Priors are (width, height) in px of the canvas, or in cells where `in_cells`; `scale` is `CellCoder`'s. `activated`:
    the layer before has the sigmoids, and sizes are squares (`new_coords`). `uncertain`: every coordinate has its
    uncertainty behind it (Choi et al. 2019, "Gaussian YOLOv3"), and `point` of the box is located.
    """

    shape: MapShape
    priors: tuple[tuple[float, float], ...]
    classes: int
    in_cells: bool = False
    softmax: bool = False
    scale: float = 1.0
    activated: bool = False
    uncertain: bool = False
    point: str = POINTS[0]
    floats: int = 0

    @property
    def width(self) -> int:
        """Numbers of one box."""
        return (9 if self.uncertain else 5) + self.classes

    def build(self) -> nn.Module:
        return nn.Identity()


def maxpool(section: CfgSection, inputs: Sequence[MapShape]) -> Layer:
    off = ("antialiasing", "maxpool_depth", "out_channels")
    section.only(("size", "stride", "padding", *off, *TRAINING))
    section.never(*off)
    stride = section.integer("stride", 1, low=1, high=255)
    size = section.integer("size", stride, low=1, high=255)
    padding = section.integer("padding", size - 1, low=0, high=2 * size - 2)  # more: a window with nothing inside
    module = DarknetMaxPool(size, stride, padding)
    height, width = (module.reached(side) for side in inputs[0][1:])
    return _fitting(section, Still(shape=MapShape(inputs[0].channels, height, width), module=module))


def avgpool(section: CfgSection, inputs: Sequence[MapShape]) -> Layer:
    section.only(TRAINING)
    return Still(shape=MapShape(inputs[0].channels, 1, 1), module=nn.AdaptiveAvgPool2d(1))


def route(section: CfgSection, inputs: Sequence[MapShape]) -> Layer:
    section.only(("layers", "groups", "group_id", *TRAINING))
    groups = section.integer("groups", 1, low=1, high=CHANNELS)
    group = section.integer("group_id", 0, low=0, high=groups - 1)
    if len({shape[1:] for shape in inputs}) > 1:
        sides = ", ".join(f"{height}x{width}" for _, height, width in inputs)
        raise section.error("layers", f"got maps of {sides}, maps that are joined must be of one size")
    if any(shape.channels % groups for shape in inputs):
        raise section.error("groups", f"got {groups}, it must divide the channels of every layer of the route")
    channels = sum(shape.channels // groups for shape in inputs)
    return _fitting(section, Still(shape=inputs[0]._replace(channels=channels), module=Route(groups, group)))


def shortcut(section: CfgSection, inputs: Sequence[MapShape]) -> Layer:
    section.only(("from", "activation", "weights_type", "weights_normalization", *TRAINING))
    section.choice("weights_type", "none", ("none",))
    activation = section.choice("activation", "linear", tuple(ACTIVATIONS))
    target = inputs[0]
    for shape in inputs[1:]:
        step = max(shape.height // target.height, 1)
        if (target.height * step, target.width * step) != shape[1:]:
            sides = f"{shape.height}x{shape.width} to {target.height}x{target.width}"
            raise section.error("from", f"would add {sides}, the map added must be of the same size or a multiple")
    return Still(shape=target, module=Shortcut(activation))


def scale_channels(section: CfgSection, inputs: Sequence[MapShape]) -> Layer:
    """A map times one number a channel, or a place (`scale_wh`): those of the layer before."""
    section.only(("from", "scale_wh", "activation", *TRAINING))
    factors, target = inputs[0], _one_other(section, inputs)
    by_place = bool(section.integer("scale_wh", 0, low=0, high=1))
    needed = MapShape(1, *target[1:]) if by_place else MapShape(target.channels, 1, 1)
    return _product(section, factors, target, needed)


def sam(section: CfgSection, inputs: Sequence[MapShape]) -> Layer:
    """Two maps of one shape, multiplied (Woo et al. 2018, spatial attention, here at every value)."""
    section.only(("from", "activation", *TRAINING))
    target = _one_other(section, inputs)
    return _product(section, inputs[0], target, target)


def _one_other(section: CfgSection, inputs: Sequence[MapShape]) -> MapShape:
    if len(inputs) != 2:
        raise section.error("from", f"names {len(inputs) - 1} layers, one is needed")
    return inputs[1]


def _product(section: CfgSection, factors: MapShape, target: MapShape, needed: MapShape) -> Layer:
    if factors != needed:
        shapes = ("x".join(map(str, shape)) for shape in (factors, target, needed))
        raise section.error(
            "from", "would multiply {1} by {0} (channels x height x width), needed is {2}".format(*shapes)
        )
    known = tuple(name for name in ACTIVATIONS if name not in ("swish", "mish"))  # darknet has neither here
    return Still(shape=target, module=Product(section.choice("activation", "linear", known)))


def reorg(section: CfgSection, inputs: Sequence[MapShape]) -> Layer:
    off = ("reverse", "flatten", "extra")
    section.only(("stride", *off, *TRAINING))
    section.never(*off)
    stride = section.integer("stride", 1, low=1, high=255)
    channels, height, width = inputs[0]
    if channels % stride**2 or height % stride or width % stride:
        sizes = f"the channels ({channels}) twice and the sides ({height}x{width}) once"
        raise section.error("stride", f"got {stride}, it must divide {sizes}")
    shape = MapShape(channels * stride**2, height // stride, width // stride)
    return _fitting(section, Still(shape=shape, module=ReorgModule(stride)))


def upsample(section: CfgSection, inputs: Sequence[MapShape]) -> Layer:
    section.only(("stride", "scale", *TRAINING))
    stride = section.integer("stride", 2, low=1, high=255)
    scale = section.number("scale", 1.0, low=-1e6, high=1e6)
    channels, height, width = inputs[0]
    return _fitting(
        section, Still(shape=MapShape(channels, height * stride, width * stride), module=Upsample(stride, scale))
    )


def dropout(section: CfgSection, inputs: Sequence[MapShape]) -> Layer:
    section.only(("probability", "dropblock", *TRAINING))
    return Still(shape=inputs[0], module=nn.Identity())


def softmax(section: CfgSection, inputs: Sequence[MapShape]) -> Layer:
    section.only(("groups", "temperature", "spatial", "noloss", "tree", *TRAINING))
    section.never("spatial", "tree")
    groups = section.integer("groups", 1, low=1, high=CHANNELS)
    temperature = section.number("temperature", 1.0, low=1e-3, high=1e3)
    if inputs[0].values % groups:
        raise section.error("groups", f"got {groups}, it must divide the {inputs[0].values} values of the layer before")
    return Still(shape=inputs[0], module=DarknetSoftmax(groups, temperature))


def region(section: CfgSection, inputs: Sequence[MapShape]) -> Layer:
    section.never("tree", "map", "softmax_tree", "background")
    section.integer("coords", 4, low=4, high=4)
    priors = _priors(section, section.integer("num", 1, low=1, high=1000))
    softmax = bool(section.integer("softmax", 0, low=0, high=1))
    return _head(section, inputs[0], priors, in_cells=True, softmax=softmax)


def yolo(section: CfgSection, inputs: Sequence[MapShape]) -> Layer:
    activated = bool(section.integer("new_coords", 0, low=0, high=1))
    return _yolo(section, inputs[0], activated=activated)


def gaussian_yolo(section: CfgSection, inputs: Sequence[MapShape]) -> Layer:
    point = section.choice("yolo_point", POINTS[0], POINTS)
    return _yolo(section, inputs[0], uncertain=True, point=point)


def _yolo(section: CfgSection, shape: MapShape, **about: Any) -> DarknetHead:
    count = section.integer("num", 1, low=1, high=1000)
    priors = _priors(section, count)
    mask = section.integers("mask", low=0, high=count - 1) or tuple(range(count))
    scale = section.number("scale_x_y", 1.0, low=1e-3, high=10)
    return _head(section, shape, tuple(priors[index] for index in mask), scale=scale, **about)


Reader = Callable[[CfgSection, Sequence[MapShape]], Layer]
LAYERS: dict[str, Reader] = {
    "convolutional": Convolution.read,
    "conv": Convolution.read,
    "maxpool": maxpool,
    "max": maxpool,
    "avgpool": avgpool,
    "avg": avgpool,
    "route": route,
    "shortcut": shortcut,
    "reorg": reorg,
    "upsample": upsample,
    "dropout": dropout,
    "softmax": softmax,
    "soft": softmax,
    "batchnorm": BatchNormalization.read,
    "scale_channels": scale_channels,
    "sam": sam,
    "region": region,
    "yolo": yolo,
    "Gaussian_yolo": gaussian_yolo,
}
HEADS = ("region", "yolo", "Gaussian_yolo", "detection")  # the last of YOLO's first version, which is not read


def _fitting(section: CfgSection, layer: Fitting) -> Fitting:
    """The layer, if its output can exist."""
    channels, height, width = layer.shape
    if not (0 < channels <= CHANNELS and 0 < height <= SIDE and 0 < width <= SIDE):
        limits = f"channels 1..{CHANNELS}, sides 1..{SIDE}"
        raise section.error("size", f"the output would be {channels}x{height}x{width}, it must have {limits}")
    return layer


def _priors(section: CfgSection, count: int) -> tuple[tuple[float, float], ...]:
    sides = section.numbers("anchors", low=1e-3, high=1e5)
    if len(sides) < 2 * count:
        raise section.error("anchors", f"got {len(sides)} numbers, num={count} needs {2 * count}")
    return tuple((sides[2 * index], sides[2 * index + 1]) for index in range(count))


def _head(section: CfgSection, shape: MapShape, priors: tuple[tuple[float, float], ...], **about: Any) -> DarknetHead:
    classes = section.integer("classes", 20, low=1, high=CHANNELS)
    head = DarknetHead(shape=shape, priors=priors, classes=classes, **about)
    if shape.channels != len(priors) * head.width:
        needed = f"{len(priors)} anchors need {len(priors) * head.width} filters in the layer before"
        raise section.error("classes", f"got {classes}, with which {needed}, it has {shape.channels}")
    return head
