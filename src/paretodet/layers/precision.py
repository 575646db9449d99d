"""The number formats that a network may run in; coordinates stay float32 in each."""

import torch

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def dtype(precision: str) -> torch.dtype:
    """Raises ValueError for a format that is none of PRECISIONS."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision: {precision!r} is not one of {', '.join(PRECISIONS)}")
    return PRECISIONS[precision]
