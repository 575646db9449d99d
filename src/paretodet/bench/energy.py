"""The energy of a burst in joules, if the machine has a readable meter.

Linux's RAPL counts the energy of the processor packages (all processes and idle power included), NVML that of one GPU
board, and on Jetson boards an INA3221 measures the board's supply. Other machines have no meter.
"""

import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from paretodet.bench.clock import now
from paretodet.bench.nvml import energy_mj

SYS = Path("/sys")
MIN_UPDATES = 20  # updates of the meter that a burst must contain
RAPL_S, NVML_S, SAMPLED_S = 0.001, 0.1, 0.05  # maximum s between two updates of a meter
Result = TypeVar("Result")
SUPPLIES = ("VDD_IN", "POM_5V_IN")  # labels of the rail that supplies a whole Jetson board


class Meter(Protocol):
    """Call `start()` just before a burst and `stop()` just after it.

    `way` is "rapl", "nvml" or "ina3221"; `update_s` is the time between two updates of the meter in seconds.
    """

    way: str
    update_s: float

    def start(self) -> None: ...

    def stop(self) -> float | None:
        """Joules since `start`; None if the meter can no longer be read."""


def open_meter(device: str, root: Path = SYS) -> Meter | None:
    """The meter for a candidate on `device`; None if there is no readable meter.

    For a GPU the counter of its board, for a CPU that of its packages; on a Jetson, which has neither, its supply.
    """
    meter = _open_nvml(device) if device.startswith("cuda") else _open_rapl(root)
    return meter or _open_supply(root)


def metered(meter: Meter | None, work: Callable[[], Result]) -> tuple[Result, float | None]:
    """Calls `work` -> (its result, its energy as `joules_of` gives it)."""
    if meter is None:
        return work(), None
    meter.start()
    start = now()
    result = work()
    return result, joules_of(meter, now() - start)


def joules_of(meter: Meter, seconds: float) -> float | None:
    """The energy of a burst of this duration that has just ended.

    None for a burst that is shorter than 20 updates of the meter: each end of a burst falls between two updates, so the
    error is up to one update. RAPL updates about once per millisecond: at 20 ms the error is at most 5 %.
    """
    joules = meter.stop()
    return joules if seconds >= min_burst_s(meter) else None


def min_burst_s(meter: Meter) -> float:
    """The minimum duration of a burst for this meter, in seconds."""
    return MIN_UPDATES * meter.update_s


def per_image(bursts: Sequence[dict[str, Any]], batch: int) -> float | None:
    """Joules per image: the median over these bursts of `joules` / (calls x batch); None if no burst has an energy.

    All calls of a burst count, including the first, because the meter runs during all of them. Pass clean bursts only.
    """
    totals = [(burst.get("joules"), len(burst["infer_ms"]) * batch) for burst in bursts]
    energies = [joules / images for joules, images in totals if joules is not None and images]
    return float(np.median(energies)) if energies else None


class Rapl:
    """The package counters of Linux's powercap. `psys` includes the packages, so it is not added."""

    way, update_s = "rapl", RAPL_S

    def __init__(self, packages: Sequence[Path]) -> None:
        """Raises OSError or ValueError if one of them cannot be read."""
        self._files = [package / "energy_uj" for package in packages]
        self._ranges = [_number(package / "max_energy_range_uj") for package in packages]
        self._before: list[int] | None = self._counters()

    def start(self) -> None:
        self._before = self._try_counters()

    def stop(self) -> float | None:
        after = self._try_counters()
        if after is None or self._before is None:
            return None
        return sum(map(_increase, self._before, after, self._ranges)) / 1e6

    def _try_counters(self) -> list[int] | None:
        try:
            return self._counters()
        except (OSError, ValueError):
            return None

    def _counters(self) -> list[int]:
        return [_number(file) for file in self._files]


class NvmlMeter:
    """NVML's counter of millijoules, which does not wrap."""

    way, update_s = "nvml", NVML_S

    def __init__(self, read: Callable[[], int | None]) -> None:
        self._read = read

    def start(self) -> None:
        self._before = self._read()

    def stop(self) -> float | None:
        after = self._read()
        return None if after is None or self._before is None else (after - self._before) / 1000


class SupplyMeter:
    """The power of an INA3221's rail, sampled by a thread and integrated over time."""

    way, update_s = "ina3221", SAMPLED_S

    def __init__(self, watts: Callable[[], float]) -> None:
        """Raises OSError or ValueError if it cannot be read."""
        self._watts = watts
        watts()

    def start(self) -> None:
        self._samples: list[tuple[float, float]] = []
        self._ended = threading.Event()
        self._sample()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> float | None:
        self._ended.set()
        self._thread.join()
        self._sample()
        at, watts = np.array(self._samples).reshape(-1, 2).T
        return float(np.trapezoid(watts, at)) if len(at) > 1 else None

    def _run(self) -> None:
        while not self._ended.wait(SAMPLED_S):
            self._sample()

    def _sample(self) -> None:
        try:
            self._samples.append((now(), self._watts()))
        except (OSError, ValueError):  # the integral interpolates between the samples around the gap
            return


def _open_rapl(root: Path) -> Rapl | None:
    folders = sorted((root / "class/powercap").glob("intel-rapl:*"))
    zones = [folder for folder in folders if re.fullmatch(r"intel-rapl:\d+", folder.name)]
    try:
        packages = [zone for zone in zones if _text(zone / "name").startswith("package")]
        return Rapl(packages) if packages else None
    except (OSError, ValueError):  # since Linux 5.10 only root may read the counters
        return None


def _open_nvml(device: str) -> NvmlMeter | None:
    read = energy_mj(device)
    return None if read is None else NvmlMeter(read)


def _open_supply(root: Path) -> SupplyMeter | None:
    for label in sorted((root / "class/hwmon").glob("hwmon*/*_label")):
        try:
            if _text(label) in SUPPLIES:
                return SupplyMeter(_rail(label))
        except (OSError, ValueError):
            continue
    return None


def _rail(label: Path) -> Callable[[], float]:
    """Reads the watts of the rail with this label: `power` in microwatts, or millivolts times milliamperes."""
    folder, number = label.parent, "".join(filter(str.isdigit, label.name))
    power = folder / f"power{number}_input"
    if power.exists():
        return lambda: _number(power) / 1e6
    volts, amperes = (folder / f"{kind}{number}_input" for kind in ("in", "curr"))
    return lambda: _number(volts) * _number(amperes) / 1e6


def _increase(before: int, after: int, maximum: int) -> int:
    """The increase of a counter that wraps at `maximum`."""
    return after - before if after >= before else after - before + maximum


def _number(file: Path) -> int:
    return int(_text(file))


def _text(file: Path) -> str:
    return file.read_text().strip()
