"""Readers of /proc and /sys on recorded trees, and a few on this machine."""

import os
import sys
from pathlib import Path

import pytest

from paretodet.bench import signals
from paretodet.bench.signals import (
    Scheduled,
    Spent,
    busiest,
    busy_seconds,
    involuntary,
    plain_name,
    run_delay,
    siblings,
    spent,
    threads,
)

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_threads_that_waited(tmp_path: Path) -> None:
    proc = write(
        tmp_path,
        {
            "self/schedstat": "1 2 3\n",
            "self/task/7/schedstat": "1500000000 250000000 12\n",
            "self/task/8/schedstat": "0 500000000 1\n",
            "self/task/9/schedstat": "",  # it ended while it was read
            "55/task/55/schedstat": "0 3000000000 1\n",
        },
    )
    (proc / "self/task/10").mkdir()
    assert threads(proc=proc) == {7: Scheduled(1.5, 0.25), 8: Scheduled(0.0, 0.5)}
    assert run_delay(proc=proc) == 0.75
    assert run_delay((None, 55, 66), proc) == 3.75


def test_a_kernel_that_does_not_count_waiting(tmp_path: Path) -> None:
    assert run_delay(proc=write(tmp_path, {"self/task/7/stat": ""})) is None
    assert threads(proc=tmp_path) == {} == threads(66, tmp_path)


@LINUX
def test_this_process_has_threads_that_ran() -> None:
    assert os.getpid() in threads() and threads()[os.getpid()].ran > 0
    assert (run_delay() or 0) >= 0
    assert isinstance(involuntary(), int)


@pytest.mark.parametrize(
    ("cores", "shared"),
    [((0,), (4,)), ((0, 4), ()), ((0, 1), (4, 5)), ((2,), (3,)), ((3,), (2,)), ((6,), ()), ((7,), ()), ((), ())],
)
def test_neighbors_on_a_physical_core(tmp_path: Path, cores: tuple[int, ...], shared: tuple[int, ...]) -> None:
    lists = {0: "0,4", 1: "1,5", 2: "2-3", 3: "2-3\n", 4: "0,4", 5: "1,5", 6: "6\n", 8: "what?"}
    root = write(tmp_path, {f"cpu{core}/topology/thread_siblings_list": text for core, text in lists.items()})
    assert siblings(cores, root) == shared


def test_busy_time_of_some_cores(tmp_path: Path) -> None:
    line = "{} 1 2 4 1000 2000 8 16 4000 8000 9000\n"
    stat = tmp_path / "stat"
    stat.write_text(line.format("cpu ") + line.format("cpu0") + line.format("cpu10") + "intr 5 6\n")
    assert busy_seconds((0,), stat) == 31 / TICKS
    assert busy_seconds((0, 10), stat) == 62 / TICKS
    assert busy_seconds((1,), stat) is None  # offline
    assert busy_seconds((), stat) == 0
    assert busy_seconds((0,), tmp_path / "none") is None


def stat(name: str, ticks: int, started: int = 5) -> str:
    return f"1 ({name}) R 1 1 1 0 -1 4194304 91 0 0 0 {ticks} {ticks} 7 7 20 0 1 0 {started} 1000 200 1\n"


def test_every_process_is_read_once(tmp_path: Path) -> None:
    names = {"1/stat": stat("a (b) c", 3), "22/stat": stat("python3", 5), "x/stat": stat("no", 1), "33/stat": ""}
    proc = write(tmp_path, {"self/stat": "", **names})
    assert spent(proc) == {
        1: Spent(6 / TICKS, "a (b) c", 5 / TICKS),
        22: Spent(10 / TICKS, "python3", 5 / TICKS),
    }


def test_this_machines_processes_are_read() -> None:
    found = spent()
    assert found[os.getpid()].seconds > 0 and found[os.getpid()].started > 0


def test_a_system_without_proc_is_asked_otherwise(tmp_path: Path) -> None:
    assert spent(tmp_path)[os.getpid()].seconds > 0


def test_the_busiest_between_two_looks() -> None:
    before = {1: Spent(5.0, "old", 1.0), 2: Spent(1.0, "calm", 1.0), 3: Spent(9.0, "ours", 1.0)}
    now = {1: Spent(5.2, "old", 1.0), 2: Spent(1.9, "calm", 1.0), 3: Spent(99.0, "ours", 1.0)}
    assert busiest(before, now, wall=2.0, exclude=(3,)) == ("calm", pytest.approx(0.45))
    later = {**now, 4: Spent(1.0, "/opt/secret/new --token x", 8.0)}
    assert busiest(before, later, wall=2.0, exclude={3}) == ("new", 0.5)
    reused = {**before, 2: Spent(0.8, "other", 7.0)}
    assert busiest(before, reused, wall=2.0, exclude={3}) == ("other", 0.4)


@pytest.mark.parametrize("wall", [0.0, 1.0])
def test_nobody_is_the_busiest(wall: float) -> None:
    before = {1: Spent(5.0, "idle", 1.0)}
    assert busiest(before, before, wall=wall) is None
    assert busiest({}, {}, wall=wall) is None
    assert busiest(before, {1: Spent(6.0, "x", 1.0)}, wall=1.0, exclude=[1]) is None


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("python3.11", "python3.11"),
        ("kworker/u8:1-events", "kworker"),
        ("/home/alice/bin/train", "train"),
        ("postgres: alice db", "postgres"),
        ("nginx: worker pr", "nginx"),
        ("Web Content", "Web"),
        ("\x1b[31mred", "31mred"),
        ("(sd-pam)", "sd-pam"),
        ("c++filt", "c++filt"),
        ("", "another process"),
        (" / ", "another process"),
    ],
)
def test_names_give_nobody_away(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_cores_are_listed() -> None:
    assert signals._listed("0-2,5\n") == {0, 1, 2, 5}
    assert signals._listed("") == set() == signals._listed("a-b,-")
