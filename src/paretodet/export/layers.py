"""The first layer of an artifact whose output differs from the detector's in eager PyTorch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from paretodet.errors import InputError
from paretodet.types import Images

KINDS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
GROUP = 16  # layers whose outputs are kept at once

Layer = tuple[str, int]  # the path of a module, and how often it was called before
Activation = Callable[[np.ndarray], np.ndarray]
Hook = Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]


def no_activation(values: np.ndarray) -> np.ndarray:
    return values


class Shown(NamedTuple):
    """The output of a layer of an artifact, after an activation that may be fused into the layer."""

    layer: Layer
    values: np.ndarray
    activation: Activation = no_activation


class Show(Protocol):
    """Gives the outputs of some layers of an artifact; `calls` are all layers in the order in which they are called."""

    def __call__(self, layers: Sequence[Layer], *, calls: Sequence[Layer]) -> Iterable[Shown]: ...


class Divergence(NamedTuple):
    """A layer whose output differs, and by how much: the largest difference as a share of the largest value."""

    layer: str
    error: float


def first_divergence(module: nn.Module, images: Images, show: Show, *, bound: float) -> Divergence | None:
    """The first convolution or fully connected layer of `module` whose output differs by more than `bound`.

    `show` gives those of the artifact on the same images. A few layers are compared at a time, in the order in which
    the module calls them. None if no layer differs. Raises InputError if the artifact shows none of them.
    """
    calls, compared = _calls(module, images), 0
    for start in range(0, len(calls), GROUP):
        group = calls[start : start + GROUP]
        wanted = _outputs(module, images, group)
        for layer, found, activation in show(group, calls=calls):
            error = _difference(activation(wanted[layer]), found, images=len(images.pixels))
            if not error <= bound:
                return Divergence(_named(layer), error)
            compared += 1
    if not compared:
        raise InputError("the artifact shows none of its layers", "export-failed")
    return None


def _named(layer: Layer) -> str:
    name, call = layer
    return f"{name} (call {call + 1})" if call else name


def _difference(wanted: np.ndarray, found: np.ndarray, *, images: int) -> float:
    """Rows of regions, which may be in another order, are compared by rank."""
    if wanted.shape != found.shape:
        return float("inf")
    if wanted.ndim == 3 or len(wanted) != images:
        axis = 1 if wanted.ndim == 3 else 0
        wanted, found = np.sort(wanted, axis=axis), np.sort(found, axis=axis)
    return float(np.abs(wanted - found).max(initial=0.0) / max(float(np.abs(wanted).max(initial=0.0)), 1e-12))


def _calls(module: nn.Module, images: Images) -> list[Layer]:
    """Every call of a layer, in order."""
    calls = list[Layer]()
    _run(module, images, lambda layer, output: calls.append(layer))
    return calls


def _outputs(module: nn.Module, images: Images, layers: Sequence[Layer]) -> dict[Layer, np.ndarray]:
    found, wanted = dict[Layer, np.ndarray](), set(layers)

    def keep(layer: Layer, output: Tensor) -> None:
        if layer in wanted:
            found[layer] = output.float().contiguous().numpy()

    _run(module, images, keep)
    return found


@torch.inference_mode()
def _run(module: nn.Module, images: Images, listen: Callable[[Layer, Tensor], None]) -> None:
    """Calls the module; `listen` receives every call of a layer with its output."""
    handles = [part.register_forward_hook(_hook(name, listen)) for name, part in _layers(module)]
    try:
        module(images)
    finally:
        for handle in handles:
            handle.remove()


def _layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((name, part) for name, part in module.named_modules() if isinstance(part, KINDS))


def _hook(name: str, listen: Callable[[Layer, Tensor], None]) -> Hook:
    count = 0

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal count
        listen((name, count), output)
        count += 1

    return hook
