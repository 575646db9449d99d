"""The devices that a network may run on."""

import torch


def known_device(name: torch.device | str) -> torch.device:
    """Raises ValueError for one that is neither a CPU nor one of CUDA's, or that torch does not see here."""
    name = str(name)
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ValueError(f"device: got {name!r:.40}, allowed cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device: {name!r} asked for, but torch sees no CUDA GPU here")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device: {name!r} asked for, but torch sees only {torch.cuda.device_count()} CUDA GPUs here")
    return device
