"""The number formats in which a network can run; coordinates are always float32."""

import torch

from paretodet.errors import InputError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def dtype(precision: str) -> torch.dtype:
    """The dtype by its name in PRECISIONS. Raises ValueError for another name."""
    if precision not in PRECISIONS:
        raise InputError(f"precision: got {precision!r}, allowed {', '.join(PRECISIONS)}", "option-value")
    return PRECISIONS[precision]
