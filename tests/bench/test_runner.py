"""Order of bursts, rounds and blocks, with fake processes."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_candidates import Honest
from PIL import Image

from paretodet.bench import block, runner
from paretodet.bench import process as parent
from paretodet.bench.block import MeasurementState, run_block
from paretodet.bench.bursts import samples
from paretodet.bench.disturbance_policy import DisturbancePolicy
from paretodet.bench.job import Job, Plan
from paretodet.bench.process import WorkerError, environment, thread_count
from paretodet.bench.runner import OneByOne, measure
from paretodet.bench.selftest import SelfTestResult
from paretodet.records.measurement import Measurement
from paretodet.records.statistics import half_pct


def process(*ms: float) -> dict[str, Any]:
    """The record of a process with these samples."""
    burst = {"infer_ms": [99.0, *ms], "finish_ms": [0.0] * (len(ms) + 1), "seconds": sum(ms) / 1000}
    return {
        "bursts": [{**burst, "contended": [], "throttled": []}],
        "prepare_ms": [5.0, 1.0],
        "stages_ms": None,
        "load_ms": 1.0,
        "first_ms": 1.0,
        "memory_load_mib": 1.0,
        "memory_infer_mib": 1.0,
        "memory_device": {},
        "memory_way": "kernel",
        "unwatched": [],
        "host_bound": False,
        "facts": {"macs": None, "uncounted": [], "device": "cpu", "precision": "fp32"},
    }


def jobs(count: int) -> list[Job]:
    return [Job(name=str(i), make=Honest) for i in range(count)]


class Machine:
    """Replaces `run_block`: each job takes the time of `ms`; `room` jobs fit in memory at a time."""

    def __init__(self, ms: Callable[[str, int], float], room: int = 99) -> None:
        self.ms, self.room = ms, room
        self.blocks: list[list[str]] = []

    def __call__(
        self, cases: Sequence[MeasurementState], plan: Plan, random: Any, notify: Any, **policy: Any
    ) -> list[MeasurementState]:
        reference, *others = cases
        self.blocks.append([case.job.name for case in others[: self.room]])
        assert reference.job.name == "reference"
        for case in [reference, *others[: self.room]]:
            base = self.ms(case.job.name, len(case.raw))
            case.raw.append(process(base, base, base))
            notify(case.job.name, "done")
        return others[self.room :]


def rows_of(machine: Machine, count: int, monkeypatch: pytest.MonkeyPatch, **plan: Any) -> list[Measurement]:
    monkeypatch.setattr(runner, "run_block", machine)
    return list(measure(jobs(count), plan=Plan(**plan), resolution_pct=1.0))


def test_every_candidate_has_three_processes_spread_over_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(lambda name, i: 10 + 0.01 * i)
    rows = rows_of(machine, 8, monkeypatch)
    assert [row.processes for row in rows] == [3] * 8
    for start in range(0, 6, 2):
        assert sorted(sum(machine.blocks[start : start + 2], [])) == sorted(map(str, range(8)))


def test_blocks_are_small_and_shuffled(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(lambda name, i: 10 + 0.01 * i)
    rows_of(machine, 12, monkeypatch, processes=5)
    assert {len(names) for names in machine.blocks} == {6}
    assert len({tuple(names) for names in machine.blocks}) > 5


def test_slow_candidates_have_two(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(lambda name, i: (2000 if name == "1" else 10) + 0.001 * i)
    rows = {row.name: row.processes for row in rows_of(machine, 3, monkeypatch, until_pct=15.0)}
    assert rows == {"0": 3, "1": 2, "2": 3}


def test_wide_intervals_have_more_rounds_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    noise = {"0": 0.0001, "1": 0.2}
    machine = Machine(lambda name, i: 10 * np.exp(noise.get(name, 0) * random.standard_normal()))
    rows = {row.name: row for row in rows_of(machine, 2, monkeypatch, max_processes=7)}
    assert (rows["0"].processes, rows["1"].processes) == (3, 7)
    assert rows["0"].validity == rows["1"].validity == "valid"  # a wide interval does not make a row invalid


def test_only_rows_that_need_more_have_more_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    random, calls = np.random.default_rng(0), []
    machine = Machine(lambda name, i: 10 * np.exp(0.2 * random.standard_normal()))
    monkeypatch.setattr(runner, "run_block", machine)

    def needs_more(rows: Sequence[Measurement], until_pct: float) -> set[str]:
        calls.append(sorted(row.name for row in rows))
        return {row.id for row in rows if row.name == "1" and row.processes < 5}

    rows = {row.name: row for row in measure(jobs(3), plan=Plan(group=2), resolution_pct=1.0, needs_more=needs_more)}
    assert {name: row.processes for name, row in rows.items()} == {"0": 3, "1": 5, "2": 3}
    assert calls == [["0", "1"], ["0", "1"], ["0", "1"], ["0", "1", "2"]]  # including the finished rows


def test_no_further_round_over_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    machine = Machine(lambda name, i: 10 * np.exp(0.2 * random.standard_normal()))
    (row,) = rows_of(machine, 1, monkeypatch, budget=0.0)
    assert row.processes == 3


def test_candidates_without_memory_wait_for_the_next_block(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(lambda name, i: 10 + 0.01 * i, room=1)
    rows = rows_of(machine, 3, monkeypatch)
    assert [row.processes for row in rows] == [3, 3, 3]
    assert Counter(sum(machine.blocks, [])) == {"0": 3, "1": 3, "2": 3}


def test_a_job_that_cannot_run_here_is_an_error_row_without_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(lambda name, n: 10.0)
    monkeypatch.setattr(runner, "run_block", machine)
    first, second = jobs(2)
    refused = replace(first, refused="runtime x needs x [extra-missing]", asked={"runtime": "x"})
    rows = {row.name: row for row in measure([refused, second], resolution_pct=1.0)}
    assert machine.blocks and all(names == ["1"] for names in machine.blocks)
    assert (rows["0"].validity, rows["0"].error, rows["0"].runtime) == ("error", refused.refused, "x")
    assert rows["1"].latency_ms_p50 == 10.0
    assert [row.validity for row in measure([refused], resolution_pct=1.0)] == ["error"]


def test_rows_are_finished_group_by_group(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(lambda name, i: 10 + 0.01 * i)
    monkeypatch.setattr(runner, "run_block", machine)
    running = measure(jobs(5), plan=Plan(group=2), resolution_pct=1.0)
    first = [next(running).name, next(running).name]
    assert first == ["0", "1"]
    assert set(sum(machine.blocks, [])) == {"0", "1"}
    assert [row.name for row in running] == ["2", "3", "4"]


def test_a_drifting_reference_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = iter(range(100))
    machine = Machine(lambda name, i: 10 * 1.1 ** next(blocks) if name == "reference" else 10 + 0.001 * i)
    (row,) = rows_of(machine, 1, monkeypatch, processes=5)
    assert row.validity == "valid"
    assert "reference candidate drifted by ± 21 %" in row.reasons[0]  # sqrt(1.1^4)
    assert row.disturbed_pct == pytest.approx(21 - half_pct(row), abs=0.1)


def test_images_are_read_once_and_named_when_broken(tmp_path: Path) -> None:
    good, broken = tmp_path / "a.png", tmp_path / "b.png"
    Image.new("RGB", (8, 6)).save(good)
    broken.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="b.png: not an image"):
        measure([Job(name="x", make=Honest, images=(good, broken))], resolution_pct=1.0)


def test_samples_exclude_the_first_call_of_a_burst() -> None:
    assert samples(process(1.0, 2.0)) == [1.0, 2.0]


class FakeWorker:
    """A worker with scripted answers; it records the requests."""

    requests: list[tuple[str, str]] = []
    disturbed: tuple[bool, ...] = ()  # whether the first bursts of each worker are disturbed

    def __init__(self, job: Job, plan: Plan, notify: Any = None) -> None:
        self.name, self.bursts = job.name, 0

    def ready(self) -> None: ...
    def stop(self) -> None: ...
    def __enter__(self) -> "FakeWorker":
        return self

    def __exit__(self, *_: object) -> None: ...

    def ask(self, command: str, *args: Any) -> dict[str, Any]:
        self.requests.append((command, self.name))
        if command == "burst" and self.name == "bad":
            raise WorkerError("no good")
        if command != "burst":
            return {"stages_ms": None}
        self.bursts += 1
        bad = self.bursts <= len(self.disturbed) and self.disturbed[self.bursts - 1]
        return process(10.0, 10.0)["bursts"][0] | {"seconds": 0.5, "contended": ["others"] if bad else []}


class CrowdedWorker(FakeWorker):
    """If its name is "big", memory runs out in it at `command` while `limit` or more workers live."""

    living: set[str] = set()
    command, message, limit = "burst", "", 2

    def __enter__(self) -> "CrowdedWorker":
        self.living.add(self.name)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.living.discard(self.name)

    def ask(self, command: str, *args: Any) -> dict[str, Any]:
        if (command, self.name) == (self.command, "big") and len(self.living) >= self.limit:
            self.requests.append((command, self.name))
            raise WorkerError(self.message)
        return super().ask(command, *args)


def block_of(
    names: str,
    monkeypatch: pytest.MonkeyPatch,
    free: Callable[[], float] = lambda: 100.0,
    *,
    disturbed: tuple[bool, ...] = (),
    share: float = 0.0,
    kind: type[FakeWorker] = FakeWorker,
) -> Any:
    FakeWorker.requests, FakeWorker.disturbed = [], disturbed
    monkeypatch.setattr(block, "Worker", kind)
    monkeypatch.setattr(block, "free_mib", free)
    cases = [MeasurementState(job=Job(name=name, make=Honest), images=[]) for name in names.split()]
    policy = DisturbancePolicy(patience=2 * share, sample=lambda window: (0.0, ""))
    left = run_block(
        cases, Plan(sampled=1.2), np.random.default_rng(0), lambda name, phase: None, policy=policy, max_loss=share
    )
    return cases, left


def test_a_process_continues_until_it_has_enough_clean_time(monkeypatch: pytest.MonkeyPatch) -> None:
    (case,), _ = block_of("a", monkeypatch, disturbed=(True, False, True), share=10.0)
    assert [bool(burst["contended"]) for burst in case.raw[0]["bursts"]] == [True, False, True, False, False]


@pytest.mark.parametrize(("share", "bursts"), [(0.0, 3), (2.0, 4), (3.0, 6)])
def test_bursts_end_when_patience_is_used_up(share: float, bursts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least the plan's time is sampled; disturbed bursts of half a second use up the share."""
    (case,), _ = block_of("a", monkeypatch, disturbed=(True,) * 99, share=share)
    assert len(case.raw[0]["bursts"]) == bursts


