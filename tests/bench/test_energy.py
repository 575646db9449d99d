"""Meters on recorded trees of sysfs."""

import threading
from pathlib import Path
from typing import Any

import pytest

from paretodet.bench import energy
from paretodet.bench.energy import Meter, NvmlMeter, SupplyMeter, joules_of, metered, min_burst_s, open_meter, per_image

RANGE = 262_143_328_850


def rapl(root: Path, zone: str, name: str, uj: int, *, maximum: int = RANGE) -> Path:
    """Writes a zone of powercap -> the file of its counter."""
    folder = root / "class/powercap" / zone
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in (("name", name), ("max_energy_range_uj", maximum), ("energy_uj", uj)):
        (folder / file).write_text(f"{text}\n")
    return folder / "energy_uj"


def opened(root: Path, device: str = "cpu") -> Meter:
    meter = open_meter(device, root)
    assert meter is not None
    return meter


def test_one_package_counts_joules(tmp_path: Path) -> None:
    counter = rapl(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    meter = opened(tmp_path)
    assert (meter.way, meter.update_s) == ("rapl", 0.001)
    meter.start()
    counter.write_text("7500000\n")
    assert meter.stop() == 2.5
    meter.start()
    assert meter.stop() == 0.0


def test_only_packages_are_added(tmp_path: Path) -> None:
    zones = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl:2": "psys",
        "intel-rapl-mmio:0": "package-0",
    }
    counters = [rapl(tmp_path, zone, name, 0) for zone, name in zones.items()]
    meter = opened(tmp_path)
    meter.start()
    for power, counter in enumerate(counters):
        counter.write_text(str(10**power * 1_000_000))
    assert meter.stop() == 1 + 1000


def test_a_counter_that_wraps_goes_on(tmp_path: Path) -> None:
    first = rapl(tmp_path, "intel-rapl:0", "package-0", RANGE - 1_000_000)
    second = rapl(tmp_path, "intel-rapl:1", "package-1", 10)
    meter = opened(tmp_path)
    meter.start()
    first.write_text("2000000")
    second.write_text("1000010")
    assert meter.stop() == 4.0


def test_psys_is_not_a_package(tmp_path: Path) -> None:
    rapl(tmp_path, "intel-rapl:1", "psys", 10)
    assert open_meter("cpu", tmp_path) is None


def test_a_counter_without_read_permission_is_not_a_meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = rapl(tmp_path, "intel-rapl:1", "package-1", 10)
    rapl(tmp_path, "intel-rapl:0", "package-0", 10)
    honest = Path.read_text

    def read(path: Path, *args: Any) -> str:
        if path == closed:
            raise PermissionError(13, "Permission denied")
        return honest(path, *args)

    monkeypatch.setattr(Path, "read_text", read)
    assert open_meter("cpu", tmp_path) is None


@pytest.mark.parametrize("text", ["", "much", "1.5"])
def test_a_counter_without_a_number_is_not_a_meter(tmp_path: Path, text: str) -> None:
    rapl(tmp_path, "intel-rapl:0", "package-0", 10).write_text(text)
    assert open_meter("cpu", tmp_path) is None


def test_a_meter_that_can_no_longer_be_read_gives_none(tmp_path: Path) -> None:
    counter = rapl(tmp_path, "intel-rapl:0", "package-0", 10)
    meter = opened(tmp_path)
    meter.start()
    counter.unlink()
    assert meter.stop() is None
    meter.start()
    counter.write_text("20")
    assert meter.stop() is None


def test_a_machine_without_counters_has_no_meter(tmp_path: Path) -> None:
    assert open_meter("cpu", tmp_path) is None and open_meter("cuda", tmp_path) is None


