import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from paretodet.bench import memory
from paretodet.bench.memory import (
    Peak,
    device_mib,
    free_mib,
    ran_out_of_memory,
    release_freed_memory,
    resident_mib,
)

MIB = 2**20


@pytest.fixture(params=["kernel", "sampled"])
def peak(request: pytest.FixtureRequest, tmp_path: Path) -> Peak:
    """Both ways to measure a peak; a missing folder in place of /proc/self forces the second."""
    result = Peak() if request.param == "kernel" else Peak(tmp_path / "missing")
    if result.way != request.param:
        pytest.skip("the kernel keeps no peak that can be reset here")
    return result


def test_the_peak_includes_freed_memory(peak: Peak) -> None:
    with peak:
        release_freed_memory()
        peak.reset()
        base = resident_mib()
        held = np.ones(100 * MIB, dtype=np.uint8)
        while peak.way == "sampled" and peak.mib() - base < 90:
            pass
        del held
        assert 90 <= peak.mib() - base <= 115
        assert resident_mib() - base < 50


def test_reset_forgets(peak: Peak) -> None:
    with peak:
        held = np.ones(100 * MIB, dtype=np.uint8)
        high = peak.mib()
        del held
        peak.reset()
        assert peak.mib() < high - 50


def test_free_memory_is_positive() -> None:
    assert 0 < free_mib() < 2**24


def test_free_memory_is_what_the_control_group_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_group_mib", lambda: 0.5)
    assert free_mib() == 0.5
    monkeypatch.setattr(memory, "free_group_mib", lambda: None)
    assert free_mib() > 0.5


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", True),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("Failed to allocate memory for requested buffer of size 1024", True),
        ("MemoryError", True),
        ("RuntimeError: shapes", False),
        ("the process ended with exit code 3 before it answered", False),
    ],
)
def test_errors_of_memory_are_known_by_their_message(message: str, found: bool) -> None:
    assert ran_out_of_memory(message) == found


def test_device_memory_of_a_cpu_is_nothing() -> None:
    assert device_mib("cpu") == {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_device_memory_counts_an_allocation() -> None:
    torch.ones(64 * MIB, dtype=torch.uint8, device="cuda")
    seen = device_mib("cuda")
    assert 64 <= seen["allocated"] <= seen["reserved"]


def test_child_processes_that_ran_before_are_not_counted() -> None:
    """As those of a server that another part of the program has started."""
    code = "held = b'x' * (60 << 20); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with Peak() as peak:
            peak.reset()
            assert peak.mib() - resident_mib() < 30
        child.kill()


def test_child_processes_are_counted_with_their_peaks(peak: Peak) -> None:
    """The child's 60 MiB are freed when it answers; where the kernel keeps no peak, its present size counts."""
    code = "held = b'x' * (60 << 20); print(flush=True); input(); del held; print(flush=True); input()"
    release_freed_memory()
    with peak:
        before = peak.mib()
        with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdin is not None and child.stdout is not None
            child.stdout.readline()
            assert peak.mib() - before > 50
            child.stdin.write(b"\n")
            child.stdin.flush()
            child.stdout.readline()
            assert (peak.mib() - before > 50) == (peak.way == "kernel")
            peak.reset()
            assert peak.mib() - before < 50
            child.kill()
        assert peak.mib() - before < 10
