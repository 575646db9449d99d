"""What a run does about other processes of the machine: it waits between bursts, for a limited time, until idle."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from paretodet.bench.contention import TICK, core_seconds
from paretodet.bench.cpu_usage import allowed_cores, busiest, process_times

FIRST_WINDOW = 0.1  # s of the first sample of the load; each further one is twice as long ...
MAX_WINDOW = 0.8  # ... up to this
IDLE = 0.05  # of a core that other processes may use on an idle machine
DISTURBED_LIMIT = 3  # consecutive disturbed bursts after which bursts run at real-time priority


@dataclass(kw_only=True, eq=False)
class DisturbancePolicy:
    """How much time a run may still lose to other processes, and how many bursts they have disturbed.

    `patience` is in seconds. Disturbed bursts and waiting reduce it.
    """

    patience: float
    sample: Callable[[float], "tuple[float, str]"] = field(default_factory=lambda: sample_load)
    disturbed: int = 0  # consecutive disturbed bursts
    use_priority: bool = False  # whether bursts run at real-time priority

    def share(self, processes: int) -> float:
        """The seconds that each of the remaining processes may lose."""
        return self.patience / max(1, processes)

    def wait(self, max_seconds: float, notify: Callable[[str, float], None]) -> float:
        """If the last burst was disturbed, waits at most this time for an idle machine. Returns the seconds lost.

        `notify` is called with the name of the busiest process and the share of a core that all processes use.
        """
        start, window = time.monotonic(), FIRST_WINDOW
        while self.disturbed and time.monotonic() - start + window <= max_seconds:
            load, name = self.sample(window)
            if load <= IDLE:
                break
            notify(name, load)
            window = min(2 * window, MAX_WINDOW)
        return self._lose(time.monotonic() - start)

    def record(self, burst: dict[str, Any]) -> float:
        """Updates the policy after a burst. Returns the seconds that the burst lost."""
        self.disturbed = self.disturbed + 1 if burst["contended"] else 0
        self.use_priority = self.use_priority or self.disturbed >= DISTURBED_LIMIT
        return self._lose(burst["seconds"]) if burst["contended"] or burst["throttled"] else 0.0

    def _lose(self, seconds: float) -> float:
        self.patience = max(0.0, self.patience - seconds)
        return seconds


def waiting_phase(name: str, load: float) -> str:
    """The phase of a `Progress` while a run waits: what `DisturbancePolicy.wait` reports, as text."""
    return f"waiting: {name} uses {100 * load:.0f} % of a core"


def sample_load(window: float) -> tuple[float, str]:
    """Samples the machine for `window` seconds while no worker is busy.

    Returns the share of a core that is in use, and the name of the process that uses most of it; no load if the system
    does not report it.
    """
    before, (busy, _), start = process_times(), core_seconds(allowed_cores()), time.monotonic()
    time.sleep(window)
    now, _ = core_seconds(allowed_cores())
    if busy is None or now is None:
        return 0.0, ""
    used = now - busy - TICK  # the resolution of the kernel's counters
    load = max(0.0, used) / (time.monotonic() - start)
    return load, busiest(before, process_times()) if load > IDLE else ""
