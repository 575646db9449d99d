"""A moving average of the weights, which is what gets judged and kept."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Average:
    """average = decay average + (1 - decay) weight after every update.

    `ramp` begins with the smaller decay (1 + n) / (10 + n) of update n, as TensorFlow's does where it is given a count:
    a short training is then not held back by its random start.
    """

    decay: float = 0.9999
    ramp: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay: got {self.decay}, allowed 0 up to but not 1")

    def build(self, model: nn.Module) -> "Averaged":
        return Averaged(self, model)

    def at(self, step: int) -> float:
        """The decay of update `step`, counted from 0."""
        return min(self.decay, (1 + step) / (10 + step)) if self.ramp else self.decay


class Averaged:
    """The averages of a model's learnable parameters; buffers (batch norm's own averages) are the model's."""

    def __init__(self, spec: Average, model: nn.Module):
        self.spec = spec
        self.shadow = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        share = 1 - self.spec.at(step)
        for name, parameter in model.named_parameters():
            if name in self.shadow:
                self.shadow[name].lerp_(parameter, share)

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """The model's state with averages where there are any: what `load_state_dict` takes."""
        return model.state_dict() | self.shadow

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Averages as `shadow` once held them."""
        for name, kept in self.shadow.items():
            kept.copy_(tensors[name])
