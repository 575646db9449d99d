"""Read and write darknet's `.weights` files of YOLO v2, v3 and v3-tiny, and of the Darknet-19 and Darknet-53 backbones.

A file holds the convolutions in the order of the cfg: biases; scales, means and variances if there is a norm; weights
[out, in / groups, k, k]. It does not name its network, so the number of floats must be exactly right.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from paretodet.backbones.darknet19 import Darknet19Net
from paretodet.backbones.darknet53 import Darknet53Net
from paretodet.backbones.darknet_tiny import DarknetTinyNet
from paretodet.darknet_file import DarknetFile, DarknetFileError, Header, write
from paretodet.detectors.detector import Detector
from paretodet.errors import InputError
from paretodet.necks.passthrough import Passthrough
from paretodet.necks.top_down import TopDown

BACKBONES = (Darknet19Net, Darknet53Net, DarknetTinyNet)
CLASSIFIER = 1024 * 1000 + 1000  # the last layer of darknet19.weights and darknet53.weights, over ImageNet's classes


class WeightTensor(NamedTuple):
    """A tensor of the file and its name in the state dict."""

    name: str
    tensor: Tensor


def load(module: nn.Module, path: Path) -> None:
    """Load a `.weights` file into a detector or a backbone. Raises as `read`."""
    state = module.state_dict()
    for name, values in read(module, path):
        state[name].copy_(values)


def read(module: nn.Module, path: Path) -> Iterator[WeightTensor]:
    """The tensors of a `.weights` file by their names in a detector or a backbone.

    The last layer of a classifier is ignored. Raises DarknetFileError, with the expected and the actual number of
    floats, if the file has another length, and if it contains a value that is not finite or a negative variance;
    ValueError for a network that darknet does not have.
    """
    parts = tuple(_parts(module))
    needed = sum(part.tensor.numel() for part in parts)
    with DarknetFile.open(path) as file:
        if not (isinstance(module, BACKBONES) and file.remaining == needed + CLASSIFIER):
            file.expect(needed)
        for name, tensor in parts:
            yield WeightTensor(name, _checked(file.take(tensor.shape, name), name, path))


def save(module: nn.Module, path: Path, header: Header | None = None) -> None:
    """Write a detector or a backbone as darknet does. Raises ValueError for a network that darknet does not have."""
    write(path, header or Header(), (part.tensor for part in tuple(_parts(module))))


def _checked(values: Tensor, name: str, path: Path) -> Tensor:
    if values.numel() and not all(bound.isfinite() for bound in values.aminmax()):
        raise DarknetFileError(f"{path}: {name} has values that are not finite", "weights-not-finite")
    if name.endswith("running_var") and (values < 0).any():
        raise DarknetFileError(f"{path}: {name} has negative values", "weights-not-finite")
    return values


def _parts(module: nn.Module) -> Iterator[WeightTensor]:
    """All tensors in the order of the file."""
    modules = dict(module.named_modules())
    names = {each: name for name, each in modules.items()}
    for block in _blocks(module):
        for conv in (each for each in block.modules() if isinstance(each, nn.Conv2d)):
            brick = names[conv].removesuffix("conv")
            yield from _convolution(names[conv], conv, f"{brick}norm", modules.get(f"{brick}norm"))


def _convolution(name: str, conv: nn.Conv2d, norm_name: str, norm: nn.Module | None) -> Iterator[WeightTensor]:
    if isinstance(norm, nn.Identity):
        raise InputError(
            f"{norm_name}: folded into its convolution; save the network before fold_norms", "export-failed"
        )
    owner, of = (conv, name) if norm is None else (norm, norm_name)
    for field in ("bias",) if norm is None else ("bias", "weight", "running_mean", "running_var"):
        yield WeightTensor(f"{of}.{field}", getattr(owner, field))
    yield WeightTensor(f"{name}.weight", conv.weight)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The parts of a network in the order of the cfg: v3's heads are between the levels of its neck."""
    if isinstance(module, BACKBONES):
        yield module
    elif isinstance(module, Detector) and isinstance(module.backbone, BACKBONES):
        yield module.backbone
        yield from _neck_and_head(module)
    else:
        what = module.spec.name if isinstance(module, Detector) else type(module).__name__
        raise InputError(
            f"{what}: a .weights file can hold YOLO v2, v3 and v3-tiny, Darknet-19 and Darknet-53 only", "export-failed"
        )


def _neck_and_head(detector: Detector) -> Iterator[nn.Module]:
    neck: Any = detector.neck
    head: Any = detector.heads[0]
    if isinstance(detector.spec.neck, Passthrough):
        yield from (neck, head)
    elif isinstance(detector.spec.neck, TopDown):
        routes = [nn.Identity(), *neck.routes]
        for parts in zip(routes, neck.levels, head.layers, strict=True):
            yield from parts
