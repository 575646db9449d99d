"""Reads what the system reports about CPU time and waiting, without judging it.

Counters start at a fixed moment: read once before, once after, and subtract. Values that the system does not report are
None.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

PROC = Path("/proc")
CPUS = Path("/sys/devices/system/cpu")
COLUMNS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
NOT_BUSY = ("idle", "iowait", "steal", "guest", "guest_nice")  # a guest's time is part of the user's


class ThreadTimes(NamedTuple):
    """The times of one thread, in seconds."""

    ran: float
    waited: float  # ready to run, without a CPU


class CoreTimes(NamedTuple):
    """The times of one core since the machine started, in seconds."""

    busy: float
    stolen: float | None  # by the hypervisor


class ProcessTimes(NamedTuple):
    """The CPU seconds of one process, and its start time, which distinguishes it from others with the same number."""

    seconds: float
    name: str
    started: float


def allowed_cores() -> tuple[int, ...]:
    """The cores this process may use; all cores if the system does not report it."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def thread_times(pid: int | None = None, proc: Path = PROC) -> dict[int, ThreadTimes]:
    """The times of every living thread of a process (by default this one), by thread number; empty if unknown."""
    folder = proc / ("self" if pid is None else str(pid)) / "task"
    times = {}
    for task in _entries(folder):
        try:
            ran, waited, _ = (folder / task / "schedstat").read_text().split()
            times[int(task)] = ThreadTimes(int(ran) / 1e9, int(waited) / 1e9)
        except (OSError, ValueError):  # the thread has ended
            continue
    return times


def run_delay(proc: Path = PROC) -> float | None:
    """Seconds for which the living threads of this process and of its descendants were ready to run and had no CPU.

    The seconds of a thread are lost when it ends. None if the kernel does not count them.
    """
    if not (proc / "self" / "schedstat").exists():
        return None
    processes = (None, *(child.pid for child in psutil.Process().children(recursive=True)))
    return sum(thread.waited for pid in processes for thread in thread_times(pid, proc).values())


def sibling_cores(cores: Collection[int], root: Path = CPUS) -> tuple[int, ...]:
    """The other logical cores that share a physical core with one of these; empty if unknown."""
    files = (root / f"cpu{core}/topology/thread_siblings_list" for core in cores)
    siblings = {core for file in files for core in _parse_list(_text(file))}
    return tuple(sorted(siblings - set(cores)))


def core_times(proc: Path = PROC) -> dict[int, CoreTimes]:
    """The times of every core that the system lists, by the number that it states.

    Cores that are offline have none; a container may list its cores under numbers that are not those of the machine.
    """
    if not (proc / "stat").exists():
        return {core: _core_times(times._asdict()) for core, times in enumerate(psutil.cpu_times(percpu=True))}
    lines = re.finditer(r"^cpu(\d+) ([\d ]+)$", _text(proc / "stat"), re.MULTILINE)
    counted = {int(line[1]): [int(ticks) / _ticks() for ticks in line[2].split()] for line in lines}
    return {core: _core_times(dict(zip(COLUMNS, seconds, strict=False))) for core, seconds in counted.items()}


def process_times(proc: Path = PROC) -> dict[int, ProcessTimes]:
    """The CPU time of every process, by process number."""
    if not (proc / "self" / "stat").exists():
        return _process_times_without_proc()
    stats = {int(entry): _text(proc / entry / "stat") for entry in _entries(proc) if entry.isdecimal()}
    return {pid: _parse_stat(stat) for pid, stat in stats.items() if ")" in stat}


def ended_children_cpu() -> float:
    """CPU seconds of the child processes of this process that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def living_children_cpu() -> Iterator[tuple[psutil.Process, float]]:
    """The living descendants of this process with their CPU seconds."""
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.Error:  # it has ended and is counted with the ended children
            continue
        yield child, times.user + times.system


def busiest(before: Mapping[int, ProcessTimes], after: Mapping[int, ProcessTimes]) -> str:
    """The name of the process that used most CPU between two calls of `process_times`.

    "another process" if there is none: a process that started and ended in between is not seen.
    """
    used = {pid: _used(before.get(pid), times) for pid, times in after.items()}
    busiest_pid = max(used, key=lambda pid: used[pid], default=None)
    return plain_name("" if busiest_pid is None or used[busiest_pid] <= 0 else after[busiest_pid].name)


def plain_name(name: str) -> str:
    """A process's name without its path, its arguments and the state that it may have appended."""
    first = (name.split() or [""])[0]
    word = first.rpartition("/")[2] if first.startswith("/") else first.partition("/")[0]
    return re.sub(r"[^\w.+-]", "", word.partition(":")[0]) or "another process"


def _core_times(seconds: Mapping[str, float]) -> CoreTimes:
    busy = sum(value for name, value in seconds.items() if name not in NOT_BUSY)
    return CoreTimes(busy, seconds.get("steal"))


def _used(before: ProcessTimes | None, after: ProcessTimes) -> float:
    is_same = before is not None and before.started == after.started
    return after.seconds - (before.seconds if before is not None and is_same else 0.0)


def _parse_stat(stat: str) -> ProcessTimes:
    """A line of /proc/<pid>/stat. The name in parentheses may contain anything, including parentheses."""
    before, _, after = stat.rpartition(")")
    words = after.split()  # from the third field on
    seconds = (int(words[11]) + int(words[12])) / _ticks()
    return ProcessTimes(seconds, before.partition("(")[2], int(words[19]) / _ticks())


def _process_times_without_proc() -> dict[int, ProcessTimes]:
    processes = {}
    for process in psutil.process_iter(["cpu_times", "name", "create_time"]):
        times, name, started = (process.info[key] for key in ("cpu_times", "name", "create_time"))
        if times is not None:
            processes[process.pid] = ProcessTimes(times.user + times.system, name or "", started or 0.0)
    return processes


def _parse_list(text: str) -> set[int]:
    """ "0-2,5" -> {0, 1, 2, 5}."""
    numbers: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        if first.isdecimal() and (not last or last.isdecimal()):
            numbers |= set(range(int(first), int(last or first) + 1))
    return numbers


def _ticks() -> int:
    """The kernel's CPU time counters per second."""
    return os.sysconf("SC_CLK_TCK")


def _entries(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # it does not exist, or no longer
        return []


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
