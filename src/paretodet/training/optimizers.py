"""Optimizers as data, and RMSProp as TensorFlow defines it.

Weight decay applies to the weights of convolutions and fully connected layers only, as in slim, Detectron and darknet:
not to biases, and not to the gamma and beta of norms.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

DECAYED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
BASE_LR = "base_lr"  # key of a parameter group: the learning rate that the schedule multiplies


@dataclass(frozen=True, kw_only=True)
class Sgd:
    """v = momentum v + (g + weight_decay w); w = w - lr v. Caffe multiplies by lr inside v, which is equal while lr is
    constant. `bias_lr_factor` multiplies lr for the biases of convolutions and fully connected layers (Caffe: 2).
    """

    lr: float
    momentum: float = 0.9
    weight_decay: float = 0.0
    bias_lr_factor: float = 1.0

    def __post_init__(self) -> None:
        _check(self.lr, self.momentum, self.weight_decay)

    def build(self, model: nn.Module) -> Optimizer:
        return torch.optim.SGD(
            parameter_groups(model, self.lr, self.weight_decay, self.bias_lr_factor), momentum=self.momentum
        )


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2)."""

    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        _check(self.lr, max(self.betas), self.weight_decay)

    def build(self, model: nn.Module) -> Optimizer:
        return torch.optim.AdamW(parameter_groups(model, self.lr, self.weight_decay), betas=self.betas, eps=self.eps)


@dataclass(frozen=True, kw_only=True)
class RmsProp:
    """TensorFlow's RMSProp (`TensorFlowRmsProp`), used for Huang et al.'s SSD (section 3.6.3)."""

    lr: float
    smoothing: float = 0.9  # of the mean square; TensorFlow calls it decay
    momentum: float = 0.9
    eps: float = 1.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check(self.lr, max(self.smoothing, self.momentum), self.weight_decay)
        if self.eps <= 0:
            raise ValueError(f"eps: got {self.eps}, allowed more than 0")

    def build(self, model: nn.Module) -> Optimizer:
        settings = {"smoothing": self.smoothing, "momentum": self.momentum, "eps": self.eps}
        return TensorFlowRmsProp(parameter_groups(model, self.lr, self.weight_decay), **settings)


OptimizerSpec = Sgd | AdamW | RmsProp


class TensorFlowRmsProp(Optimizer):
    """ms = s ms + (1 - s) g^2; mom = m mom + lr g / sqrt(ms + eps); w = w - mom.

    Differs from `torch.optim.RMSprop` in three ways: ms starts at 1, eps is inside the root, and the learning rate is
    applied before the momentum, so that changing it does not affect earlier steps.
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


def parameter_groups(
    model: nn.Module, lr: float, weight_decay: float, bias_lr_factor: float = 1.0
) -> list[dict[str, Any]]:
    """Three groups: weights with weight decay, biases of the same layers, all others. Frozen parameters are in none."""
    layers = [layer for layer in model.modules() if isinstance(layer, DECAYED)]
    weights = {id(layer.weight) for layer in layers}
    biases = {id(layer.bias) for layer in layers if layer.bias is not None}
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = (
        ([p for p in trainable if id(p) in weights], lr, weight_decay),
        ([p for p in trainable if id(p) in biases], lr * bias_lr_factor, 0.0),
        ([p for p in trainable if id(p) not in weights | biases], lr, 0.0),
    )
    return [{"params": ps, "lr": rate, BASE_LR: rate, "weight_decay": decay} for ps, rate, decay in groups if ps]


def scale_lr(optimizer: Optimizer, factor: float) -> None:
    """Set the learning rate of every parameter group to its base learning rate times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group[BASE_LR] * factor


def _check(lr: float, momentum: float, weight_decay: float) -> None:
    """Raises ValueError for values with which no training works."""
    if not 0 < lr < float("inf"):
        raise ValueError(f"lr: got {lr}, allowed more than 0")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum: got {momentum}, allowed 0 or more and less than 1")
    if not 0 <= weight_decay < float("inf"):
        raise ValueError(f"weight_decay: got {weight_decay}, allowed 0 or more")
