"""Hostile candidates in fresh processes: each becomes a row, and the run continues."""

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from bench_candidates import (
    QUICK,
    Blind,
    Bound,
    Busy,
    Deferring,
    Dying,
    FalseBench,
    FalseTime,
    Forking,
    Hanging,
    Honest,
    Hungry,
    Leaving,
    Polite,
    Raising,
    Resuming,
    Shifting,
    Spinning,
    Stubborn,
)

from paretodet.bench.bursts import headline_samples
from paretodet.bench.contract import ContractError, check_clock
from paretodet.bench.cpu_usage import allowed_cores
from paretodet.bench.job import Job, Progress
from paretodet.bench.process import Worker, WorkerError
from paretodet.bench.runner import measure
from paretodet.bench.synthetic_images import draw_images
from paretodet.records.measurement import Measurement

pytestmark = pytest.mark.quiet  # on a busy machine a row may be contended before its candidate is hostile
LONGER = replace(QUICK, burst=0.3, sampled=0.9)  # enough bursts for a median, with time between them
CANDIDATES = {
    "honest": Honest,
    "deferring": Deferring,
    "raising": Raising,
    "blind": Blind,
    "shifting": Shifting,
    "dying": Dying,
    "leaving": Leaving,
    "unsendable": lambda: Honest(),
}
events: list[Progress] = []


@pytest.fixture(scope="module")
def rows() -> dict[str, Measurement]:
    jobs = [Job(name=name, make=make, threads=1, about={"ap": 12.5}) for name, make in CANDIDATES.items()]
    result = list(measure(jobs, plan=QUICK, resolution_pct=2.5, run="r1", on_progress=events.append))
    return {row.name: row for row in result}


def test_every_job_has_one_row(rows: dict[str, Measurement]) -> None:
    assert set(rows) == set(CANDIDATES)
    assert len({row.id for row in rows.values()}) == len(CANDIDATES)
    assert {row.run for row in rows.values()} == {"r1"}


def test_an_honest_row_is_complete(rows: dict[str, Measurement]) -> None:
    row = rows["honest"]
    assert row.error is None and row.validity != "error"
    assert (row.processes, row.threads, row.batch, row.resolution_pct, row.ap) == (2, 1, 1, 2.5, 12.5)
    assert row.latency_ms_p50_low <= row.latency_ms_p50 <= row.latency_ms_p50_high
    assert row.latency_ms_p50 >= 2
    assert row.total_ms == row.prepare_ms + row.latency_ms_p50
    assert row.samples == sum(map(len, headline_samples(row.raw)))
    assert row.settings["environment"]["OMP_WAIT_POLICY"] == "PASSIVE"
    assert row.machine and row.versions["torch"]
    assert all(process["reference_ms"] > 0 for process in row.raw)


def test_a_row_survives_json(rows: dict[str, Measurement]) -> None:
    text = json.dumps(rows["honest"].to_json())
    assert json.loads(json.dumps(Measurement.from_json(json.loads(text)).to_json())) == json.loads(text)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("deferring", "returned before its work was done"),
        ("raising", "ArithmeticError: the candidate failed"),
        ("blind", "scores contains NaN"),
        ("shifting", "changed between calls"),
        ("dying", "the process ended with exit code 3 before it answered"),
        ("leaving", "SystemExit: 4"),
        ("unsendable", "cannot be sent to a fresh process"),
    ],
)
def test_a_hostile_candidate_is_an_error_row(rows: dict[str, Measurement], name: str, message: str) -> None:
    row = rows[name]
    if row.validity == "contended":
        pytest.skip(f"the row is contended: {row.reasons[0]}")
    assert row.validity == "error" and not row.usable
    assert message in (row.error or "") and "\n" not in (row.error or "")
    assert row.reasons == (row.error,)
    assert row.ap == 12.5


def test_progress_counts_up_to_the_end(rows: dict[str, Measurement]) -> None:
    assert {event.phase for event in events} >= {"start", "load", "burst", "done", "error"}
    done = [event.done for event in events]
    assert done == sorted(done)
    measured = [event.name for event in events if event.phase == "done" and event.name in CANDIDATES]
    assert events[-1].done == events[-1].total == len(measured)  # "deferring" may fail only in its second process
    assert measured.count("honest") == 2 and set(measured) <= {"honest", "deferring"}
    assert events[0].left is None and events[-1].left == 0


