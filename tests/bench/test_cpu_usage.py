"""Reads recorded trees of /proc and /sys, and this machine."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from paretodet.bench import cpu_usage
from paretodet.bench.cpu_usage import (
    CoreTimes,
    ProcessTimes,
    ThreadTimes,
    busiest,
    core_times,
    plain_name,
    process_times,
    run_delay,
    sibling_cores,
    thread_times,
)

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_times_of_threads(tmp_path: Path) -> None:
    proc = write(
        tmp_path,
        {
            "self/schedstat": "1 2 3\n",
            "self/task/7/schedstat": "1500000000 250000000 12\n",
            "self/task/8/schedstat": "0 500000000 1\n",
            "self/task/9/schedstat": "",  # it has ended
            "55/task/55/schedstat": "0 3000000000 1\n",  # another process
        },
    )
    (proc / "self/task/10").mkdir()
    assert thread_times(proc=proc) == {7: ThreadTimes(1.5, 0.25), 8: ThreadTimes(0.0, 0.5)}
    assert run_delay(proc=proc) == 0.75


def test_times_of_the_cores_that_are_online(tmp_path: Path) -> None:
    """With their numbers: with one thread a core, every other one is missing."""
    ticks = " ".join(str(count * TICKS) for count in (1, 2, 4, 50, 60, 8, 16, 3, 70, 80))
    proc = write(tmp_path, {"stat": f"cpu  9 9 9 9\ncpu0 {ticks}\ncpu2 {TICKS} 0 0 5\nintr 1 2\nctxt 3\n"})
    assert core_times(proc) == {0: CoreTimes(31.0, 3.0), 2: CoreTimes(1.0, None)}


def test_without_proc_the_cores_are_counted(tmp_path: Path) -> None:
    assert core_times(tmp_path).keys() == set(range(psutil.cpu_count() or 1))


def test_without_schedstat_there_is_no_run_delay(tmp_path: Path) -> None:
    assert run_delay(proc=write(tmp_path, {"self/task/7/stat": ""})) is None
    assert thread_times(proc=tmp_path) == {} == thread_times(66, tmp_path)


@LINUX
def test_this_process_has_threads_that_ran() -> None:
    assert os.getpid() in thread_times() and thread_times()[os.getpid()].ran > 0
    assert (run_delay() or 0) >= 0


def test_the_waiting_of_child_processes_counts(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        tasks = {"self/task/7": 0.25, f"{child.pid}/task/{child.pid}": 2.0, "55/task/55": 3.0}
        files = {f"{task}/schedstat": f"0 {int(1e9 * waited)} 1\n" for task, waited in tasks.items()}
        assert run_delay(proc=write(tmp_path, {"self/schedstat": "1 2 3\n", **files})) == 2.25
        child.kill()


@pytest.mark.parametrize(
    ("cores", "shared"),
    [((0,), (4,)), ((0, 4), ()), ((0, 1), (4, 5)), ((2,), (3,)), ((3,), (2,)), ((6,), ()), ((7,), ()), ((), ())],
)
def test_sibling_cores_share_a_physical_core(tmp_path: Path, cores: tuple[int, ...], shared: tuple[int, ...]) -> None:
    lists = {0: "0,4", 1: "1,5", 2: "2-3", 3: "2-3\n", 4: "0,4", 5: "1,5", 6: "6\n", 8: "what?"}
    root = write(tmp_path, {f"cpu{core}/topology/thread_siblings_list": text for core, text in lists.items()})
    assert sibling_cores(cores, root) == shared


def stat(name: str, ticks: int, started: int = 5) -> str:
    return f"1 ({name}) R 1 1 1 0 -1 4194304 91 0 0 0 {ticks} {ticks} 7 7 20 0 1 0 {started} 1000 200 1\n"


def test_every_process_is_read_once(tmp_path: Path) -> None:
    names = {"1/stat": stat("a (b) c", 3), "22/stat": stat("python3", 5), "x/stat": stat("no", 1), "33/stat": ""}
    proc = write(tmp_path, {"self/stat": "", **names})
    assert process_times(proc) == {
        1: ProcessTimes(6 / TICKS, "a (b) c", 5 / TICKS),
        22: ProcessTimes(10 / TICKS, "python3", 5 / TICKS),
    }


def test_this_machines_processes_are_read() -> None:
    result = process_times()
    assert result[os.getpid()].seconds > 0 and result[os.getpid()].started > 0


def test_without_proc_psutil_is_used(tmp_path: Path) -> None:
    assert process_times(tmp_path)[os.getpid()].seconds > 0


def test_the_busiest_process_between_two_samples() -> None:
    before = {1: ProcessTimes(5.0, "old", 1.0), 2: ProcessTimes(1.0, "calm", 1.0), 3: ProcessTimes(9.0, "ours", 1.0)}
    now = {1: ProcessTimes(5.2, "old", 1.0), 2: ProcessTimes(1.9, "calm", 1.0), 3: ProcessTimes(99.0, "ours", 1.0)}
    assert busiest(before, now) == "ours"
    later = {**before, 4: ProcessTimes(1.0, "/opt/secret/new --token x", 8.0)}
    assert busiest(before, later) == "new"
    reused = {
        **before,
        2: ProcessTimes(0.8, "other", 7.0),
    }  # fewer seconds than before: another process with the same number
    assert busiest(before, reused) == "other"


def test_without_a_busy_process_the_busiest_is_unnamed() -> None:
    before = {1: ProcessTimes(5.0, "idle", 1.0)}
    assert busiest(before, before) == busiest({}, {}) == busiest(before, {}) == "another process"


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
def test_plain_names_contain_nothing_private(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_cores_are_listed() -> None:
    assert cpu_usage._parse_list("0-2,5\n") == {0, 1, 2, 5}
    assert cpu_usage._parse_list("") == set() == cpu_usage._parse_list("a-b,-")
