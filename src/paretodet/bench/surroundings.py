"""Other work on this machine, as the run sees it between bursts: waiting for a quiet moment, within limits."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from paretodet.bench.contention import TICK, core_seconds
from paretodet.bench.signals import busiest, own_cores, spent

WINDOW = 0.1  # s of a first look; each further one is twice as long ...
LONGEST = 0.8  # ... up to this
QUIET = 0.05  # of a core that others may use in a quiet moment
ENOUGH = 3  # disturbed bursts in a row after which bursts run at real-time priority


@dataclass(kw_only=True, eq=False)
class Surroundings:
    """How long a run may still lose time to other work, and what it has seen of it.

    `patience` is in seconds: bursts that others disturbed and waiting for a quiet moment use it up.
    """

    patience: float
    look: Callable[[float], "tuple[float, str]"] = field(default_factory=lambda: look)
    disturbed: int = 0  # bursts in a row
    raised: bool = False  # bursts run at real-time priority

    def share(self, processes: int) -> float:
        """Seconds that one of so many processes to come may lose."""
        return self.patience / max(1, processes)

    def wait(self, most: float, tell: Callable[[str], None]) -> float:
        """Waits for a quiet moment for at most so many seconds where the last burst was disturbed -> seconds lost."""
        began, window = time.monotonic(), WINDOW
        while self.disturbed and time.monotonic() - began + window <= most:
            share, name = self.look(window)
            if share <= QUIET:
                break
            tell(f"waiting: {name} uses {100 * share:.0f} % of a core")
            window = min(2 * window, LONGEST)
        return self._lose(time.monotonic() - began)

    def after(self, burst: dict[str, Any]) -> float:
        """Takes note of a burst -> the seconds that it lost."""
        self.disturbed = self.disturbed + 1 if burst["contended"] else 0
        self.raised = self.raised or self.disturbed >= ENOUGH
        return self._lose(burst["seconds"]) if burst["contended"] or burst["throttled"] else 0.0

    def _lose(self, seconds: float) -> float:
        self.patience = max(0.0, self.patience - seconds)
        return seconds


def look(window: float) -> tuple[float, str]:
    """Watches for so many seconds, while nothing of ours works -> (share of a core in use, who uses most of it)."""
    before, (busy, _), began = spent(), core_seconds(own_cores()), time.monotonic()
    time.sleep(window)
    used = core_seconds(own_cores())[0] - busy - TICK  # the kernel counts in such steps
    share = max(0.0, used) / (time.monotonic() - began)
    return share, busiest(before, spent()) if share > QUIET else ""
