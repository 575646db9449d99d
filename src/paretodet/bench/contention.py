"""Watches whether other processes, heat or a quota disturbed a burst. What the system does not report is listed.

The counters are read just before and just after a burst, in the worker, which is the only busy process of the bench.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from paretodet.bench.cpu_usage import (
    allowed_cores,
    core_times,
    ended_children_cpu,
    living_children_cpu,
    run_delay,
    sibling_cores,
)
from paretodet.bench.nvml import others_load, throttle_reasons
from paretodet.bench.quota import quota_throttle_count

LIMIT = 0.05  # of a core: stolen time, waiting for a CPU
OTHERS_LIMIT = 0.15  # of a core that others may use if no thread waits for it: caches and memory are shared
TICK = 0.01  # s: the resolution of the kernel's CPU times
MIN_CLOCK_SHARE = 0.85  # of the highest clock of the same core seen in this process
BUSY_SHARE = 0.5  # of a burst: a core that worked less may have lowered its clock because it was idle

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
    clock_mhz: float | None  # of the busy core that fell furthest, just after the burst
    too_hot: bool | None  # a sensor is at or above its limit
    neighbors_cpu: float | None = None  # of the other logical cores on the physical cores of this process
    gpu_throttled: tuple[str, ...] | None = None  # NVML's reasons; None on a CPU or without NVML
    gpu_others: float | None = None  # of the GPU, by processes outside of this run

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
            ("other work used {} of the GPU", self.gpu_others, LIMIT, 0.0),
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
        """Sentences; empty if nothing was throttled. `highest_mhz` is the highest clock of the same core so far."""
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
    """Call `start()` before a burst and `stop()` after it. `unwatched` names what this machine does not report.

    `highest_mhz` is the highest clock so far of the core whose clock the last sample has.
    """

    device: str = "cpu"
    cores: tuple[int, ...] = field(default_factory=allowed_cores)
    highest_mhz: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._counters: dict[str, Counter | None] = {
            "waited": None if run_delay() is None else run_delay,
            "stall": _readable(lambda: pressure(Path("/proc/pressure/cpu"))),
            "cgroup_throttled": None if quota_throttle_count() is None else quota_throttle_count,
            "core_throttled": _readable(lambda: thermal_throttle_count(self.cores)),
        }
        self._gpu = throttle_reasons(self.device)
        self._gpu_others = others_load(self.device)
        self._saw_gpu_others: bool | None = None  # in any burst; None before the first
        self._neighbors = sibling_cores(self.cores)
        self._has_clock = None not in (clock_mhz(self.cores), core_seconds(self.cores)[0])
        self._highest: dict[int, float] = {}  # core -> MHz

    @property
    def unwatched(self) -> tuple[str, ...]:
        names = {
            "waited": "waiting for a CPU",
            "stall": "CPU pressure",
            "cgroup_throttled": "control group's quota",
            "core_throttled": "heat events",
        }
        missing = [name for key, name in names.items() if self._counters[key] is None]
        busy, stolen = core_seconds(self.cores)
        missing += ["other processes"] * (busy is None) + ["stolen time"] * (stolen is None)
        missing += ["sibling hardware threads"] * (self._neighbors != () and core_seconds(self._neighbors)[0] is None)
        missing += ["clock frequency"] * (not self._has_clock) + ["temperature"] * (too_hot() is None)
        if self.device.startswith("cuda"):
            has_others = self._gpu_others is not None and self._saw_gpu_others is not False
            missing += ["GPU throttling"] * (self._gpu is None) + ["other work on the GPU"] * (not has_others)
        return tuple(missing)

    def start(self) -> None:
        self._core_times, self._since = self._times(), time.time_ns() // 1000
        self._before = self._read()

    def stop(self) -> SystemSample:
        """What happened since `start`."""
        now = self._read()
        changes = {key: _difference(now[key], self._before[key]) for key in now}
        busy, own, wall = changes.pop("busy"), changes["own_cpu"], changes["wall"] or 0.0
        return SystemSample(
            **changes,  # type: ignore[arg-type]
            others_cpu=None if busy is None else max(0.0, busy - (own or 0.0)),
            clock_mhz=self._clock(wall),
            too_hot=too_hot(),
            gpu_throttled=None if self._gpu is None else self._gpu(),
            gpu_others=self._gpu_seconds(wall),
        )

    def _times(self) -> dict[int, float]:
        """The busy seconds of each core, if its clock is watched."""
        return {core: times.busy for core, times in core_times().items()} if self._has_clock else {}

    def _clock(self, wall: float) -> float | None:
        """The clock of the busy core that is furthest below its own highest, which becomes `highest_mhz`."""
        now, before = self._times(), self._core_times
        busy = [core for core in self.cores if now.get(core, 0.0) - before.get(core, 0.0) >= BUSY_SHARE * wall]
        clocks = {core: mhz for core in busy if self._has_clock and (mhz := clock_mhz((core,)))}
        self._highest |= {core: max(mhz, self._highest.get(core, 0.0)) for core, mhz in clocks.items()}
        slowest = min(clocks, key=lambda core: clocks[core] / self._highest[core], default=None)
        self.highest_mhz = None if slowest is None else self._highest[slowest]
        return None if slowest is None else clocks[slowest]

    def _gpu_seconds(self, wall: float) -> float | None:
        share = None if self._gpu_others is None else self._gpu_others(self._since)
        self._saw_gpu_others = bool(self._saw_gpu_others) or share is not None
        return None if share is None else share * wall

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


def core_seconds(cores: tuple[int, ...]) -> tuple[float | None, float | None]:
    """-> (busy, stolen) seconds of these cores since the machine started; None if the system does not report it.

    In a container it may list other cores than those that this process may use.
    """
    times = core_times()
    if not times.keys() >= set(cores):
        return None, None
    stolen = [seconds for core in cores if (seconds := times[core].stolen) is not None]
    return sum(times[core].busy for core in cores), sum(stolen) if len(stolen) == len(cores) else None


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
