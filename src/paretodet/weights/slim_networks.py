"""Where the layers of TF-slim's networks are in the backbones here: a part of ours for each scope of slim's."""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from paretodet.backbones.inception import InceptionNet
from paretodet.backbones.mobilenet_v1 import TAIL_AFTER, MobileNetV1Net
from paretodet.backbones.mobilenet_v2 import BODY, SCOPES, MobileNetV2Net
from paretodet.backbones.resnet import ResNetNet
from paretodet.backbones.vgg import VGG16Net


class SlimPlace(NamedTuple):
    """A part of a network, and the scopes of its layers, each with all scopes inside."""

    part: str
    scopes: tuple[str, ...]


Places = Iterator[SlimPlace]
PARTS_OF_RESNET = {"shortcut": "shortcut", "squeeze": "conv1", "spatial": "conv2", "expand": "conv3"}
REPEATED = {  # the end points of Inception-ResNet V2 that are not scopes of the same name
    "Block35": ("Repeat",), "Mixed_6a": ("Mixed_6a", "Repeat_1"), "Block8": ("Repeat_2", "Block8"),
    "Conv2d_7b": ("Conv2d_7b_1x1",),
}  # fmt: skip


def _mobilenet_v1(net: MobileNetV1Net) -> Places:
    yield SlimPlace("stem", ("Conv2d_0",))
    for index in range(len(net.body)):
        yield SlimPlace(f"body.{index}", tuple(f"Conv2d_{index + 1}_{kind}" for kind in ("depthwise", "pointwise")))
    for index in range(len(net.rest)):
        yield SlimPlace(f"rest.{index}", (f"Conv2d_{TAIL_AFTER + 1 + index}_pointwise",))


def _mobilenet_v2(net: MobileNetV2Net) -> Places:
    yield SlimPlace("stem", ("Conv",))
    for index, (scope, block) in enumerate(zip(SCOPES, net.blocks, strict=False)):
        for part, _ in block.named_children():
            yield SlimPlace(f"blocks.{index}.{part}", (f"{scope}/{part}",))
    if net.last is not None:
        yield SlimPlace("last", ("Conv_1",))


def _inception(net: InceptionNet) -> Places:
    for name, layer in net.layers.items():
        if any(True for _ in layer.parameters()):
            yield SlimPlace(f"layers.{name}", REPEATED.get(name, (name,)) if "Block35" in net.layers else (name,))


def _resnet(net: ResNetNet) -> Places:
    yield SlimPlace("stem", ("conv1",))
    numbers = iter(_numbers(net))
    for part in ("blocks", "block4"):
        for index, unit in enumerate(getattr(net, part, ())):
            scope = next(numbers)
            for name, leaf in PARTS_OF_RESNET.items():
                if getattr(unit, name) is not None:
                    yield SlimPlace(f"{part}.{index}.{name}", (f"{scope}/bottleneck_v1/{leaf}",))


def _numbers(net: ResNetNet) -> Iterator[str]:
    """Slim's names of the units: each block begins with a unit that has a projection."""
    block = number = 0
    for unit in [*net.blocks, *getattr(net, "block4", ())]:
        block, number = (block + 1, 1) if unit.shortcut is not None else (block, number + 1)
        yield f"block{block}/unit_{number}"


def _vgg16(net: VGG16Net) -> Places:
    for index in range(len(net.blocks)):
        yield SlimPlace(f"blocks.{index}", (f"conv{index + 1}",))
    for name in ("fc6", "fc7"):
        if hasattr(net, name):
            yield SlimPlace(name, (name,))


class SlimNetwork(NamedTuple):
    """A network of slim: ours, and the name and channels of the layer that tells its width."""

    kind: type
    places: Callable[[Any], Places]
    layer: str
    channels: int


NETWORKS = {  # by the root of its scopes
    "MobilenetV1": SlimNetwork(MobileNetV1Net, _mobilenet_v1, "Conv2d_0", 32),
    # The channels of other layers are rounded, and Conv_1 is not narrowed in classifiers.
    "MobilenetV2": SlimNetwork(MobileNetV2Net, _mobilenet_v2, "expanded_conv_16/project", BODY[-1][1]),
    "InceptionV2": SlimNetwork(InceptionNet, _inception, "Conv2d_1a_7x7", 64),
    "InceptionV3": SlimNetwork(InceptionNet, _inception, "Conv2d_1a_3x3", 32),
    "InceptionResnetV2": SlimNetwork(InceptionNet, _inception, "Conv2d_1a_3x3", 32),
    "resnet_v1_50": SlimNetwork(ResNetNet, _resnet, "conv1", 64),
    "resnet_v1_101": SlimNetwork(ResNetNet, _resnet, "conv1", 64),
    "resnet_v1_152": SlimNetwork(ResNetNet, _resnet, "conv1", 64),
    "vgg_16": SlimNetwork(VGG16Net, _vgg16, "conv1/conv1_1", 64),
}
ROOT = re.compile(rf"({'|'.join(NETWORKS)})/")