def test_a_gpu_is_measured_by_its_board_counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rapl(tmp_path, "intel-rapl:0", "package-0", 10)
    message = iter((90_000, 90_000, 91_500))
    devices: list[str] = []
    monkeypatch.setattr(energy, "energy_mj", lambda device: devices.append(device) or (lambda: next(message)))
    meter = opened(tmp_path, "cuda:1")
    assert (meter.way, devices) == ("nvml", ["cuda:1"])
    meter.start()
    assert meter.stop() == 0.0
    meter.start()
    monkeypatch.setattr(energy, "energy_mj", lambda device: None)
    assert open_meter("cuda:1", tmp_path) is None  # the packages do not include a GPU


def test_a_counter_that_can_no_longer_be_read_gives_none() -> None:
    message = iter((5, None))
    meter = NvmlMeter(lambda: next(message))
    meter.start()
    assert meter.stop() is None


def supply(root: Path, rail: str, **values: int) -> Path:
    """A hwmon chip whose second channel is this rail; the first is another one."""
    folder = root / "class/hwmon/hwmon3"
    folder.mkdir(parents=True)
    for file, text in {"in1_label": "VDD_CPU", "in2_label": rail, "in1_input": 9, "curr1_input": 9, **values}.items():
        (folder / file).write_text(f"{text}\n")
    return folder


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("rail", ["VDD_IN", "POM_5V_IN"])
def test_a_jetson_board_is_measured_at_its_supply(tmp_path: Path, device: str, rail: str) -> None:
    supply(tmp_path, rail, in2_input=5000, curr2_input=2000)
    meter = opened(tmp_path, device)
    assert meter.way == "ina3221"
    before = threading.active_count()
    meter.start()
    meter._samples[0] = (meter._samples[0][0] - 3.0, 10.0)  # type: ignore[attr-defined]  # three seconds ago
    joules = meter.stop()
    assert joules is not None and joules >= 30.0
    assert threading.active_count() == before


def test_the_power_of_the_chip_is_preferred(tmp_path: Path) -> None:
    folder = supply(tmp_path, "VDD_IN", in2_input=1, curr2_input=1, power2_input=7_500_000)
    assert energy._rail(folder / "in2_label")() == 7.5


def test_a_rail_that_cannot_be_read_is_not_a_meter(tmp_path: Path) -> None:
    supply(tmp_path, "VDD_IN", in2_input=5000)
    assert open_meter("cpu", tmp_path) is None


def test_a_rail_that_can_no_longer_be_read_gives_none() -> None:
    message = iter((1.0, 2.0))

    def watts() -> float:
        try:
            return next(message)
        except StopIteration:
            raise OSError from None

    meter = SupplyMeter(watts)
    meter.start()
    assert meter.stop() is None


class Steady:
    """Always reports two joules."""

    way, update_s = "steady", 0.01

    def start(self) -> None:
        self.running = True

    def stop(self) -> float:
        self.running = False
        return 2.0


def test_a_burst_shorter_than_twenty_updates_has_no_energy() -> None:
    meter = Steady()
    assert min_burst_s(meter) == pytest.approx(0.2)
    meter.start()
    assert joules_of(meter, 0.199) is None and not meter.running
    assert joules_of(meter, 0.201) == 2.0


def test_work_is_metered_from_its_start_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    meter, moments = Steady(), iter((0.0, 0.1, 0.0, 0.3))
    monkeypatch.setattr(energy, "now", lambda: next(moments))
    assert metered(meter, lambda: meter.running) == (True, None)
    assert metered(meter, lambda: "done") == ("done", 2.0)
    assert metered(None, lambda: "done") == ("done", None)


def test_energy_per_image_is_the_median_over_bursts() -> None:
    bursts = [
        {"infer_ms": [1.0] * 4, "joules": 8.0},
        {"infer_ms": [1.0] * 10, "joules": 10.0},
        {"infer_ms": [1.0] * 2, "joules": 60.0},
        {"infer_ms": [1.0], "joules": None},
        {"infer_ms": [1.0]},  # from an older version
    ]
    assert per_image(bursts, 1) == 2.0
    assert per_image(bursts, 4) == 0.5
    assert per_image(bursts[3:], 1) is None and per_image([], 1) is None