def test_no_process_is_left(rows: dict[str, Measurement]) -> None:
    assert multiprocessing.active_children() == []


def test_memory_of_a_fresh_process() -> None:
    (row,) = measure([Job(name="hungry", make=Hungry, threads=1)], plan=QUICK, resolution_pct=1.0)
    assert 190 <= row.memory_infer_mib <= 215
    assert row.memory_load_mib < 20


def test_a_candidate_that_hangs_is_killed() -> None:
    with Worker(Job(name="hanging", make=Hanging), replace(QUICK, timeout=1.5)) as worker:
        worker.ready()
        with pytest.raises(WorkerError, match="no answer within 1.5 s"):
            worker.ask("load", draw_images(0, 1))
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(sys.platform != "linux", reason="affinity and priorities as Linux has them")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (FalseTime, "clock: time.perf_counter was replaced"),
        pytest.param(FalseBench, "clock: its process measured", marks=pytest.mark.full),  # 7 s
        pytest.param(
            Bound,
            "affinity: the candidate bound its process to core ",
            marks=pytest.mark.skipif(len(allowed_cores()) < 2, reason="one core"),
        ),
        (Polite, "priority: the candidate changed"),
        pytest.param(
            Spinning,
            "returned before its work was done: a spinning thread of its process used",
            marks=pytest.mark.full,  # half a minute
        ),
        (Resuming, "kept working: a "),
    ],
)
def test_manipulations_of_time_are_named(make: type[Honest], message: str) -> None:
    jobs = [Job(name="hostile", make=make, threads=1), Job(name="other", make=partial(Honest, 0.1), threads=1)]
    row, other = sorted(measure(jobs, plan=LONGER, resolution_pct=1.0), key=lambda row: row.name != "hostile")
    if row.validity == "contended":
        pytest.skip(f"the row is contended: {row.reasons[0]}")
    assert row.validity == "error" and (row.error or "").startswith(message)
    assert other.error is None


def test_the_parents_clock_detects_a_false_clock() -> None:
    with Worker(Job(name="hostile", make=FalseBench, threads=1), LONGER) as worker:
        worker.ready()
        worker.ask("load", draw_images(0, 1))
        bursts = [worker.ask("burst") for _ in range(3)]
    with pytest.raises(ContractError, match="^clock: its process measured"):
        check_clock([burst["wall_s"] for burst in bursts], [burst["asked_s"] for burst in bursts])


def gone(number: int) -> bool:
    return not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("daemon", [False, True], ids=["child", "daemon"])
def test_working_children_are_named_and_ended(tmp_path: Path, daemon: bool) -> None:
    make = partial(Forking, tmp_path / "number", daemon=daemon)
    (row,) = measure([Job(name="forking", make=make, threads=1)], plan=QUICK, resolution_pct=1.0)
    assert (row.error or "").startswith("returned before its work was done: its child process ")
    assert gone(int((tmp_path / "number").read_text()))


def test_children_of_a_dying_candidate_are_ended(tmp_path: Path) -> None:
    make = partial(Forking, tmp_path / "number", daemon=True, dies=True)
    (row,) = measure([Job(name="dying", make=make, threads=1)], plan=QUICK, resolution_pct=1.0)
    assert row.error == "the process ended with exit code 3 before it answered"
    assert gone(int((tmp_path / "number").read_text()))


def test_a_candidate_that_never_returns_is_an_error_row(tmp_path: Path) -> None:
    hanging = Job(name="hanging", make=partial(Stubborn, tmp_path / "number"), threads=1)
    jobs = [hanging, Job(name="honest", make=Honest, threads=1)]
    rows = {row.name: row for row in measure(jobs, plan=replace(QUICK, timeout=2.0), resolution_pct=1.0)}
    assert rows["hanging"].error == "no answer within 2 s"
    assert rows["honest"].error is None
    assert gone(int((tmp_path / "number").read_text())) and multiprocessing.active_children() == []


