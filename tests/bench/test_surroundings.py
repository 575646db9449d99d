from typing import Any

import pytest

from paretodet.bench import surroundings as room
from paretodet.bench.surroundings import ENOUGH, Surroundings, look

CLEAN: dict[str, Any] = {"contended": [], "throttled": [], "seconds": 0.5}
DISTURBED = {**CLEAN, "contended": ["other processes used 40 % of a core"]}


class Clock:
    """Stands in for `time`; looking takes as long as it says."""

    def __init__(self, *shares: float) -> None:
        self.now, self.shares, self.windows = 0.0, list(shares), []

    def monotonic(self) -> float:
        return self.now

    def look(self, window: float) -> tuple[float, str]:
        self.now += window
        self.windows.append(window)
        return self.shares.pop(0), "backup"


def around(monkeypatch: pytest.MonkeyPatch, *shares: float, patience: float = 10.0) -> tuple[Surroundings, Clock]:
    clock = Clock(*shares)
    monkeypatch.setattr(room, "time", clock)
    return Surroundings(patience=patience, look=clock.look), clock


def test_a_quiet_run_never_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    here, clock = around(monkeypatch)
    assert here.after(CLEAN) == 0 and here.wait(10.0, print) == 0
    assert clock.windows == [] and here.patience == 10.0


def test_after_a_disturbed_burst_it_waits_for_quiet_and_says_for_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    here, clock = around(monkeypatch, 0.38, 0.4, 0.01)
    said: list[str] = []
    assert here.after(DISTURBED) == 0.5
    assert here.wait(10.0, said.append) == pytest.approx(0.7)
    assert clock.windows == [0.1, 0.2, 0.4]  # each look twice as long
    assert said == ["waiting: backup uses 38 % of a core", "waiting: backup uses 40 % of a core"]
    assert here.patience == pytest.approx(10 - 0.5 - 0.7)


@pytest.mark.parametrize(("most", "windows"), [(0.0, 0), (0.25, 1), (0.5, 2), (3.0, 5)])
def test_waiting_has_an_end(most: float, windows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    here, clock = around(monkeypatch, *[1.0] * 99)
    here.after(DISTURBED)
    assert here.wait(most, lambda sentence: None) <= most
    assert len(clock.windows) == windows


def test_bursts_turn_urgent_when_waiting_does_not_help(monkeypatch: pytest.MonkeyPatch) -> None:
    here, _ = around(monkeypatch)
    for burst in [DISTURBED] * (ENOUGH - 1) + [CLEAN] + [DISTURBED] * (ENOUGH - 1):
        here.after(burst)
        assert not here.raised
    here.after(DISTURBED)
    assert here.raised
    here.after(CLEAN)
    assert here.raised  # for the rest of the run


def test_a_throttled_burst_costs_patience_but_nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    here, clock = around(monkeypatch)
    assert here.after({**CLEAN, "throttled": ["a core was throttled for heat"]}) == 0.5
    assert here.wait(10.0, print) == 0 and clock.windows == []


def test_patience_is_shared_and_never_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    here, _ = around(monkeypatch, patience=0.6)
    assert here.share(3) == pytest.approx(0.2) and here.share(0) == pytest.approx(0.6)
    here.after(DISTURBED)
    here.after(DISTURBED)
    assert here.patience == 0


@pytest.mark.quiet
def test_a_busy_process_is_named() -> None:
    import subprocess
    import sys

    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            shares = [look(0.3) for _ in range(3)]
        finally:
            busy.kill()
    assert any(share > 0.5 and "python" in name for share, name in shares)
