"""Random weights from a seed, so that golden files need not contain them; every map has about unit scale."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def uniform(shape: tuple[int, ...], low: float, high: float, seed: int) -> Tensor:
    """float32 in low..high, the same on every machine."""
    return torch.from_numpy(np.random.default_rng(seed).random(shape, np.float32)).mul_(high - low).add_(low)


@torch.no_grad()
def draw(net: nn.Module, gains: np.ndarray, seed: int) -> nn.Module:
    """Fill convolutions and batch norms in the order of the modules, and return the network in evaluation mode.

    `gains` is the standard deviation of every norm's input; the norm's random statistics are scaled by it.
    """
    noise, left = np.random.default_rng(seed), iter(gains.tolist())

    def fill(tensor: Tensor | None, low: float, high: float) -> None:
        if tensor is not None:
            values_01 = noise.random(tuple(tensor.shape), np.float32)
            tensor.copy_(torch.from_numpy(values_01).mul_(high - low).add_(low))

    for part in net.modules():
        if isinstance(part, nn.Conv2d):
            bound = (3 / part.weight[0].numel()) ** 0.5
            fill(part.weight, -bound, bound)
            fill(part.bias, -0.5, 0.5)
        elif isinstance(part, nn.BatchNorm2d):
            norm: Any = part
            for tensor, low, high in zip(values(norm), (0.5, -0.5, -0.5, 0.5), (1.5, 0.5, 0.5, 1.5), strict=True):
                fill(tensor, low, high)
            _stretch(norm, next(left))
    return net.eval()


@torch.no_grad()
def calibrated(net: nn.Module, run: Callable[[], object], seed: int) -> np.ndarray:
    """The gain of every norm, measured while `run` runs the network; each depends on those before it."""
    norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
    draw(net, np.ones(len(norms), np.float32), seed)
    gains = {}

    def measure(norm: Any, inputs: tuple[Tensor, ...]) -> None:
        gains[norm] = inputs[0].std().item()
        _stretch(norm, gains[norm])

    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    run()
    for hook in hooks:
        hook.remove()
    return np.array([gains[norm] for norm in norms], np.float32)


def values(norm: Any) -> tuple[Tensor | None, ...]:
    """Gamma (None if the norm has none), beta, mean and variance."""
    return norm.weight, norm.bias, norm.running_mean, norm.running_var


def _stretch(norm: Any, gain: float) -> None:
    norm.running_mean *= gain
    norm.running_var *= gain**2
