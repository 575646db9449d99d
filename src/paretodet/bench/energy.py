"""Joules around a burst, where the machine has a meter that may be read.

Linux's RAPL counts what the processor packages take (the whole machine's work on them, idle power included), NVML what
one GPU board takes, and on Jetson boards an INA3221 measures the board's supply. Elsewhere there is no number.
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
UPDATES = 20  # a burst must be so many updates of the meter long
RAPL_S, NVML_S, SAMPLED_S = 0.001, 0.1, 0.05  # s between two updates of a meter, at most
Done = TypeVar("Done")
SUPPLIES = ("VDD_IN", "POM_5V_IN")  # labels of the rail that feeds a whole Jetson board


class Meter(Protocol):
    """`start()` just before a burst, `stop()` just after it.

    `way` is "rapl", "nvml" or "ina3221", `update_s` the seconds between two updates of its number.
    """

    way: str
    update_s: float

    def start(self) -> None: ...

    def stop(self) -> float | None:
        """Joules since `start`; None where the meter no longer answers."""


def open_meter(device: str, root: Path = SYS) -> Meter | None:
    """The meter of what works when a candidate runs on `device`; None where nothing may be read.

    On a GPU that is the board's own counter, on a CPU the packages'; on a Jetson, which has neither, its supply's.
    """
    own = _open_nvml(device) if device.startswith("cuda") else _open_rapl(root)
    return own or _open_supply(root)


def metered(meter: Meter | None, work: Callable[[], Done]) -> tuple[Done, float | None]:
    """Does the work -> (what it returned, the joules it took, None as `joules_of` says)."""
    if meter is None:
        return work(), None
    meter.start()
    began = now()
    done = work()
    return done, joules_of(meter, now() - began)


def joules_of(meter: Meter, seconds: float) -> float | None:
    """What the meter counted in a burst of so many seconds that has just ended.

    None for a burst shorter than 20 updates of the meter: both ends of the burst fall between two updates, so each may
    be wrong by what one update holds. RAPL updates about once a millisecond, which 20 ms make 5 % at the worst.
    """
    joules = meter.stop()
    return joules if seconds >= shortest_s(meter) else None


def shortest_s(meter: Meter) -> float:
    """How long a burst must be for this meter."""
    return UPDATES * meter.update_s


def per_image(bursts: Sequence[dict[str, Any]], batch: int) -> float | None:
    """Joules an image: the median over these bursts of `joules` over calls times batch; None where none has any.

    All calls of a burst count, the first one too: the meter runs from the first to the last. Give clean bursts alone.
    """
    known = [(burst.get("joules"), len(burst["infer_ms"]) * batch) for burst in bursts]
    each = [joules / images for joules, images in known if joules is not None and images]
    return float(np.median(each)) if each else None


class Rapl:
    """The package counters of Linux's powercap; `psys` holds the packages and more, so it is not added."""

    way, update_s = "rapl", RAPL_S

    def __init__(self, packages: Sequence[Path]) -> None:
        """Raises OSError or ValueError where one of them cannot be read."""
        self._files = [package / "energy_uj" for package in packages]
        self._ranges = [_number(package / "max_energy_range_uj") for package in packages]
        self._before: list[int] | None = self._counted()

    def start(self) -> None:
        self._before = self._answer()

    def stop(self) -> float | None:
        counted = self._answer()
        if counted is None or self._before is None:
            return None
        return sum(map(_since, self._before, counted, self._ranges)) / 1e6

    def _answer(self) -> list[int] | None:
        try:
            return self._counted()
        except (OSError, ValueError):
            return None

    def _counted(self) -> list[int]:
        return [_number(file) for file in self._files]


class Counter:
    """A counter of millijoules that never wraps: NVML's."""

    way, update_s = "nvml", NVML_S

    def __init__(self, read: Callable[[], int | None]) -> None:
        self._read = read

    def start(self) -> None:
        self._before = self._read()

    def stop(self) -> float | None:
        counted = self._read()
        return None if counted is None or self._before is None else (counted - self._before) / 1000


class Supply:
    """A power that is sampled by a thread and added up over time: an INA3221's rail."""

    way, update_s = "ina3221", SAMPLED_S

    def __init__(self, watts: Callable[[], float]) -> None:
        """Raises OSError or ValueError where it cannot be read."""
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
        except (OSError, ValueError):  # the gap is bridged by the samples beside it
            return


def _open_rapl(root: Path) -> Rapl | None:
    folders = sorted((root / "class/powercap").glob("intel-rapl:*"))
    zones = [folder for folder in folders if re.fullmatch(r"intel-rapl:\d+", folder.name)]
    try:
        packages = [zone for zone in zones if _text(zone / "name").startswith("package")]
        return Rapl(packages) if packages else None
    except (OSError, ValueError):  # since Linux 5.10 the counters may be read by root alone
        return None


def _open_nvml(device: str) -> Counter | None:
    read = energy_mj(device)
    return None if read is None else Counter(read)


def _open_supply(root: Path) -> Supply | None:
    for label in sorted((root / "class/hwmon").glob("hwmon*/*_label")):
        try:
            if _text(label) in SUPPLIES:
                return Supply(_rail(label))
        except (OSError, ValueError):
            continue
    return None


def _rail(label: Path) -> Callable[[], float]:
    """Watts of the rail with this label: its `power` in microwatts, or millivolts times milliamperes."""
    folder, number = label.parent, "".join(filter(str.isdigit, label.name))
    power = folder / f"power{number}_input"
    if power.exists():
        return lambda: _number(power) / 1e6
    volts, amperes = (folder / f"{kind}{number}_input" for kind in ("in", "curr"))
    return lambda: _number(volts) * _number(amperes) / 1e6


def _since(before: int, after: int, highest: int) -> int:
    """Counted in between; a counter that has passed its highest number began again."""
    return after - before if after >= before else after - before + highest


def _number(file: Path) -> int:
    return int(_text(file))


def _text(file: Path) -> str:
    return file.read_text().strip()
