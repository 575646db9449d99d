"""The arithmetic of the networks: float32, or half its bits and what that takes."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

Precision = Literal["fp32", "bf16", "fp16"]
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
LEAST = 1.0  # a multiple below it is no remedy any more


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Networks compute in `precision`; their weights, and all that is not theirs, stay in float32."""
    return torch.autocast(device.type, HALVES.get(precision), enabled=precision in HALVES)


class Scaler:
    """Small gradients vanish in fp16: they are taken of a multiple of the loss, and divided before use.

    Where one overflows, its update is left out and the multiple halved; after 2,000 without, it is doubled. Any other
    precision needs none of this and has it switched off.
    """

    def __init__(self, precision: Precision, device: torch.device):
        self._torch = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    @property
    def may_skip(self) -> bool:
        """Whether a gradient that is no number may be an overflow, not a fault."""
        return self._torch.is_enabled() and self._torch.get_scale() >= LEAST

    def scaled(self, loss: Tensor) -> Tensor:
        """What to go backward from."""
        return self._torch.scale(loss)

    def unscale(self, optimizer: Optimizer) -> None:
        """Divide the gradients; once an update."""
        self._torch.unscale_(optimizer)

    def step(self, optimizer: Optimizer) -> None:
        """The optimizer's step, or none where a gradient overflowed."""
        self._torch.step(optimizer)
        self._torch.update()

    def state(self) -> dict[str, Tensor]:
        """What going on needs, float64; empty where there is nothing to scale."""
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in self._torch.state_dict().items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a `state`."""
        if self._torch.is_enabled():
            kept = {name: tensor.item() for name, tensor in tensors.items()}
            counts = {name: int(kept[name]) for name in ("growth_interval", "_growth_tracker")}
            self._torch.load_state_dict(kept | counts)
