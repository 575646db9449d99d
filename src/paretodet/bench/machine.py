"""Facts of this machine and a fingerprint of them. No host name, user, path or serial number."""

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from paretodet.bench.cpu_usage import allowed_cores
from paretodet.bench.quota import cpu_quota, memory_limit_mib
from paretodet.extras import UNKNOWN, requirements, version_of

ALWAYS = ("torch", "numpy", "pillow")  # required by all, and part of every measurement
# Extras without part in one, or whose libraries are those of others; any other library may change what is measured.
BESIDE = ("", "all", "dev", "docs", "mlflow", "photographs", "postgresql", "ray", "report", "wandb")
LABEL = "PARETODET_MACHINE"  # environment variable: what the user calls this machine
HARDWARE = ("cpu", "cores_physical", "cores_logical", "cores_allowed", "memory_gib", "system", "architecture", "gpus")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which machine: the fingerprint that its rows have, and the versions of its libraries."""

    machine: str
    versions: dict[str, str]


def identity() -> Identity:
    """That of this machine."""
    return Identity(machine=fingerprint(facts()), versions=versions())


def facts() -> dict[str, Any]:
    """What is needed to interpret a measurement on this machine; None if the system does not report it."""
    return {
        "cpu": cpu_model(),
        "cores_physical": psutil.cpu_count(logical=False),
        "cores_logical": psutil.cpu_count(),
        "cores_allowed": len(allowed_cores()),
        "affinity": list(allowed_cores()),
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
        **({"label": os.environ[LABEL]} if os.environ.get(LABEL) else {}),
    }


def fingerprint(facts: dict[str, Any]) -> str:
    """12 hex digits over the hardware, the CPU quota and the label; software updates do not change them."""
    stable = {key: facts[key] for key in HARDWARE}
    if facts.get("cpu_quota") is not None:  # so that a machine without one keeps the fingerprint of its older rows
        stable["cpu_quota"] = facts["cpu_quota"]
    if facts.get("label"):  # likewise
        stable["label"] = facts["label"]
    return hashlib.sha256(json.dumps(stable, sort_keys=True).encode()).hexdigest()[:12]


def versions(libraries: Sequence[str] | None = None) -> dict[str, str]:
    """The versions of Python and of the installed ones of `libraries`; None: of all that measurements depend on."""
    found = {name: version_of(name) for name in (_measured_with() if libraries is None else libraries)}
    return {"python": platform.python_version()} | {name: each for name, each in found.items() if each != UNKNOWN}


def _measured_with() -> tuple[str, ...]:
    return (*ALWAYS, *sorted({name for name, extra in requirements() if extra not in BESIDE}))


def cpu_model(info: Path = Path("/proc/cpuinfo")) -> str | None:
    """The CPU's model name."""
    try:
        lines = info.read_text().splitlines()
    except OSError:
        return platform.processor() or None
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model", "Hardware")))
    return next(models, platform.processor() or None)


def governor(root: Path = Path("/sys/devices/system/cpu")) -> str | None:
    """The frequency governor; several names if the cores differ."""
    try:
        governors = {(root / f"cpu{core}/cpufreq/scaling_governor").read_text().strip() for core in allowed_cores()}
    except OSError:
        return None
    return ", ".join(sorted(governors))


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
    """The CUDA version of torch; None without a GPU."""
    return _torch().version.cuda if gpus() else None


def worker_environment(threads: int) -> dict[str, str]:
    """Environment variables of a worker: equally many threads in every runtime, which do not spin while they wait."""
    counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    no_spinning = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "GOMP_SPINCOUNT": "0"}
    return {**dict.fromkeys(counts, str(threads)), **no_spinning}


def _torch() -> Any:
    import torch

    return torch
