"""TF-slim's layers in those of ours: kernels HWIO -> OIHW, norms with or without gamma, norms that were folded.

A layer is a scope of variables: `…/Conv2d_0` of `…/Conv2d_0/weights` and `…/Conv2d_0/BatchNorm/beta`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from paretodet.weights.folded import folded
from paretodet.weights.safe import WeightsError
from paretodet.weights.tensorflow_tensor import AVERAGE

KERNELS = ("weights", "Conv2D/merged_input")  # the second where a converter multiplied it by the norm
DEPTHWISE, POINTWISE = "depthwise_weights", "pointwise_weights"
FOLDED = "_bn_offset"  # at the end of a name: what fold_batch_norms of TensorFlow adds in place of a norm
OFFSETS = (
    "biases",
    *(f"{operation}{FOLDED}" for operation in ("convolution", "Conv2D", "depthwise", "separable_conv2d")),
    "BatchNorm/batchnorm/sub",
)
SCALE = "BatchNorm/batchnorm/mul"
NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
LEAVES = (*KERNELS, DEPTHWISE, POINTWISE, *OFFSETS, SCALE, *(f"BatchNorm/{leaf}" for leaf in NORM))
MOST_LAYERS = 2**13  # of a file: the deepest published networks have less than a thousand
VARIABLE = re.compile(rf"(.+?)/({'|'.join(LEAVES)})(/{AVERAGE})?")  # all else is no weight

Named = Iterator[tuple[str, Tensor]]
Layers = dict[str, dict[str, Tensor]]  # by scope, then by the name in it


def layers_of(tensors: Mapping[str, Tensor]) -> Layers:
    """The variables that are weights, by layer; the averages of weights in place of the last values.

    Slots of optimizers, counters and other constants of a graph are left out. Raises WeightsError if there are more
    layers than any network has.
    """
    found: Layers = {}
    for name in sorted(tensors, key=len):  # averages, with longer names, replace the values
        if match := VARIABLE.fullmatch(name):
            found.setdefault(match[1], {})[match[2]] = tensors[name]
    if len(found) > MOST_LAYERS:
        raise WeightsError(f"it has {len(found):,} layers, allowed {MOST_LAYERS:,}", "weights-shape")
    return found


def check_placed(names: Iterable[str]) -> None:
    """Raises WeightsError if one of these names, which have no place, is that of a norm that was folded."""
    if other := next((name for name in names if name.endswith(FOLDED)), None):
        message = f"its norms were folded into layers that are not known ({other}): import the graph before that step"
        raise WeightsError(message, "weights-shape")


def natural(scope: str) -> list[Any]:
    """A sort key: numbers by their value. Slim's layers then are in the order in which they are executed."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split(r"(\d+)", scope))]


def under(scopes: Iterable[str], root: str) -> list[str]:
    """The scope `root`, and all inside of it, in order."""
    return sorted((scope for scope in scopes if f"{scope}/".startswith(f"{root}/")), key=natural)


@dataclass(frozen=True)
class SlimLayer:
    """A layer of ours that is one of slim's: a convolution or linear layer, alone or with its norm, or a separable
    convolution.
    """

    name: str
    module: nn.Module

    def state(self, layer: dict[str, Tensor]) -> Named:
        """Its tensors from the variables of a layer, which are removed from `layer`."""
        parts = dict(self.module.named_children())
        if isinstance(self.module, nn.Conv2d | nn.Linear):
            yield from _linear(self.name, self.module, layer)
        elif isinstance(inner := parts.get("pointwise"), nn.Sequential):
            yield from _kernel(f"{self.name}.depthwise", parts["depthwise"], layer, (DEPTHWISE,))
            yield from _normed(f"{self.name}.pointwise", inner, layer, (POINTWISE,))
        else:
            yield from _normed(self.name, self.module, layer, (*KERNELS, DEPTHWISE))


def units(name: str, module: nn.Module) -> Iterator[SlimLayer]:
    """The layers of slim in a part of a network, in order."""
    parts = dict(module.named_children())
    separable = isinstance(parts.get("depthwise"), nn.Conv2d)
    if isinstance(module, nn.Conv2d | nn.Linear) or "conv" in parts or separable:
        yield SlimLayer(name, module)
    else:
        for child, part in parts.items():
            yield from units(f"{name}.{child}", part)


def _linear(name: str, part: nn.Module, layer: dict[str, Tensor]) -> Named:
    yield from _kernel(name, part, layer, (*KERNELS, DEPTHWISE))
    if (offset := _first(layer, OFFSETS)) is not None:
        yield f"{name}.bias", offset


def _normed(name: str, block: nn.Module, layer: dict[str, Tensor], kernels: Iterable[str]) -> Named:
    conv, norm = block.get_submodule("conv"), block.get_submodule("norm")
    yield from _kernel(f"{name}.conv", conv, layer, kernels)
    if isinstance(norm, nn.Identity):
        if (offset := _first(layer, OFFSETS)) is not None:
            yield f"{name}.conv.bias", offset
    else:
        values = _folded(norm, layer) or _statistics(layer)
        wanted = norm.state_dict()
        if "weight" in wanted and "bias" in values:
            values.setdefault("weight", torch.ones_like(values["bias"]))
        if "num_batches_tracked" in wanted:
            values["num_batches_tracked"] = torch.tensor(0)
        for key, value in values.items():
            yield f"{name}.norm.{key}", value


def _statistics(layer: dict[str, Tensor]) -> dict[str, Tensor]:
    return {ours: layer.pop(f"BatchNorm/{leaf}") for leaf, ours in NORM.items() if f"BatchNorm/{leaf}" in layer}


def _folded(norm: Any, layer: dict[str, Tensor]) -> dict[str, Tensor]:
    """The norm of mean 0 and variance 1 - eps that computes x * scale + offset; empty if the norm was not folded."""
    if (offset := _first(layer, OFFSETS)) is None:
        return {}
    scale = layer.pop(SCALE, None)
    return folded(offset, norm) | ({} if scale is None else {"weight": scale})


def _kernel(name: str, part: nn.Module, layer: dict[str, Tensor], names: Iterable[str]) -> Named:
    """[h, w, I, O] -> [O, I, h, w]; depthwise [h, w, C, m] -> [C * m, 1, h, w]; linear [I, O] or [h, w, I, O] ->
    [O, I * h * w].
    """
    for leaf in names:
        if leaf in layer:
            kernel = layer.pop(leaf)
            if kernel.dim() == 2:
                kernel = kernel[None, None]
            if kernel.dim() != 4:
                yield f"{name}.weight", kernel
            elif leaf == DEPTHWISE:
                yield f"{name}.weight", kernel.permute(2, 3, 0, 1).flatten(0, 1)[:, None]
            else:
                turned = kernel.permute(3, 2, 0, 1)
                yield f"{name}.weight", turned.flatten(1) if isinstance(part, nn.Linear) else turned


def _first(layer: dict[str, Tensor], names: Iterable[str]) -> Tensor | None:
    return next((layer.pop(name) for name in names if name in layer), None)