def test_a_reference_samples_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "Worker", FakeWorker)
    FakeWorker.requests, FakeWorker.disturbed = [], ()
    case = MeasurementState(job=Job(name="reference", make=Honest), images=[], sampled=0.3)
    run_block([case], Plan(sampled=1.2), np.random.default_rng(0), lambda name, phase: None)
    assert len(case.raw[0]["bursts"]) == 1


def test_bursts_alternate_between_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker has a second burst before every worker had one; all loads precede all bursts."""
    cases, left = block_of("a b c", monkeypatch)
    commands = [command for command, _ in FakeWorker.requests]
    assert commands[:3] == ["load"] * 3
    turns = [name for command, name in FakeWorker.requests if command == "burst"]
    assert [sorted(turns[i : i + 3]) for i in (0, 3, 6)] == [["a", "b", "c"]] * 3
    assert len(turns) == 9
    assert left == []
    assert all(len(case.raw) == 1 and len(case.raw[0]["bursts"]) == 3 for case in cases)


def test_an_error_does_not_stop_other_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    (good, bad), _ = block_of("good bad", monkeypatch)
    assert bad.error == "no good" and bad.raw == []
    assert good.error is None and len(good.raw) == 1
    assert FakeWorker.requests.count(("burst", "bad")) == 1


NO_MEMORY = (
    "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
    "the process was killed by SIGKILL, often because memory ran out",
)


@pytest.mark.parametrize("message", NO_MEMORY)
@pytest.mark.parametrize("command", ["load", "burst"])
def test_a_candidate_without_memory_beside_others_is_measured_alone(
    command: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CrowdedWorker, "command", command)
    monkeypatch.setattr(CrowdedWorker, "message", message)
    cases, left = block_of("a big b", monkeypatch, kind=CrowdedWorker)
    assert left == [] and [(case.error, len(case.raw)) for case in cases] == [(None, 1)] * 3
    assert FakeWorker.requests[-1] == ("close", "big") and FakeWorker.requests.count(("load", "big")) == 2


def test_a_candidate_without_memory_for_itself_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CrowdedWorker, "limit", 1)
    monkeypatch.setattr(CrowdedWorker, "message", NO_MEMORY[0])
    (other, big), left = block_of("a big", monkeypatch, kind=CrowdedWorker)
    assert (big.error, big.raw, left) == (NO_MEMORY[0], [], [])
    assert other.error is None and FakeWorker.requests.count(("load", "big")) == 2


def test_half_of_the_free_memory_is_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = iter([100.0, 70.0, 40.0, 40.0])  # at the start, then before each load except the first
    cases, left = block_of("a b c d", monkeypatch, lambda: next(memory))
    assert len(left) == 2
    assert all(len(case.raw) == (case not in left) for case in cases)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 0}, "batch of x is 0"),
        ({"threads": 0}, "threads of x is 0"),
        ({"about": {"speed": 1}}, "'speed', which is not a field"),
    ],
)
def test_a_wrong_job_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Job(name="x", make=Honest, **wrong)


@pytest.mark.parametrize("wrong", [{"processes": 1}, {"slow_processes": 1}, {"until_pct": 0.0}, {"patience": -1.0}])
def test_a_wrong_plan_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Plan(**wrong)


def test_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("KMP_BLOCKTIME", raising=False)
    with environment({"OMP_NUM_THREADS": "1", "KMP_BLOCKTIME": "0"}):
        assert (os.environ["OMP_NUM_THREADS"], os.environ["KMP_BLOCKTIME"]) == ("1", "0")
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "KMP_BLOCKTIME" not in os.environ


def test_the_default_thread_count_depends_on_cores_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent, "default_threads", lambda: 3)
    assert thread_count(Job(name="x", make=Honest)) == 3
    assert thread_count(Job(name="x", make=Honest, threads=5)) == 5


def test_jobs_that_are_measured_one_by_one_share_the_self_test_and_the_ceilings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls, machine = list[str](), Machine(lambda name, i: 10.0)
    monkeypatch.setattr(runner, "run_block", machine)
    monkeypatch.setattr(runner, "preload", lambda jobs: calls.append(f"import for {len(list(jobs))}"))
    result = SelfTestResult(clock_ms=0.0, wait_ms=20.0, twice=2.0, resolution_pct=1.5)
    monkeypatch.setattr(runner, "selftest", lambda *_: calls.append("self-test") or result)
    ceilings = {"fp32_gflops": 100.0, "copy_gb_s": 10.0}
    monkeypatch.setattr(runner, "ceilings_of", lambda *_: calls.append("ceilings") or ceilings)
    every = [*jobs(3), replace(jobs(1)[0], name="gone", refused="it cannot run here")]
    bench = OneByOne(every, plan=Plan(), run="r", on_progress=lambda progress: None)
    bench.start()
    rows = [bench(job, patience=0.5, processes=2) for job in (every[2], every[0], every[3])]
    assert calls == ["import for 3", "self-test", "ceilings"]
    assert machine.blocks == [["2"], ["2"], ["0"], ["0"]]
    assert [(row.name, row.run, row.error) for row in rows] == [
        ("2", "r", None), ("0", "r", None), ("gone", "r", "it cannot run here"),
    ]  # fmt: skip
    assert {row.settings["plan"]["patience"] for row in rows} == {0.5}
    assert [row.ceilings for row in rows] == [ceilings, ceilings, None]
    assert {row.resolution_pct for row in rows} == {1.5}
