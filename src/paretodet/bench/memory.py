"""Peak memory of this process and of those that it started, in MiB."""

import ctypes
import gc
import mmap
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import numpy as np
import psutil
import torch

from paretodet.bench.nvml import process_mib
from paretodet.bench.quota import free_group_mib

MIB = 2**20
POPULATE_READ = 22  # madvise's MADV_POPULATE_READ: Linux 5.14
INTERVAL = 0.005  # s between two samples if the kernel has no peak that can be reset
OUT_OF_MEMORY = (  # what libraries, and the sentence about a killed process, say if memory ran out; in lower case
    "alloc_failed",
    "bad_alloc",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate memory",
    "memory ran out",
    "memoryerror",
    "not enough memory",
    "out of memory",
)


class Peak:
    """The resident peak since `reset`. `way` is "kernel" if the kernel reports it, or "sampled".

    It includes the living child processes and theirs that have started since this was made: of each its own peak, or
    its present size if the kernel reports no peak. Of pages that several processes use, each child counts its share.
    """

    def __init__(self, proc: Path = Path("/proc/self")) -> None:
        self._proc = proc
        self._others = set(psutil.Process().children(recursive=True))
        self.way = "kernel" if self._clear() else "sampled"
        self._sampler = None if self.way == "kernel" else _Sampler()

    def reset(self) -> None:
        """Forgets the peak so far."""
        if self._sampler is not None:
            self._sampler.reset()
            return
        self._clear()
        for child in self._children():
            with suppress(OSError):  # it has ended, or belongs to another user
                (self._proc.parent / str(child.pid) / "clear_refs").write_text("5")

    def mib(self) -> float:
        """The highest resident size since `reset`."""
        own = self._sampler.mib() if self._sampler is not None else _status_mib(self._proc, "VmHWM")
        return own + sum(map(self._child_mib, self._children()))

    def close(self) -> None:
        if self._sampler is not None:
            self._sampler.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _children(self) -> set[psutil.Process]:
        return set(psutil.Process().children(recursive=True)) - self._others

    def _child_mib(self, child: psutil.Process) -> float:
        folder = self._proc.parent / str(child.pid)
        try:
            size = float(child.memory_info().rss) / MIB
        except psutil.Error:  # it has ended
            return 0.0
        with suppress(OSError, StopIteration):  # the system does not report it
            growth = _status_mib(folder, "VmHWM") - size if self.way == "kernel" else 0.0
            return _status_mib(folder, "Pss", file="smaps_rollup") + max(0.0, growth)
        return size

    def _clear(self) -> bool:
        try:
            (self._proc / "clear_refs").write_text("5")
            return "VmHWM" in (self._proc / "status").read_text()
        except OSError:
            return False


class _Sampler:
    """Samples the resident size every few milliseconds; short peaks may be missed."""

    def __init__(self) -> None:
        self._peak = resident_mib()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def reset(self) -> None:
        self._peak = resident_mib()

    def mib(self) -> float:
        self._peak = max(self._peak, resident_mib())
        return self._peak

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL):
            self._peak = max(self._peak, resident_mib())


def _status_mib(process: Path, name: str, *, file: str = "status") -> float:
    """A line of a file of the kernel about a process, such as "VmHWM:  1024 kB"."""
    line = next(line for line in (process / file).read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def resident_mib() -> float:
    """The current resident size of this process alone."""
    return float(psutil.Process().memory_info().rss) / MIB


def map_libraries(proc: Path = Path("/proc")) -> None:
    """Maps the file pages that the parent has mapped, because a forked process starts without them.

    The resident size then includes the same libraries as in a fresh process that imported them, and none of their
    pages is attributed to the candidate. Does nothing if the system does not report these pages.
    """
    with suppress(OSError, ValueError, AttributeError):
        advise = ctypes.CDLL(None, use_errno=True).madvise
        advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for start, length in _mapped(proc / str(os.getppid()), proc / "self"):
            advise(start, length, POPULATE_READ)


def _mapped(process: Path, own: Path) -> Iterator[tuple[int, int]]:
    """Address and length of all mapped page ranges of a process, of files that have the same addresses in this one."""
    page, own_maps = mmap.PAGESIZE, set((own / "maps").read_text().splitlines())
    lines = [line for line in (process / "maps").read_text().splitlines() if line in own_maps]
    with (process / "pagemap").open("rb", buffering=0) as table:
        for span in (line.split()[0] for line in lines if " /" in line):
            start, end = (int(address, 16) for address in span.split("-"))
            table.seek(start // page * 8)
            present = np.frombuffer(table.read((end - start) // page * 8), np.uint64) >> np.uint64(63)
            edges = np.flatnonzero(np.diff(np.concatenate(([0], present.astype(np.int8), [0]))))
            yield from ((start + int(a) * page, int(b - a) * page) for a, b in edges.reshape(-1, 2))


def free_mib() -> float:
    """The available memory of the machine or of this process's control groups, whichever is less."""
    free, group = psutil.virtual_memory().available / MIB, free_group_mib()
    return free if group is None else min(free, group)


def ran_out_of_memory(message: str) -> bool:
    """Whether this message of an error says that memory ran out, of the machine or of a GPU."""
    return any(text in message.lower() for text in OUT_OF_MEMORY)


def device_mib(device: str) -> dict[str, float | None]:
    """CUDA peaks: of the allocator, of its pool, and of the process (NVML). Empty on a CPU."""
    if not device.startswith("cuda"):
        return {}
    return {
        "allocated": torch.cuda.max_memory_allocated(device) / MIB,
        "reserved": torch.cuda.max_memory_reserved(device) / MIB,
        "process": process_mib(device),
    }


def release_freed_memory() -> None:
    """Returns freed memory to the system; otherwise later allocations could reuse it and would not be measured."""
    if sys.platform == "linux":
        gc.collect()
        getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)
