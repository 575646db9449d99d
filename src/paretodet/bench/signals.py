"""Readers of what the system says about who used the CPU, and who waited for it. They decide nothing.

Numbers count from a fixed moment: take one before, one after, and subtract. What the system does not tell is None.
"""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

PROC = Path("/proc")
CPUS = Path("/sys/devices/system/cpu")


class Scheduled(NamedTuple):
    """Of one thread, in seconds."""

    ran: float
    waited: float  # ready to run, without a CPU


class Spent(NamedTuple):
    """Of one process: CPU seconds of its threads, and when it was started (a mark that its number alone is not)."""

    seconds: float
    name: str
    started: float


def own_cores() -> tuple[int, ...]:
    """The cores this process may use; all where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def threads(pid: int | None = None, proc: Path = PROC) -> dict[int, Scheduled]:
    """Every living thread of a process, ours without a number, by the thread's number; empty where it is not told."""
    folder = proc / ("self" if pid is None else str(pid)) / "task"
    found = {}
    for task in _entries(folder):
        try:
            ran, waited, _ = (folder / task / "schedstat").read_text().split()
            found[int(task)] = Scheduled(int(ran) / 1e9, int(waited) / 1e9)
        except (OSError, ValueError):  # it has ended
            continue
    return found


def run_delay(proc: Path = PROC) -> float | None:
    """Seconds that the living threads of this process were ready to run and had no CPU.

    A thread that has ended takes its seconds with it. None where the kernel does not count them.
    """
    if not (proc / "self" / "schedstat").exists():
        return None
    return sum(thread.waited for thread in threads(proc=proc).values())


def siblings(cores: Collection[int], root: Path = CPUS) -> tuple[int, ...]:
    """The logical cores that share a physical core with one of these and are none of these; empty where not told."""
    files = (root / f"cpu{core}/topology/thread_siblings_list" for core in cores)
    shared = {core for file in files for core in _listed(_text(file))}
    return tuple(sorted(shared - set(cores)))


def spent(proc: Path = PROC) -> dict[int, Spent]:
    """What every process has used, by its number."""
    if not (proc / "self" / "stat").exists():
        return _spent_elsewhere()
    stats = {int(entry): _text(proc / entry / "stat") for entry in _entries(proc) if entry.isdecimal()}
    return {pid: _spent(stat) for pid, stat in stats.items() if ")" in stat}


def busiest(before: Mapping[int, Spent], now: Mapping[int, Spent]) -> str:
    """The name of the process that used most CPU between two looks; "another process" where none is seen to.

    Processes that were started and ended in between are not seen.
    """
    used = {pid: _used(before.get(pid), each) for pid, each in now.items()}
    most = max(used, key=lambda pid: used[pid], default=None)
    return plain_name("" if most is None or used[most] <= 0 else now[most].name)


def plain_name(name: str) -> str:
    """A process's name without path, arguments or what it appended to it."""
    first = (name.split() or [""])[0]
    word = first.rpartition("/")[2] if first.startswith("/") else first.partition("/")[0]
    return re.sub(r"[^\w.+-]", "", word.partition(":")[0]) or "another process"


def _used(before: Spent | None, now: Spent) -> float:
    same = before is not None and before.started == now.started
    return now.seconds - (before.seconds if before is not None and same else 0.0)


def _spent(stat: str) -> Spent:
    """A line of /proc/<pid>/stat. The name in brackets may hold anything, brackets too."""
    before, _, after = stat.rpartition(")")
    words = after.split()  # from the third field on
    return Spent((int(words[11]) + int(words[12])) / _ticks(), before.partition("(")[2], int(words[19]) / _ticks())


def _spent_elsewhere() -> dict[int, Spent]:
    found = {}
    for process in psutil.process_iter(["cpu_times", "name", "create_time"]):
        times, name, started = (process.info[key] for key in ("cpu_times", "name", "create_time"))
        if times is not None:
            found[process.pid] = Spent(times.user + times.system, name or "", started or 0.0)
    return found


def _listed(text: str) -> set[int]:
    """ "0-2,5" -> {0, 1, 2, 5}."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        if first.isdecimal() and (not last or last.isdecimal()):
            found |= set(range(int(first), int(last or first) + 1))
    return found


def _ticks() -> int:
    """Steps in a second in which the kernel counts CPU time."""
    return os.sysconf("SC_CLK_TCK")


def _entries(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # not there, or gone meanwhile
        return []


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
