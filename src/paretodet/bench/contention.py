"""Watches whether other processes, heat or a quota disturbed a burst. What the system does not report is listed.

The counters are read just before and just after a burst, in the worker, which is the only busy process of the bench.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from paretodet.bench.cpu_usage import allowed_cores, ended_children_cpu, living_children_cpu, run_delay, sibling_cores
from paretodet.bench.nvml import throttle_reasons
from paretodet.bench.quota import quota_throttle_count

LIMIT = 0.05  # of a core: stolen time, waiting for a CPU
OTHERS_LIMIT = 0.15  # of a core that others may use if no thread waits for it: caches and memory are shared
TICK = 0.01  # s: the resolution of the kernel's CPU times
MIN_CLOCK_SHARE = 0.85  # of the highest clock seen in this process

Counter = Callable[[], float | None]


@dataclass(frozen=True, kw_only=True)
class SystemSample:
    """What happened during one burst, in seconds unless noted; None if it could not be read."""

    wall: float
    own_cpu: float  # of this process and its children
    others_cpu: float | None
    steal: float | None
    waited: float | None  # threads of this process were ready to run, without a CPU
    stall: float | None  # PSI: some task of the machine waited for a CPU
    cgroup_throttled: float | None  # times the CPU quota ran out
    core_throttled: float | None  # times a core was throttled for heat
    clock_mhz: float | None  # of the slowest allowed core, just after the burst
    too_hot: bool | None  # a sensor is at or above its limit
    neighbors_cpu: float | None = None  # of the other logical cores on the physical cores of this process
    gpu_throttled: tuple[str, ...] | None = None  # NVML's reasons; None on a CPU or without NVML

    def contended(self) -> tuple[str, ...]:
        """Sentences; empty if no other process disturbed the burst.

        If the system reports how long the threads of this process waited for a CPU, that decides, and other processes
        may use up to `OTHERS_LIMIT`. Otherwise they may use up to `LIMIT`.
        """
        waited = self.stall if self.waited is None else self.waited
        limits = (
            (
                "other processes used {} of a core",
                self.others_cpu,
                LIMIT if self.waited is None else OTHERS_LIMIT,
                2 * TICK,
            ),
            ("others on the same physical cores used {} of a core", self.neighbors_cpu, OTHERS_LIMIT, 2 * TICK),
            ("the hypervisor stole {} of a core", self.steal, LIMIT, 2 * TICK),
            ("threads waited for a CPU {} of the time", waited, LIMIT, 0.0),
        )
        reasons = [
            sentence.format(f"{100 * seconds / self.wall:.0f} %")
            for sentence, seconds, limit, step in limits
            if seconds and seconds > limit * self.wall + step
        ]
        if self.cgroup_throttled:
            reasons.append("the control group's CPU quota ran out")
        return tuple(reasons)

    def throttled(self, highest_mhz: float | None) -> tuple[str, ...]:
        """Sentences; empty if nothing was throttled. `highest_mhz` is the highest clock seen so far."""
        reasons = [f"the GPU slowed down: {reason}" for reason in self.gpu_throttled or ()]
        if self.core_throttled:
            reasons.append("a core was throttled for heat")
        if self.too_hot:
            reasons.append("a sensor reached its high mark")
        if self.clock_mhz and highest_mhz and self.clock_mhz < MIN_CLOCK_SHARE * highest_mhz:
            reasons.append(f"the clock fell to {self.clock_mhz:.0f} of {highest_mhz:.0f} MHz")
        return tuple(reasons)


@dataclass(kw_only=True)
class ContentionWatch:
    """Call `start()` before a burst and `stop()` after it. `unwatched` names what this machine does not report."""

    device: str = "cpu"
    cores: tuple[int, ...] = field(default_factory=allowed_cores)

    def __post_init__(self) -> None:
        self._counters: dict[str, Counter | None] = {
            "waited": None if run_delay() is None else run_delay,
            "stall": _readable(lambda: pressure(Path("/proc/pressure/cpu"))),
            "cgroup_throttled": None if quota_throttle_count() is None else quota_throttle_count,
            "core_throttled": _readable(lambda: thermal_throttle_count(self.cores)),
        }
        self._gpu = throttle_reasons(self.device)
        self._neighbors = sibling_cores(self.cores)

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
        changes = {key: _difference(now[key], self._before[key]) for key in now}
        busy, own = changes.pop("busy"), changes["own_cpu"]
        return SystemSample(
            **changes,  # type: ignore[arg-type]
            others_cpu=None if busy is None else max(0.0, busy - (own or 0.0)),
            clock_mhz=clock_mhz(self.cores),
            too_hot=too_hot(),
            gpu_throttled=None if self._gpu is None else self._gpu(),
        )

    def _read(self) -> dict[str, float | None]:
        busy, steal = core_seconds(self.cores)
        neighbors = core_seconds(self._neighbors)[0] if self._neighbors else None
        counted = {key: None if counter is None else counter() for key, counter in self._counters.items()}
        used = {"own_cpu": own_cpu(), "busy": busy, "steal": steal, "neighbors_cpu": neighbors}
        return {"wall": time.perf_counter(), **used, **counted}


def own_cpu() -> float:
    """CPU seconds of this process and its children, ended ones included."""
    living = sum(seconds for _, seconds in living_children_cpu())
    return time.process_time() + ended_children_cpu() + living


def core_seconds(cores: tuple[int, ...]) -> tuple[float, float | None]:
    """-> (busy, stolen) seconds of these cores since the machine started."""
    times = psutil.cpu_times(percpu=True)
    allowed = [times[core] for core in cores if core < len(times)]
    idle = ("idle", "iowait", "steal", "guest", "guest_nice")
    busy = sum(value for t in allowed for name, value in t._asdict().items() if name not in idle)
    return busy, sum(t.steal for t in allowed) if hasattr(times[0], "steal") else None


def pressure(path: Path) -> float:
    """Seconds for which some task was stalled (`some ... total=`, in microseconds)."""
    line = next(line for line in path.read_text().splitlines() if line.startswith("some"))
    return int(line.rsplit("total=", 1)[1]) / 1e6


def thermal_throttle_count(cores: tuple[int, ...], root: Path = Path("/sys/devices/system/cpu")) -> float:
    """How often these cores were throttled because of heat."""
    return sum(int((root / f"cpu{core}/thermal_throttle/core_throttle_count").read_text()) for core in cores)


def clock_mhz(cores: tuple[int, ...], root: Path = Path("/sys/devices/system/cpu")) -> float | None:
    """The current clock of the slowest of these cores; None if it cannot be read."""
    try:
        return min(int((root / f"cpu{core}/cpufreq/scaling_cur_freq").read_text()) for core in cores) / 1000
    except (OSError, ValueError):
        return None


def too_hot() -> bool | None:
    """Whether any sensor is at its limit; None if no sensor with a limit can be read."""
    try:
        sensors = psutil.sensors_temperatures()
    except (AttributeError, OSError):
        return None
    limited = [s for group in sensors.values() for s in group if s.current and (s.high or s.critical)]
    return any(s.current >= (s.high or s.critical) for s in limited) if limited else None


def describe(sample: SystemSample) -> dict[str, Any]:
    """JSON-ready, without the values that could not be read."""
    return {key: value for key, value in vars(sample).items() if value is not None}


def _readable(counter: Counter) -> Counter | None:
    try:
        counter()
    except (OSError, ValueError, IndexError, KeyError, StopIteration):
        return None
    return counter


def _difference(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before
