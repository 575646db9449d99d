"""The devices on which a network can run."""

import torch

from paretodet.errors import InputError


def known_device(name: torch.device | str) -> torch.device:
    """The device by its name: "cpu", "cuda" or "cuda:N". Raises ValueError for another name, or if torch does not find
    it.
    """
    name = str(name)
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"device: got {name!r:.40}, allowed cpu, cuda or cuda:N", "option-value")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device: got {name!r}, but torch finds no CUDA GPU; use cpu", "device-missing")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device: got {name!r}, but torch finds only {torch.cuda.device_count()} CUDA GPUs", "device-missing"
        )
    return device


def tf32_settings(device: str) -> tuple[tuple[str, str], ...]:
    """Which products of float32 torch may round to TF32 on a device, for a row; empty for the CPU."""
    if torch.device(device).type == "cpu":
        return ()
    allowed = {
        "convolutions": torch.backends.cudnn.allow_tf32,
        "matrix products": torch.backends.cuda.matmul.allow_tf32,
    }
    return (("tf32", ", ".join(name for name, is_allowed in allowed.items() if is_allowed) or "none"),)
