"""The number formats in which a network can run; coordinates are always float32."""

from typing import TypeVar

import torch
from torch import nn

from paretodet.errors import InputError

Module = TypeVar("Module", bound=nn.Module)
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def dtype(precision: str) -> torch.dtype:
    """The dtype by its name in PRECISIONS. Raises ValueError for another name."""
    if precision not in PRECISIONS:
        raise InputError(f"precision: got {precision!r}, allowed {', '.join(PRECISIONS)}", "option-value")
    return PRECISIONS[precision]


def in_precision(module: Module, precision: str) -> Module:
    """The module itself, its children channels-last and in a precision; its own tensors stay as they are."""
    for part in module.children():
        part.to(dtype(precision)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module
