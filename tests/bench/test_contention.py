import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from paretodet.bench import contention
from paretodet.bench.clock import busy_wait
from paretodet.bench.contention import (
    ContentionWatch,
    SystemSample,
    clock_mhz,
    core_seconds,
    own_cpu,
    pressure,
    thermal_throttle_count,
)
from paretodet.bench.cpu_usage import CoreTimes

CALM = {
    "wall": 1.0,
    "own_cpu": 1.0,
    "others_cpu": 0.0,
    "steal": 0.0,
    "waited": None,
    "stall": 0.0,
    "cgroup_throttled": 0.0,
    "core_throttled": 0.0,
    "clock_mhz": 3000.0,
    "too_hot": False,
}


def test_a_quiet_machine_is_not_contended() -> None:
    assert SystemSample(**CALM).contended() == ()
    assert SystemSample(**CALM).throttled(3100) == ()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"others_cpu": 0.5}, "other processes used 50 % of a core"),
        ({"steal": 0.2}, "the hypervisor stole 20 % of a core"),
        ({"stall": 0.3}, "threads waited for a CPU 30 % of the time"),
        ({"waited": 0.3}, "threads waited for a CPU 30 % of the time"),
        ({"cgroup_throttled": 1.0}, "quota ran out"),
    ],
)
def test_reasons_of_contention(values: dict[str, float], reason: str) -> None:
    (sentence,) = SystemSample(**{**CALM, **values}).contended()
    assert reason in sentence


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"core_throttled": 2.0}, "throttled for heat"),
        ({"too_hot": True}, "high mark"),
        ({"clock_mhz": 2000.0}, "fell to 2000 of 3100 MHz"),
        ({"gpu_throttled": ("power cap",)}, "power cap"),
    ],
)
def test_reasons_of_throttling(values: dict[str, object], reason: str) -> None:
    (sentence,) = SystemSample(**{**CALM, **values}).throttled(3100)
    assert reason in sentence


def test_the_limit_is_5_percent_plus_the_kernel_resolution() -> None:
    assert not SystemSample(**{**CALM, "wall": 10.0, "others_cpu": 0.51}).contended()
    assert SystemSample(**{**CALM, "wall": 10.0, "others_cpu": 0.53}).contended()


def test_waiting_of_this_process_decides_if_it_is_counted() -> None:
    """Then other processes may use 15 % of a core, and their waiting does not count."""
    counted = {**CALM, "wall": 10.0, "waited": 0.1}
    assert not SystemSample(**{**counted, "stall": 5.0, "others_cpu": 1.5}).contended()
    assert SystemSample(**{**counted, "others_cpu": 1.55}).contended()
    assert SystemSample(**{**counted, "waited": 0.55}).contended()


def test_load_on_sibling_cores_is_contention(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SystemSample(**{**CALM, "waited": 0.0, "neighbors_cpu": 0.16}).contended() == ()
    (reason,) = SystemSample(**{**CALM, "waited": 0.0, "neighbors_cpu": 0.3}).contended()
    assert reason.startswith("others on the same physical cores used 30 %")
    used = iter((5.0, 5.25))
    monkeypatch.setattr(contention, "sibling_cores", lambda cores: (99,))
    monkeypatch.setattr(contention, "core_seconds", lambda cores: (next(used) if cores == (99,) else 1.0, 0.0))
    watch = ContentionWatch()
    watch.start()
    assert watch.stop().neighbors_cpu == 0.25


def test_missing_values_are_not_contention() -> None:
    blind = SystemSample(**{**dict.fromkeys(CALM), "wall": 1.0, "own_cpu": 1.0})
    assert blind.contended() == ()
    assert blind.throttled(None) == ()


def test_a_missing_source_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: Path) -> float:
        raise FileNotFoundError(path)

    monkeypatch.setattr(contention, "pressure", gone)
    watch = ContentionWatch()
    assert "CPU pressure" in watch.unwatched
    watch.start()
    assert watch.stop().stall is None


def test_a_gpu_without_nvml_is_named() -> None:
    assert "GPU throttling" not in ContentionWatch().unwatched
    assert "GPU throttling" in ContentionWatch(device="cuda:99").unwatched


def test_watch_measures_wall_and_own_time() -> None:
    watch = ContentionWatch()
    watch.start()
    busy_wait(0.1)
    sample = watch.stop()
    assert sample.wall >= 0.1
    assert 0 < sample.own_cpu <= sample.wall + 0.05
    assert sample.others_cpu is not None and sample.others_cpu >= 0


