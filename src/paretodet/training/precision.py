"""Number formats of the networks in training: float32, bfloat16, or float16 with a scaled loss."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
MIN_SCALE = 1.0  # below it, an overflow is not caused by the scale


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Networks compute in `precision`; weights, boxes and losses stay in float32."""
    return torch.autocast(device.type, DTYPES.get(precision), enabled=precision in DTYPES)


class Scaler:
    """Loss scaling for fp16, in which small gradients underflow: the loss is multiplied by a scale, gradients divided.

    After an overflow the update is skipped and the scale halved; after 2,000 updates without one it is doubled. For any
    other precision it does nothing.
    """

    def __init__(self, precision: Precision, device: torch.device):
        self._torch = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    @property
    def may_skip(self) -> bool:
        """Whether a gradient that is not finite may be an overflow of the scaled loss."""
        return self._torch.is_enabled() and self._torch.get_scale() >= MIN_SCALE

    def scaled(self, loss: Tensor) -> Tensor:
        """The scaled loss, on which to call backward."""
        return self._torch.scale(loss)

    def unscale(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the scale; once in an update."""
        self._torch.unscale_(optimizer)

    def step(self, optimizer: Optimizer) -> None:
        """The optimizer step, skipped if a gradient overflowed."""
        self._torch.step(optimizer)
        self._torch.update()

    def state(self) -> dict[str, Tensor]:
        """What a resumed training needs, float64; empty unless the precision is fp16."""
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in self._torch.state_dict().items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore a `state`."""
        if self._torch.is_enabled():
            kept = {name: tensor.item() for name, tensor in tensors.items()}
            counts = {name: int(kept[name]) for name in ("growth_interval", "_growth_tracker")}
            self._torch.load_state_dict(kept | counts)
