"""Which GPU NVML reports on, and what happens if the driver is unloaded. NVML and the GPUs are fakes."""

import os
import sys
from types import SimpleNamespace

import pytest
import torch

from paretodet.bench.nvml import energy_mj, process_mib, throttle_reasons


class NVMLError(Exception):
    pass


class Library(SimpleNamespace):
    """Two GPUs, of which torch sees only the second; `gone` if the driver was unloaded."""

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


def test_the_gpu_is_identified_by_uuid(library):
    assert throttle_reasons("cuda:0")() == ("power cap", "heat") == throttle_reasons("cuda")()
    assert process_mib("cuda:0") == 2


def test_a_missing_gpu_is_unwatched(library):
    assert throttle_reasons("cuda:1") is None and process_mib("cuda:1") is None
    assert throttle_reasons("cpu") is None and process_mib("cpu") is None


def test_an_unloaded_driver_does_not_stop_a_measurement(library):
    read, library.gone = throttle_reasons("cuda:0"), True
    assert read() == ("unknown, because the driver no longer responds",)
    assert process_mib("cuda:0") is None


def test_a_driver_unloaded_between_two_calls(library, monkeypatch):
    is_gone = iter((False, True))
    monkeypatch.setattr(Library, "answer", lambda self: (_ for _ in ()).throw(NVMLError()) if next(is_gone) else None)
    assert process_mib("cuda:0") is None


def test_the_energy_is_of_the_same_gpu(library):
    read = energy_mj("cuda:0")
    assert read() == 2000
    library.gone = True
    assert read() is None


def test_a_gpu_without_an_energy_counter_has_no_reader(library, monkeypatch):
    assert energy_mj("cpu") is None and energy_mj("cuda:1") is None
    is_gone = iter((False, True))  # the clock is reported, the energy is not
    monkeypatch.setattr(Library, "answer", lambda self: (_ for _ in ()).throw(NVMLError()) if next(is_gone) else None)
    assert energy_mj("cuda:0") is None
