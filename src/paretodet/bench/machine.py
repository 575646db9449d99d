"""Facts of this machine and a fingerprint of them. No host name, user, path or serial number."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from paretodet.bench.quota import cpu_quota, memory_limit_mib
from paretodet.bench.signals import own_cores

LIBRARIES = (
    "torch", "numpy", "onnxruntime", "onnx", "openvino", "transformers", "torchvision", "timm", "tensorrt",
    "ai-edge-litert", "executorch", "opencv-python-headless", "pillow",
)  # fmt: skip
HARDWARE = ("cpu", "cores_physical", "cores_logical", "cores_allowed", "memory_gib", "system", "architecture", "gpus")


def facts() -> dict[str, Any]:
    """What a stranger must know to read a number from here. None where the machine does not say."""
    return {
        "cpu": cpu_model(),
        "cores_physical": psutil.cpu_count(logical=False),
        "cores_logical": psutil.cpu_count(),
        "cores_allowed": len(own_cores()),
        "affinity": list(own_cores()),
        "cpu_quota": cpu_quota(),
        "governor": governor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "memory_limit_mib": memory_limit_mib(),
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "gpus": gpus(),
        "driver": driver(),
        "cuda": cuda(),
    }


def fingerprint(known: dict[str, Any]) -> str:
    """12 hex digits over the hardware and the CPU quota: the same after an update, another on another machine."""
    stable = {key: known[key] for key in HARDWARE}
    if known.get("cpu_quota") is not None:  # without one a machine keeps the fingerprint that its older rows have
        stable["cpu_quota"] = known["cpu_quota"]
    return hashlib.sha256(json.dumps(stable, sort_keys=True).encode()).hexdigest()[:12]


def versions(libraries: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Python and those of `libraries` that are installed."""
    found = {"python": platform.python_version()}
    for name in libraries:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def cpu_model(info: Path = Path("/proc/cpuinfo")) -> str | None:
    """The CPU's name as its maker wrote it."""
    try:
        lines = info.read_text().splitlines()
    except OSError:
        return platform.processor() or None
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model", "Hardware")))
    return next(named, platform.processor() or None)


def governor(root: Path = Path("/sys/devices/system/cpu")) -> str | None:
    """How the kernel chooses the clock; several names where cores differ."""
    try:
        found = {(root / f"cpu{core}/cpufreq/scaling_governor").read_text().strip() for core in own_cores()}
    except OSError:
        return None
    return ", ".join(sorted(found))


def gpus() -> list[str]:
    """Names of the CUDA GPUs."""
    torch = _torch()
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_name(index) for index in range(count)]


def driver(version: Path = Path("/proc/driver/nvidia/version")) -> str | None:
    """The NVIDIA driver's version."""
    try:
        words = version.read_text().splitlines()[0].split()
    except (OSError, IndexError):
        return None
    return next((word for word in words if word[0].isdigit() and "." in word), None)


def cuda() -> str | None:
    """The CUDA version torch was built with, where there is a GPU to use it."""
    return _torch().version.cuda if gpus() else None


def spinning_off(threads: int) -> dict[str, str]:
    """Environment of a worker: equal threads for every runtime, none of which spins while it waits."""
    counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    quiet = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "GOMP_SPINCOUNT": "0"}
    return {**dict.fromkeys(counts, str(threads)), **quiet}


def _torch() -> Any:
    import torch

    return torch