CHATTY = """
from bench_candidates import QUICK, Chatty
from paretodet.bench.job import Job
from paretodet.bench.process import Worker
from paretodet.bench.synthetic_images import draw_images
if __name__ == "__main__":
    with Worker(Job(name="chatty", make=Chatty, threads=1), QUICK) as worker:
        worker.ready()
        worker.ask("load", draw_images(0, 1))
        print("calls:", len(worker.ask("burst")["infer_ms"]) > 0)
"""


def test_a_candidate_that_prints_does_not_write_to_stdout(tmp_path: Path) -> None:
    script = tmp_path / "chatty.py"
    script.write_text(CHATTY)
    paths = {"PYTHONPATH": os.pathsep.join((str(Path(__file__).parent), *sys.path))}
    ran = subprocess.run([sys.executable, script], env=os.environ | paths, capture_output=True, text=True, check=True)
    assert ran.stdout == "calls: True\n"
    assert "a candidate prints" in ran.stderr


KILLED = """
import os, signal, sys, threading
from functools import partial
from bench_candidates import QUICK, Honest
from paretodet.bench.job import Job
from paretodet.bench.runner import measure
def kill_during_a_call(progress):
    if (progress.name, progress.phase) == ("slow", "burst") and sys.argv[1:] == ["killed"]:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
if __name__ == "__main__":
    slow = Job(name="slow", make=partial(Honest, 0.5), threads=1)
    list(measure([slow], plan=QUICK, resolution_pct=1.0, on_progress=kill_during_a_call))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only there a server forks the workers")
@pytest.mark.full  # half a minute
def test_a_killed_process_leaves_neither_words_nor_processes_nor_files(tmp_path: Path) -> None:
    """The next run removes its files. The output of a command ends with the last of its processes."""
    (tmp_path / "killed.py").write_text(KILLED)
    with tempfile.TemporaryDirectory() as folder:  # a short path, because it is that of a socket
        paths = {"PYTHONPATH": os.pathsep.join((str(Path(__file__).parent), *sys.path)), "TMPDIR": folder}
        options: dict[str, Any] = {"env": os.environ | paths, "capture_output": True, "text": True, "timeout": 120}
        killed = subprocess.run([sys.executable, tmp_path / "killed.py", "killed"], **options)
        assert (killed.returncode, killed.stdout, killed.stderr) == (-signal.SIGKILL, "", "")
        assert [name for name in os.listdir(folder) if name.startswith("pymp-")]
        whole = subprocess.run([sys.executable, tmp_path / "killed.py"], **options)
        assert (whole.returncode, whole.stderr) == (0, "")
        assert [name for name in os.listdir(folder) if name.startswith("pymp-")] == []


def test_an_interruption_keeps_rows_and_leaves_no_process() -> None:
    jobs = [Job(name=str(i), make=make, threads=1) for i, make in enumerate([Raising, partial(Honest, 0.01)])]
    running = measure(jobs, plan=QUICK, resolution_pct=1.0)
    assert next(running).name == "0"
    running.close()
    assert multiprocessing.active_children() == []


@contextlib.contextmanager
def spinners(name: str) -> Iterator[Callable[[Progress], None]]:
    """Other processes keep every core busy while the job of this name is loaded and measured, as its progress says."""
    others: list[subprocess.Popen[bytes]] = []

    def end() -> None:
        for other in others:
            other.kill()
            other.wait()
        others.clear()

    def follow(progress: Progress) -> None:
        if (progress.name, progress.phase) == (name, "load"):
            others.extend(subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in allowed_cores())
        elif (progress.name, progress.phase) == (name, "done"):
            end()

    try:
        yield follow
    finally:
        end()


def test_a_busy_process_on_every_core_is_contention() -> None:
    plan, job = replace(QUICK, burst=0.3, patience=0.0), Job(name="busy", make=partial(Busy, 0.01))
    with spinners("busy") as follow:
        (row,) = measure([job], plan=plan, resolution_pct=1.0, on_progress=follow)
    assert row.validity == "contended"
    assert not row.usable
    assert any("other processes used" in reason for reason in row.reasons)
