"""Darknet's `.weights` into and out of our YOLO v2, v3 and v3-tiny, and the Darknet-19 and Darknet-53 backbones.

A file is the convolutions in the order of the cfg: biases; scales, means and variances where it is normalized; weights
[out, in / groups, k, k]. Nothing in it tells which network it is of, so the number of floats must be exactly right.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from paretodet.backbones.darknet19 import Darknet19Net
from paretodet.backbones.darknet53 import Darknet53Net
from paretodet.backbones.darknet_tiny import DarknetTinyNet
from paretodet.darknet_file import DarknetFile, DarknetFileError, Header, write
from paretodet.detectors.detector import Detector
from paretodet.necks.passthrough import Passthrough
from paretodet.necks.top_down import TopDown

BACKBONES = (Darknet19Net, Darknet53Net, DarknetTinyNet)
CLASSIFIER = 1024 * 1000 + 1000  # the last layer of darknet19.weights and darknet53.weights, over ImageNet's classes


class WeightTensor(NamedTuple):
    """One tensor of the file, by its place in the network."""

    name: str
    tensor: Tensor


def load(module: nn.Module, path: Path) -> None:
    """Fill a detector or a backbone from a `.weights` file; a classifier's last layer is left out of a backbone.

    Raises DarknetFileError where the file is of another length, telling floats expected and found, or holds a value
    that is not finite or a negative variance; ValueError for a network that darknet has not.
    """
    parts = tuple(_parts(module))
    needed = sum(part.tensor.numel() for part in parts)
    with DarknetFile.open(path) as file, torch.no_grad():
        if not (isinstance(module, BACKBONES) and file.remaining == needed + CLASSIFIER):
            file.expect(needed)
        for name, tensor in parts:
            tensor.copy_(_sound(file.take(tensor.shape, name), name, path))


def save(module: nn.Module, path: Path, header: Header | None = None) -> None:
    """Write a detector or a backbone as darknet would. Raises ValueError for a network that darknet has not."""
    write(path, header or Header(), (part.tensor for part in tuple(_parts(module))))


def _sound(values: Tensor, name: str, path: Path) -> Tensor:
    if not values.isfinite().all():
        raise DarknetFileError(f"{path}: {name} has values that are not finite")
    if name.endswith("running_var") and (values < 0).any():
        raise DarknetFileError(f"{path}: {name} has negative values")
    return values


def _parts(module: nn.Module) -> Iterator[WeightTensor]:
    """Every tensor in the file's order, named as in the state dict."""
    modules = dict(module.named_modules())
    names = {each: name for name, each in modules.items()}
    for block in _blocks(module):
        for conv in (each for each in block.modules() if isinstance(each, nn.Conv2d)):
            brick = names[conv].removesuffix("conv")
            yield from _convolution(names[conv], conv, f"{brick}norm", modules.get(f"{brick}norm"))


def _convolution(name: str, conv: nn.Conv2d, norm_name: str, norm: nn.Module | None) -> Iterator[WeightTensor]:
    if isinstance(norm, nn.Identity):
        raise ValueError(f"{norm_name}: folded away; a .weights file needs the network as it was built")
    owner, of = (conv, name) if norm is None else (norm, norm_name)
    for field in ("bias",) if norm is None else ("bias", "weight", "running_mean", "running_var"):
        yield WeightTensor(f"{of}.{field}", getattr(owner, field))
    yield WeightTensor(f"{name}.weight", conv.weight)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The parts of a network in the cfg's order: v3's heads stand between the levels of its neck."""
    if isinstance(module, BACKBONES):
        yield module
    elif isinstance(module, Detector) and isinstance(module.backbone, BACKBONES):
        yield module.backbone
        yield from _neck_and_head(module)
    else:
        what = module.spec.name if isinstance(module, Detector) else type(module).__name__
        raise ValueError(f"{what}: darknet's .weights hold YOLO v2, v3 and v3-tiny, Darknet-19 and Darknet-53 only")


def _neck_and_head(detector: Detector) -> Iterator[nn.Module]:
    neck: Any = detector.neck
    head: Any = detector.heads[0]
    if isinstance(detector.spec.neck, Passthrough):
        yield from (neck, head)
    elif isinstance(detector.spec.neck, TopDown):
        routes = [nn.Identity(), *neck.routes]
        for parts in zip(routes, neck.levels, head.layers, strict=True):
            yield from parts
