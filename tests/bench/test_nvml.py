"""Which GPU NVML is asked about, and what is said once it no longer answers. NVML and the GPUs are stand-ins."""

import os
import sys
from types import SimpleNamespace

import pytest
import torch

from paretodet.bench.nvml import energy_mj, process_mib, throttle_reasons


class NVMLError(Exception):
    pass


class Library(SimpleNamespace):
    """Two GPUs of which torch sees the second alone; `gone` once the driver has left."""

    NVMLError = NVMLError
    gone = False

    def nvmlInit(self):
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return {"GPU-first": 0, "GPU-second": 1}[uuid]

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        self.answer()
        return {0: 0, 1: 0x4 | 0x20}[handle]

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        self.answer()
        return [SimpleNamespace(pid=os.getpid(), usedGpuMemory=(handle + 1) * 2**20)]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        self.answer()
        return 1000 * (handle + 1)

    def answer(self):
        if self.gone:
            raise NVMLError


@pytest.fixture
def library(monkeypatch):
    made = Library()
    monkeypatch.setitem(sys.modules, "pynvml", made)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=("second",)[index]))
    return made


def test_the_gpu_is_the_one_that_torch_means(library):
    assert throttle_reasons("cuda:0")() == ("power cap", "heat") == throttle_reasons("cuda")()
    assert process_mib("cuda:0") == 2


def test_a_gpu_that_is_not_there_is_unwatched(library):
    assert throttle_reasons("cuda:1") is None and process_mib("cuda:1") is None
    assert throttle_reasons("cpu") is None and process_mib("cpu") is None


def test_a_driver_that_leaves_costs_no_measurement(library):
    read, library.gone = throttle_reasons("cuda:0"), True
    assert read() == ("unknown, because the driver no longer responds",)
    assert process_mib("cuda:0") is None


def test_one_that_leaves_between_two_questions(library, monkeypatch):
    asked = iter((False, True))
    monkeypatch.setattr(Library, "answer", lambda self: (_ for _ in ()).throw(NVMLError()) if next(asked) else None)
    assert process_mib("cuda:0") is None


def test_the_energy_is_that_gpus(library):
    read = energy_mj("cuda:0")
    assert read() == 2000
    library.gone = True
    assert read() is None


def test_no_energy_of_a_cpu_or_a_gpu_that_counts_none(library, monkeypatch):
    assert energy_mj("cpu") is None and energy_mj("cuda:1") is None
    asked = iter((False, True))  # the clock is told, the energy is not
    monkeypatch.setattr(Library, "answer", lambda self: (_ for _ in ()).throw(NVMLError()) if next(asked) else None)
    assert energy_mj("cuda:0") is None
