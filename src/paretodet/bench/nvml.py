"""What NVIDIA's management library tells without root. Optional: without `pynvml` a GPU is unwatched."""

import importlib
import os
from collections.abc import Callable
from typing import Any

MIB = 2**20
SLOWED = {0x4: "power cap", 0x8: "hardware", 0x20: "heat", 0x40: "heat (hardware)", 0x80: "power brake"}


def throttle_reasons(device: str) -> Callable[[], tuple[str, ...]] | None:
    """A reader of why this GPU's clock is held down now; None on a CPU and where NVML does not answer."""
    library, handle = _open(device)
    if library is None:
        return None

    def read() -> tuple[str, ...]:
        try:
            mask = library.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
        except library.NVMLError:  # the driver went: what was measured stays
            return ("unknown: the driver no longer answers",)
        return tuple(name for bit, name in SLOWED.items() if mask & bit)

    return read


def process_mib(device: str) -> float | None:
    """Device memory that this process holds; None where NVML does not answer or knows other process numbers."""
    library, handle = _open(device)
    if library is None:
        return None
    try:
        used = {p.pid: p.usedGpuMemory for p in library.nvmlDeviceGetComputeRunningProcesses(handle)}
    except library.NVMLError:
        return None
    mine = used.get(os.getpid())
    return None if mine is None else float(mine) / MIB


def energy_mj(device: str) -> Callable[[], int | None] | None:
    """A reader of the millijoules this GPU has taken since its driver was loaded; None where NVML does not count them.

    The reader answers None once the driver is gone.
    """
    library, handle = _open(device)
    if library is None:
        return None

    def read() -> int | None:
        try:
            return int(library.nvmlDeviceGetTotalEnergyConsumption(handle))
        except library.NVMLError:  # before Volta there is no counter
            return None

    return None if read() is None else read


def _uuid(index: int) -> str:
    """torch numbers the GPUs that CUDA_VISIBLE_DEVICES leaves, NVML all of them."""
    import torch

    return f"GPU-{torch.cuda.get_device_properties(index).uuid}"


def _open(device: str) -> tuple[Any, Any]:
    if not device.startswith("cuda"):
        return None, None
    try:
        library = importlib.import_module("pynvml")
        library.nvmlInit()
        handle = library.nvmlDeviceGetHandleByUUID(_uuid(int(device.partition(":")[2] or 0)))
        library.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
    except Exception:  # not installed, no driver, no permission: all mean that nobody watches, which the row says
        return None, None
    return library, handle
