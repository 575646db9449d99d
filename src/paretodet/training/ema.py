"""Exponential moving average (EMA) of the weights. If a recipe has one, it is what is validated and saved for use."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Ema:
    """average = decay * average + (1 - decay) * weight, after every update.

    With `ramp` the decay of update n is at most (1 + n) / (10 + n), as in TensorFlow with a step count: a short
    training is then not dominated by its random initial weights.
    """

    decay: float = 0.9999
    ramp: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay: got {self.decay}, allowed 0 or more and less than 1")

    def build(self, model: nn.Module) -> "EmaWeights":
        return EmaWeights(self, model)

    def at(self, step: int) -> float:
        """The decay of update `step`, counted from 0."""
        return min(self.decay, (1 + step) / (10 + step)) if self.ramp else self.decay


class EmaWeights:
    """The averages of a model's trainable parameters; buffers (the statistics of batch norm) are the model's."""

    def __init__(self, spec: Ema, model: nn.Module):
        self.spec = spec
        self.shadow = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        share = 1 - self.spec.at(step)
        for name, parameter in model.named_parameters():
            if name in self.shadow:
                self.shadow[name].lerp_(parameter, share)

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """The model's state dict with averages in place of the averaged parameters."""
        return model.state_dict() | self.shadow

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Set the averages to those in `tensors`, by name."""
        for name, average in self.shadow.items():
            average.copy_(tensors[name])
