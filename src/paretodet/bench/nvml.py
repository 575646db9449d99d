"""What NVIDIA's management library reports without root. Optional: without `pynvml` a GPU is not monitored."""

import importlib
import os
from collections.abc import Callable
from typing import Any

import psutil

MIB = 2**20
THROTTLE_REASONS = {0x4: "power cap", 0x8: "hardware", 0x20: "heat", 0x40: "heat (hardware)", 0x80: "power brake"}


def throttle_reasons(device: str) -> Callable[[], tuple[str, ...]] | None:
    """A function that returns why this GPU is throttled; None on a CPU or if NVML is not available."""
    library, handle = _open(device)
    if library is None:
        return None

    def read() -> tuple[str, ...]:
        try:
            mask = library.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
        except library.NVMLError:  # the driver was unloaded; the measurements so far remain
            return ("unknown, because the driver no longer responds",)
        return tuple(name for bit, name in THROTTLE_REASONS.items() if mask & bit)

    return read


def others_load(device: str) -> Callable[[int], float | None] | None:
    """A function that returns which share of this GPU's time processes outside of this run used since a moment, in
    microseconds since 1970; None without a newer sample of NVML.

    None on a CPU or if NVML does not report it: GPUs before Maxwell, parts of a GPU, and containers, in which NVML uses
    other process numbers.
    """
    library, handle = _open(device)
    if library is None:
        return None
    try:
        running = {process.pid for process in library.nvmlDeviceGetComputeRunningProcesses(handle)}
        _process_samples(library, handle, 0)
    except library.NVMLError:
        return None

    def read(since: int) -> float | None:
        try:
            samples = _process_samples(library, handle, since)
        except library.NVMLError:  # the driver was unloaded
            return None
        used = {each.pid: each.smUtil for each in samples if each.timeStamp > since and each.smUtil <= 100}
        others = used.keys() - _own_processes()
        return min(1.0, sum(used[pid] for pid in others) / 100) if used else None

    return read if os.getpid() in running else None


def process_mib(device: str) -> float | None:
    """Device memory of this process; None if NVML is not available or uses other process numbers (in a container)."""
    library, handle = _open(device)
    if library is None:
        return None
    try:
        used = {p.pid: p.usedGpuMemory for p in library.nvmlDeviceGetComputeRunningProcesses(handle)}
    except library.NVMLError:
        return None
    size = used.get(os.getpid())
    return None if size is None else float(size) / MIB


def energy_mj(device: str) -> Callable[[], int | None] | None:
    """A function that returns the millijoules this GPU has used since its driver was loaded; None if not counted.

    The function returns None after the driver was unloaded.
    """
    library, handle = _open(device)
    if library is None:
        return None

    def read() -> int | None:
        try:
            return int(library.nvmlDeviceGetTotalEnergyConsumption(handle))
        except library.NVMLError:  # GPUs before Volta have no counter
            return None

    return None if read() is None else read


def _process_samples(library: Any, handle: Any, since: int) -> list[Any]:
    try:
        return list(library.nvmlDeviceGetProcessUtilization(handle, since))
    except library.NVMLError_NotFound:  # no process has used the GPU since then
        return []


def _own_processes() -> set[int]:
    """This process, the other workers that its parent has started, and what they have started."""
    parent = psutil.Process().parent()
    return {os.getpid(), *(child.pid for child in (parent.children(recursive=True) if parent else ()))}


def _uuid(index: int) -> str:
    """torch numbers the GPUs in CUDA_VISIBLE_DEVICES, NVML all GPUs; the UUID is common to both."""
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
    except Exception:  # not installed, no driver, no permission: the row says that the GPU was not monitored
        return None, None
    return library, handle
