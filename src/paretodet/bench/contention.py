"""Was the machine ours during a burst? What cannot be read is named, never taken for good.

Read just before and just after a burst, in the worker itself, so that the only work of our own is the worker's.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from paretodet.bench.nvml import throttle_reasons
from paretodet.bench.quota import quota_stops
from paretodet.bench.signals import own_cores, run_delay, siblings

LIMIT = 0.05  # of a core: stolen time, waiting for a CPU
SHARED = 0.15  # of a core that others may use where our threads did not wait for it: caches and memory are shared
TICK = 0.01  # s: the kernel counts CPU time in such steps
SLOWED = 0.85  # of the highest clock seen in this process

Counter = Callable[[], float | None]


@dataclass(frozen=True, kw_only=True)
class SystemSample:
    """What happened during one burst. Seconds; None where it could not be read."""

    wall: float
    own_cpu: float  # of this process and its children
    others_cpu: float | None
    steal: float | None
    waited: float | None  # of our own threads: ready to run, without a CPU
    stall: float | None  # PSI: some task on the machine waited for a CPU
    cgroup_throttled: float | None  # times our quota ran out
    core_throttled: float | None  # times a core was throttled for heat
    clock_mhz: float | None  # the slowest of our cores, just after the burst
    too_hot: bool | None  # a sensor at or above its own high mark
    neighbors_cpu: float | None = None  # of logical cores that are not ours and share a physical core with one of ours
    gpu_throttled: tuple[str, ...] | None = None  # NVML's reasons; None on a CPU or without NVML

    def contended(self) -> tuple[str, ...]:
        """Sentences, empty when the machine was ours.

        Where the system says how long our own threads waited for a CPU, that decides; others' work that kept none of
        them waiting is accepted up to `SHARED`. Elsewhere any work of others above `LIMIT` counts.
        """
        waited = self.stall if self.waited is None else self.waited
        spent = (
            ("other processes used {} of a core", self.others_cpu, LIMIT if self.waited is None else SHARED, 2 * TICK),
            ("others on the same physical cores used {} of a core", self.neighbors_cpu, SHARED, 2 * TICK),
            ("the hypervisor stole {} of a core", self.steal, LIMIT, 2 * TICK),
            ("threads waited for a CPU {} of the time", waited, LIMIT, 0.0),
        )
        said = [
            sentence.format(f"{100 * seconds / self.wall:.0f} %")
            for sentence, seconds, limit, step in spent
            if seconds and seconds > limit * self.wall + step
        ]
        if self.cgroup_throttled:
            said.append("the control group's CPU quota ran out")
        return tuple(said)

    def throttled(self, highest_mhz: float | None) -> tuple[str, ...]:
        """Sentences, empty when the clock held; `highest_mhz` is the highest clock seen so far."""
        said = [f"the GPU slowed down: {reason}" for reason in self.gpu_throttled or ()]
        if self.core_throttled:
            said.append("a core was throttled for heat")
        if self.too_hot:
            said.append("a sensor reached its high mark")
        if self.clock_mhz and highest_mhz and self.clock_mhz < SLOWED * highest_mhz:
            said.append(f"the clock fell to {self.clock_mhz:.0f} of {highest_mhz:.0f} MHz")
        return tuple(said)


@dataclass(kw_only=True)
class ContentionWatch:
    """`start()` before a burst, `stop()` after it. `unwatched` names what this machine does not tell."""

    device: str = "cpu"
    cores: tuple[int, ...] = field(default_factory=own_cores)

    def __post_init__(self) -> None:
        self._counters: dict[str, Counter | None] = {
            "waited": None if run_delay() is None else run_delay,
            "stall": _readable(lambda: pressure(Path("/proc/pressure/cpu"))),
            "cgroup_throttled": None if quota_stops() is None else quota_stops,
            "core_throttled": _readable(lambda: heat_stops(self.cores)),
        }
        self._gpu = throttle_reasons(self.device)
        self._neighbors = siblings(self.cores)

    @property
    def unwatched(self) -> tuple[str, ...]:
        names = {
            "waited": "waiting for a CPU",
            "stall": "CPU pressure",
            "cgroup_throttled": "control group's quota",
            "core_throttled": "heat events",
        }
        missing = [name for key, name in names.items() if self._counters[key] is None]
        missing += ["stolen time"] * (not hasattr(psutil.cpu_times(), "steal"))
        missing += ["clock frequency"] * (clock_mhz(self.cores) is None) + ["temperature"] * (too_hot() is None)
        missing += ["GPU throttling"] * (self.device.startswith("cuda") and self._gpu is None)
        return tuple(missing)

    def start(self) -> None:
        self._before = self._read()

    def stop(self) -> SystemSample:
        """What happened since `start`."""
        now = self._read()
        spent = {key: _less(now[key], self._before[key]) for key in now}
        busy, own = spent.pop("busy"), spent["own_cpu"]
        return SystemSample(
            **spent,  # type: ignore[arg-type]
            others_cpu=None if busy is None else max(0.0, busy - (own or 0.0)),
            clock_mhz=clock_mhz(self.cores),
            too_hot=too_hot(),
            gpu_throttled=None if self._gpu is None else self._gpu(),
        )

    def _read(self) -> dict[str, float | None]:
        busy, steal = core_seconds(self.cores)
        beside = core_seconds(self._neighbors)[0] if self._neighbors else None
        counted = {key: None if counter is None else counter() for key, counter in self._counters.items()}
        used = {"own_cpu": own_cpu(), "busy": busy, "steal": steal, "neighbors_cpu": beside}
        return {"wall": time.perf_counter(), **used, **counted}


def own_cpu() -> float:
    """CPU seconds of this process and its children, dead or alive."""
    past = os.times()
    return time.process_time() + past.children_user + past.children_system + _living_children()


def core_seconds(cores: tuple[int, ...]) -> tuple[float, float | None]:
    """-> (busy, stolen) seconds of these cores since the machine started."""
    times = psutil.cpu_times(percpu=True)
    ours = [times[core] for core in cores if core < len(times)]
    idle = ("idle", "iowait", "steal", "guest", "guest_nice")
    busy = sum(value for t in ours for name, value in t._asdict().items() if name not in idle)
    return busy, sum(t.steal for t in ours) if hasattr(times[0], "steal") else None


def pressure(path: Path) -> float:
    """Seconds in which some task was stalled (`some ... total=` in microseconds)."""
    line = next(line for line in path.read_text().splitlines() if line.startswith("some"))
    return int(line.rsplit("total=", 1)[1]) / 1e6


def heat_stops(cores: tuple[int, ...], root: Path = Path("/sys/devices/system/cpu")) -> float:
    """How often these cores were throttled for heat."""
    return sum(int((root / f"cpu{core}/thermal_throttle/core_throttle_count").read_text()) for core in cores)


def clock_mhz(cores: tuple[int, ...], root: Path = Path("/sys/devices/system/cpu")) -> float | None:
    """The slowest of these cores now; None where it cannot be read."""
    try:
        return min(int((root / f"cpu{core}/cpufreq/scaling_cur_freq").read_text()) for core in cores) / 1000
    except (OSError, ValueError):
        return None


def too_hot() -> bool | None:
    """Whether any sensor is at its own high mark; None where no sensor with a mark can be read."""
    try:
        sensors = psutil.sensors_temperatures()
    except (AttributeError, OSError):
        return None
    marked = [s for group in sensors.values() for s in group if s.current and (s.high or s.critical)]
    return any(s.current >= (s.high or s.critical) for s in marked) if marked else None


def describe(sight: SystemSample) -> dict[str, Any]:
    """JSON-ready, without what could not be read."""
    return {key: value for key, value in vars(sight).items() if value is not None}


def _readable(counter: Counter) -> Counter | None:
    try:
        counter()
    except (OSError, ValueError, IndexError, KeyError, StopIteration):
        return None
    return counter


def _less(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before


def _living_children() -> float:
    spent = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.Error:  # it ended meanwhile and is counted among the dead
            continue
        spent += times.user + times.system
    return spent
