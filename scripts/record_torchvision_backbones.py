"""Writes `tests/backbones/golden/<case>.npz`: outputs of torchvision's ResNets and timm's MobileNet for random weights.

    python scripts/record_torchvision_backbones.py [CASE ...]   # names of `CASES` [default: all]; torchvision, timm

Recorded with torchvision 0.28 and timm 1.0.31; every file has the versions. The weights are too large to store:
`random_weights.draw` makes them again, and they are copied layer by layer. torchvision has the stride in the 3x3
convolution; for Caffe's layout it is moved to the 1x1 before it. timm's MobileNet pads by one pixel on every side,
which equals SAME for odd sides; the second case uses timm's SAME padding.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paretodet.backbones.mobilenet_v1 import MobileNetV1
from paretodet.backbones.resnet import ResNet
from paretodet.layers.norms import BatchNorm
from random_weights import calibrated, draw, uniform

FOLDER = Path(__file__).resolve().parents[1] / "tests/backbones/golden"
SEED = 20151210
KEPT = 16  # every sixteenth channel is in the file


@dataclass(frozen=True, kw_only=True)
class Case:
    """A backbone of this project and another library's equivalent."""

    choice: ResNet | MobileNetV1
    theirs: Callable[["Case", Any], list[Tensor]]  # network of this project -> maps of the other with its weights
    size: tuple[int, int]  # height and width of the image, px
    same: bool = False  # timm pads as SAME


def torchvisions(case: Case, net: Any) -> list[Tensor]:
    """The recorded maps of torchvision's ResNet."""
    from torchvision.models import resnet

    choice: Any = case.choice
    dilated = [False, choice.output_stride < 16, choice.output_stride < 32]
    built = getattr(resnet, f"resnet{choice.depth}")(replace_stride_with_dilation=dilated).eval()
    layers = [built.layer1, built.layer2, built.layer3, built.layer4]
    copy(_resnet_pairs(net, built, [block for layer in layers for block in layer]))
    if choice.layout == "caffe":
        for first in (layer[0] for layer in layers[1:]):
            first.conv1.stride, first.conv2.stride = first.conv2.stride, (1, 1)
    maps, x = [], built.maxpool(built.relu(built.bn1(built.conv1(input_image(case)))))
    for layer in layers:
        x = layer(x)
        maps.append(x)
    return [maps[tap - 2] for tap in choice.taps]


def timms(case: Case, net: Any) -> list[Tensor]:
    """The recorded maps of timm's MobileNet."""
    import timm

    padding = {"pad_type": "same"} if case.same else {}
    built: Any = timm.create_model("mobilenetv1_100", bn_eps=1e-3, features_only=True, out_indices=(3, 4), **padding)
    blocks = [block for stage in built.blocks for block in stage]
    copy(_mobilenet_pairs(net, built, blocks))
    return list(built.eval()(input_image(case)))


def _resnet_pairs(net: Any, built: Any, blocks: list[Any]) -> Iterator[tuple[Any, Any, Any]]:
    yield net.stem, built.conv1, built.bn1
    for unit, block in zip((*net.blocks, *net.block4), blocks, strict=True):
        yield unit.squeeze, block.conv1, block.bn1
        yield unit.spatial, block.conv2, block.bn2
        yield unit.expand, block.conv3, block.bn3
        if unit.shortcut is not None:
            yield unit.shortcut, *block.downsample


def _mobilenet_pairs(net: Any, built: Any, blocks: list[Any]) -> Iterator[tuple[Any, Any, Any]]:
    yield net.stem, built.conv_stem, built.bn1
    for layer, block in zip(net.body, blocks, strict=True):
        yield layer.depthwise, block.conv_dw, block.bn1
        yield layer.pointwise, block.conv_pw, block.bn2


def copy(pairs: Iterator[tuple[Any, nn.Module, nn.Module]]) -> None:
    """Copy the weights of this project's layers into another library's convolutions and norms."""
    for brick, conv, norm in pairs:
        conv.load_state_dict(brick.conv.state_dict())
        norm.load_state_dict(brick.norm.state_dict())


def _resnet(depth: int, **fields: Any) -> Case:
    choice = ResNet(depth=depth, tail=False, norm=BatchNorm(eps=1e-5), **fields)
    return Case(choice=choice, theirs=torchvisions, size=(75, 107))


ALL = (2, 3, 4, 5)
CASES = {
    "resnet50-torchvision": _resnet(50, layout="torchvision", taps=ALL, output_stride=32),
    "resnet50-torchvision-s16": _resnet(50, layout="torchvision", taps=(5,), output_stride=16),
    "resnet50-torchvision-s8": _resnet(50, layout="torchvision", taps=(4, 5), output_stride=8),
    "resnet50-caffe": _resnet(50, layout="caffe", taps=ALL, output_stride=32),
    "resnet101-torchvision": _resnet(101, layout="torchvision", taps=ALL, output_stride=32),
    "resnet101-caffe": _resnet(101, layout="caffe", taps=(4, 5), output_stride=32),
    "mobilenet_v1-timm": Case(choice=MobileNetV1(), theirs=timms, size=(65, 97)),
    "mobilenet_v1-timm-same": Case(choice=MobileNetV1(), theirs=timms, size=(64, 108), same=True),
}


def input_image(case: Case) -> Tensor:
    """[1, 3, H, W] in -1..1"""
    return uniform((1, 3, *case.size), -1, 1, SEED)


def drawn(case: Case, gains: np.ndarray) -> Any:
    """This project's network with the recording's weights."""
    return draw(case.choice.build(), gains, SEED)


@torch.no_grad()
def record(name: str) -> None:
    case = CASES[name]
    fresh: Any = case.choice.build()
    net = drawn(case, gains := calibrated(fresh, lambda: fresh.trunk(input_image(case)), SEED))
    maps, ours = case.theirs(case, net), net.trunk(input_image(case))
    apart = max((a - b).abs().max().item() / b.abs().max().item() for a, b in zip(ours, maps, strict=True))
    print(f"{name}: {apart:.1e} of the largest magnitude apart")
    kept: dict[str, Any] = {f"map{i}": values[:, ::KEPT].numpy() for i, values in enumerate(maps)}
    made_with = np.array([f"{package} {version(package)}" for package in ("torch", "torchvision", "timm")])
    np.savez_compressed(FOLDER / f"{name}.npz", gains=gains, made_with=made_with, **kept)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for case in sys.argv[1:] or CASES:
        record(case)
