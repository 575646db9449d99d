"""Which GPU NVML reports on, and what happens if the driver is unloaded. NVML and the GPUs are fakes."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from paretodet.bench import contention
from paretodet.bench.contention import ContentionWatch
from paretodet.bench.nvml import energy_mj, others_load, process_mib, throttle_reasons

GONE = 2**30  # the number of no process


class NVMLError(Exception):
    pass


class NotFound(NVMLError):
    pass


class Library(SimpleNamespace):
    """Two GPUs, of which torch sees only the second; `gone` if the driver was unloaded."""

    NVMLError = NVMLError
    NVMLError_NotFound = NotFound
    gone = False
    pid = os.getpid()  # of this process, as NVML numbers it
    used = ()  # samples: process, time, percent

    def nvmlInit(self):
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return {"GPU-first": 0, "GPU-second": 1}[uuid]

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        self.answer()
        return {0: 0, 1: 0x4 | 0x20}[handle]

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        self.answer()
        return [SimpleNamespace(pid=self.pid, usedGpuMemory=(handle + 1) * 2**20)]

    def nvmlDeviceGetProcessUtilization(self, handle, since):
        self.answer()
        if not self.used:
            raise NotFound
        return [SimpleNamespace(pid=pid, timeStamp=time, smUtil=share) for pid, time, share in self.used]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        self.answer()
        return 1000 * (handle + 1)

    def answer(self):
        if self.gone:
            raise NVMLError


def refuse(handle, since):
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


def test_work_of_other_processes_is_a_share_of_the_gpu(library):
    """Also that of a process that this process's parent has started is its own: it is another worker of the run."""
    read, mine = others_load("cuda:0"), os.getpid()
    assert read(100) is None  # no sample yet
    library.used = [(mine, 150, 60)]
    assert read(100) == 0.0 and read(150) is None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        library.used = [
            (mine, 150, 60),
            (child.pid, 160, 30),
            (GONE, 155, 20),
            (GONE + 1, 90, 50),
            (GONE + 2, 160, 900),
        ]
        assert read(100) == 0.2  # without an older sample, and one that is no share
    library.gone = True
    assert read(100) is None


def test_other_work_is_unwatched_where_nvml_does_not_report_it(library):
    assert others_load("cpu") is None and others_load("cuda:1") is None
    library.pid = GONE  # as in a container
    assert others_load("cuda:0") is None
    library.pid, library.nvmlDeviceGetProcessUtilization = os.getpid(), refuse
    assert others_load("cuda:0") is None


def test_other_work_on_the_gpu_contends_a_burst(library, monkeypatch):
    watch = ContentionWatch(device="cuda:0")
    assert "other work on the GPU" not in watch.unwatched
    watch.start()
    assert watch.stop().gpu_others is None and "other work on the GPU" in watch.unwatched  # no burst has a sample
    monkeypatch.setattr(contention, "others_load", lambda device: lambda since: 0.4)
    watch = ContentionWatch(device="cuda:0")
    watch.start()
    sample = watch.stop()
    assert sample.gpu_others == pytest.approx(0.4 * sample.wall) and "other work on the GPU" not in watch.unwatched
    assert "other work used 40 % of the GPU" in sample.contended()


def test_work_on_a_gpu_without_nvml_is_named():
    assert "other work on the GPU" in ContentionWatch(device="cuda:99").unwatched
    assert "other work on the GPU" not in ContentionWatch().unwatched