def test_ended_children_count_as_own_cpu() -> None:
    before = own_cpu()
    code = "import time\nend = time.process_time() + .2\nwhile time.process_time() < end: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert own_cpu() - before >= 0.19


def test_living_children_count_as_own_cpu() -> None:
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        before, deadline = own_cpu(), time.monotonic() + 20
        while own_cpu() - before < 0.1 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert own_cpu() - before >= 0.1
    finally:
        child.kill()
        child.wait()


def test_core_seconds_of_all_cores_are_the_machines() -> None:
    busy, steal = core_seconds(tuple(range(psutil.cpu_count() or 1)))
    total = psutil.cpu_times()
    assert busy == pytest.approx(total.user + total.system + total.nice, rel=0.2, abs=1)
    assert steal is None or steal >= 0


def test_pressure_is_read_in_seconds(tmp_path: Path) -> None:
    file = tmp_path / "cpu"
    file.write_text("some avg10=0.00 avg60=0.07 avg300=0.18 total=8181689\nfull avg10=0.00 avg60=0 avg300=0 total=5\n")
    assert pressure(file) == pytest.approx(8.181689)


def test_clock_and_throttling_of_the_allowed_cores(tmp_path: Path) -> None:
    for core, (khz, stops) in enumerate([(3_000_000, 4), (2_500_000, 5), (1_000, 99)]):
        for name, text in (("cpufreq/scaling_cur_freq", khz), ("thermal_throttle/core_throttle_count", stops)):
            file = tmp_path / f"cpu{core}" / name
            file.parent.mkdir(parents=True)
            file.write_text(f"{text}\n")
    assert clock_mhz((0, 1), tmp_path) == 2500
    assert thermal_throttle_count((0, 1), tmp_path) == 9
    assert clock_mhz((0, 7), tmp_path) is None


def cores_of(monkeypatch: pytest.MonkeyPatch, clocks: dict[int, float]) -> Callable[..., tuple[str, ...]]:
    """`burst(core, ...)` is a burst during which these cores are busy, at these clocks."""
    seconds = dict.fromkeys(clocks, 0.0)
    monkeypatch.setattr(contention, "clock_mhz", lambda cores: min(clocks[core] for core in cores))
    monkeypatch.setattr(contention, "core_times", lambda: {core: CoreTimes(s, 0.0) for core, s in seconds.items()})
    watch = ContentionWatch(cores=tuple(clocks))

    def burst(*busy: int) -> tuple[str, ...]:
        watch.start()
        seconds.update({core: seconds[core] + 100.0 for core in busy})
        return watch.stop().throttled(watch.highest_mhz)

    return burst


def test_the_clock_of_an_idle_core_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = {0: 3000.0, 1: 3000.0}
    burst = cores_of(monkeypatch, clocks)
    assert burst(0, 1) == ()
    clocks[1] = 800.0
    assert burst(0) == () == burst()
    (reason,) = burst(0, 1)
    assert "800 of 3000 MHz" in reason


def test_each_core_is_judged_by_its_own_highest_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of efficient and fast cores, none is throttled while it runs as fast as it can."""
    clocks = {0: 5000.0, 1: 3000.0}
    burst = cores_of(monkeypatch, clocks)
    assert burst(0, 1) == ()
    clocks.update({0: 4800.0, 1: 2000.0})
    (reason,) = burst(0, 1)
    assert "2000 of 3000 MHz" in reason


def test_cores_are_those_that_the_system_names(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {0: CoreTimes(1.0, 0.25), 2: CoreTimes(4.0, 0.5), 4: CoreTimes(16.0, None)}
    monkeypatch.setattr(contention, "core_times", lambda: listed)
    assert core_seconds((0, 2)) == (5.0, 0.75)
    assert core_seconds((2, 4)) == (20.0, None)
    assert core_seconds((2, 3)) == (None, None)  # not the third of the list


def test_cores_that_a_container_numbers_otherwise_are_unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contention, "core_times", lambda: {core: CoreTimes(1.0, 0.0) for core in range(4)})
    assert "other processes" not in ContentionWatch(cores=(0, 3)).unwatched
    watch = ContentionWatch(cores=(8, 9))
    assert {"other processes", "stolen time", "clock frequency"} <= set(watch.unwatched)
    watch.start()
    sample = watch.stop()
    assert (sample.others_cpu, sample.steal, sample.clock_mhz) == (None, None, None)
