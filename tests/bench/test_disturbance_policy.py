from typing import Any

import pytest

from paretodet.bench import disturbance_policy
from paretodet.bench.disturbance_policy import DISTURBED_LIMIT, DisturbancePolicy, sample_load

CLEAN: dict[str, Any] = {"contended": [], "throttled": [], "seconds": 0.5}
DISTURBED = {**CLEAN, "contended": ["other processes used 40 % of a core"]}


class Clock:
    """Replaces `time`; a sample takes as long as its window."""

    def __init__(self, *shares: float) -> None:
        self.now, self.shares, self.windows = 0.0, list(shares), []

    def monotonic(self) -> float:
        return self.now

    def sample(self, window: float) -> tuple[float, str]:
        self.now += window
        self.windows.append(window)
        return self.shares.pop(0), "backup"


def policy_of(
    monkeypatch: pytest.MonkeyPatch, *shares: float, patience: float = 10.0
) -> tuple[DisturbancePolicy, Clock]:
    clock = Clock(*shares)
    monkeypatch.setattr(disturbance_policy, "time", clock)
    return DisturbancePolicy(patience=patience, sample=clock.sample), clock


def test_an_undisturbed_run_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, clock = policy_of(monkeypatch)
    assert policy.record(CLEAN) == 0 and policy.wait(10.0, print) == 0
    assert clock.windows == [] and policy.patience == 10.0


def test_after_a_disturbed_burst_it_waits_and_names_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, clock = policy_of(monkeypatch, 0.38, 0.4, 0.01)
    waits: list[tuple[str, float]] = []
    assert policy.record(DISTURBED) == 0.5
    assert policy.wait(10.0, lambda *each: waits.append(each)) == pytest.approx(0.7)
    assert clock.windows == [0.1, 0.2, 0.4]  # each sample is twice as long
    assert waits == [("backup", 0.38), ("backup", 0.4)]
    assert policy.patience == pytest.approx(10 - 0.5 - 0.7)


@pytest.mark.parametrize(("most", "windows"), [(0.0, 0), (0.25, 1), (0.5, 2), (3.0, 5)])
def test_waiting_is_limited(most: float, windows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, clock = policy_of(monkeypatch, *[1.0] * 99)
    policy.record(DISTURBED)
    assert policy.wait(most, lambda name, load: None) <= most
    assert len(clock.windows) == windows


def test_bursts_get_priority_if_waiting_does_not_help(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, _ = policy_of(monkeypatch)
    for burst in [DISTURBED] * (DISTURBED_LIMIT - 1) + [CLEAN] + [DISTURBED] * (DISTURBED_LIMIT - 1):
        policy.record(burst)
        assert not policy.use_priority
    policy.record(DISTURBED)
    assert policy.use_priority
    policy.record(CLEAN)
    assert policy.use_priority  # for the rest of the run


def test_a_throttled_burst_costs_patience_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, clock = policy_of(monkeypatch)
    assert policy.record({**CLEAN, "throttled": ["a core was throttled for heat"]}) == 0.5
    assert policy.wait(10.0, print) == 0 and clock.windows == []


def test_patience_is_shared_and_never_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, _ = policy_of(monkeypatch, patience=0.6)
    assert policy.share(3) == pytest.approx(0.2) and policy.share(0) == pytest.approx(0.6)
    policy.record(DISTURBED)
    policy.record(DISTURBED)
    assert policy.patience == 0


@pytest.mark.quiet
def test_the_busy_process_is_named() -> None:
    import subprocess
    import sys

    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            shares = [sample_load(0.3) for _ in range(3)]
        finally:
            busy.kill()
    assert any(share > 0.5 and "python" in name for share, name in shares)


def test_a_load_that_cannot_be_read_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disturbance_policy, "core_seconds", lambda cores: (None, None))
    assert sample_load(0.001) == (0.0, "")
