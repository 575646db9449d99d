"""Which optimizer, as data, and RMSProp as TensorFlow defines it.

Weight decay touches the weights of convolutions and fully connected layers only, as slim, Caffe2's Detectron and
darknet have it: never a bias, never a norm's gamma and beta.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

DECAYED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
RATE = "base_rate"  # key of a group: what its schedule multiplies


@dataclass(frozen=True, kw_only=True)
class Sgd:
    """v = momentum v + (g + decay w); w = w - rate v. Caffe multiplies by the rate inside v, which is the same while
    the rate stays. `bias_rate` multiplies the rate of biases of convolutions and fully connected layers (Caffe: 2).
    """

    rate: float
    momentum: float = 0.9
    decay: float = 0.0
    bias_rate: float = 1.0

    def __post_init__(self) -> None:
        check(self.rate, self.momentum, self.decay)

    def build(self, model: nn.Module) -> Optimizer:
        return torch.optim.SGD(groups(model, self.rate, self.decay, self.bias_rate), momentum=self.momentum)


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Adam with decoupled decay (Loshchilov and Hutter 2019, algorithm 2)."""

    rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    decay: float = 0.01

    def __post_init__(self) -> None:
        check(self.rate, max(self.betas), self.decay)

    def build(self, model: nn.Module) -> Optimizer:
        return torch.optim.AdamW(groups(model, self.rate, self.decay), betas=self.betas, eps=self.eps)


@dataclass(frozen=True, kw_only=True)
class RmsProp:
    """TensorFlow's RMSProp (`TensorFlowRmsProp`), which Huang et al.'s SSD trains with (section 3.6.3)."""

    rate: float
    smoothing: float = 0.9  # of the mean square; TensorFlow calls it decay
    momentum: float = 0.9
    eps: float = 1.0
    decay: float = 0.0

    def __post_init__(self) -> None:
        check(self.rate, max(self.smoothing, self.momentum), self.decay)
        if self.eps <= 0:
            raise ValueError(f"eps: got {self.eps}, allowed more than 0")

    def build(self, model: nn.Module) -> Optimizer:
        settings = {"smoothing": self.smoothing, "momentum": self.momentum, "eps": self.eps}
        return TensorFlowRmsProp(groups(model, self.rate, self.decay), **settings)


OptimizerSpec = Sgd | AdamW | RmsProp


class TensorFlowRmsProp(Optimizer):
    """ms = s ms + (1 - s) g^2; mom = m mom + rate g / sqrt(ms + eps); w = w - mom.

    Differs from `torch.optim.RMSprop` in three places: ms starts at 1, eps stands inside the root, and the rate
    enters before the momentum, so that a change of rate does not reach steps already taken.
    """

    def __init__(self, params: Iterable[Any], *, smoothing: float, momentum: float, eps: float, lr: float = 1e-3):
        defaults = {"lr": lr, "smoothing": smoothing, "momentum": momentum, "eps": eps, "weight_decay": 0.0}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)
        return loss

    def _update(self, weight: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["square"], state["momentum"] = torch.ones_like(weight), torch.zeros_like(weight)
        gradient = weight.grad.add(weight, alpha=group["weight_decay"])  # type: ignore[union-attr]
        state["square"].lerp_(gradient.square(), 1 - group["smoothing"])
        scaled = gradient * (state["square"] + group["eps"]).rsqrt()
        state["momentum"].mul_(group["momentum"]).add_(scaled, alpha=group["lr"])
        weight.sub_(state["momentum"])


def groups(model: nn.Module, rate: float, decay: float, bias_rate: float = 1.0) -> list[dict[str, Any]]:
    """Parameter groups: decayed weights, biases of the same layers, and everything else; frozen ones in none."""
    layers = [layer for layer in model.modules() if isinstance(layer, DECAYED)]
    weights = {id(layer.weight) for layer in layers}
    biases = {id(layer.bias) for layer in layers if layer.bias is not None}
    learned = [p for p in model.parameters() if p.requires_grad]
    sorted_out = (
        ([p for p in learned if id(p) in weights], rate, decay),
        ([p for p in learned if id(p) in biases], rate * bias_rate, 0.0),
        ([p for p in learned if id(p) not in weights | biases], rate, 0.0),
    )
    return [{"params": ps, "lr": r, RATE: r, "weight_decay": d} for ps, r, d in sorted_out if ps]


def set_rate(optimizer: Optimizer, factor: float) -> None:
    """Every group's rate becomes its base rate times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group[RATE] * factor


def check(rate: float, memory: float, decay: float) -> None:
    """Raises ValueError for a rate, a momentum or a decay that no training survives."""
    if not 0 < rate < float("inf"):
        raise ValueError(f"rate: got {rate}, allowed more than 0")
    if not 0 <= memory < 1:
        raise ValueError(f"momentum: got {memory}, allowed 0 up to but not 1")
    if not 0 <= decay < float("inf"):
        raise ValueError(f"decay: got {decay}, allowed 0 or more")
