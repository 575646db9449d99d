"""Convolutions into which a file folded their norms, for networks that have norms."""

import torch
from torch import Tensor, nn


def folded(bias: Tensor, norm: nn.BatchNorm2d) -> dict[str, Tensor]:
    """The state of a norm that only adds the bias: its factor 1 / sqrt(variance + eps) is exactly 1 in float32."""
    values = {
        "weight": torch.ones_like(bias),
        "bias": bias,
        "running_mean": torch.zeros_like(bias),
        "running_var": torch.full_like(bias, 1 - norm.eps),
        "num_batches_tracked": torch.tensor(0),
    }
    return {name: values[name] for name in norm.state_dict()}
