"""A search with the real bench, over three tiny detectors and a job that cannot be measured."""

from pathlib import Path

import pytest

from paretodet.bench import runner
from paretodet.bench.job import Job, Plan
from paretodet.bench.selftest import SelfTestResult
from paretodet.records.store import Store
from paretodet.searching import search

QUICK = Plan(patience=1.0, sampled=0.05, burst=0.02, warm=0.02, warm_calls=2, warm_limit=0.1)


def broken() -> None:
    raise ArithmeticError("this candidate cannot be made")


@pytest.mark.full
def test_three_tiny_detectors_are_searched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = SelfTestResult(clock_ms=0.0, wait_ms=20.0, twice=2.0, resolution_pct=2.0)
    monkeypatch.setattr(runner, "selftest", lambda *_: result)
    monkeypatch.setattr(runner, "ceilings_of", lambda *_: {"fp32_gflops": 100.0, "copy_gb_s": 10.0})
    names = ["yolo_v3_tiny-96", "ssd-mobilenet_v1-96", "ssd-mobilenet_v1-128"]
    gone = Job(name="broken", make=broken, recipe={"name": "broken"})
    seen: list[str] = []
    found = search(
        [*names, gone],
        minutes=10,
        gain="-memory_infer_mib",
        runtimes=("eager",),
        precisions=("fp32",),
        store=tmp_path / "rows.db",
        plan=QUICK,
        on_row=lambda row: seen.append(row.name),
    )
    assert [each.expected.name for each in found.failed] == ["broken"]
    assert found.failed[0].reason and "cannot be made" in found.failed[0].reason
    assert {found.configurations[index].expected.name for index in found.members} <= {*names} and found.members
    rows = Store(tmp_path / "rows.db").rows()
    assert [row.name for row in rows] == seen and {*seen} == {*names, "broken"}
    timed = [row for row in rows if row.error is None]
    assert all(row.settings["search"]["seconds"] > 0 and row.floor_ms and row.processes >= 2 for row in timed)
    finished = [row.settings["search"]["finished"] for row in rows]
    assert finished == sorted(finished) and finished[-1] <= found.spent
    again = search([*names, gone], minutes=10, gain="-memory_infer_mib", runtimes=("eager",), precisions=("fp32",),
                   store=tmp_path / "rows.db", plan=QUICK)  # fmt: skip
    assert again.run == found.run and {*again.members} == {*found.members}
