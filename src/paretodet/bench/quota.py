"""What the control group leaves this process: CPU time in cores, memory, and so the threads that a job has by default.

A container has a CPU quota far more often than fewer cores: threads above it are stopped in every period.
"""

from pathlib import Path

from paretodet.bench.signals import own_cores

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
MIB = 2**20
UNLIMITED = 2**60  # bytes: version 1 writes "no limit" as a number near 2**63


def cpu_quota(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float | None:
    """Cores that the CPU quota is worth, of our group or of one above it, whichever is less; None without a quota."""
    return min(filter(None, map(_cores, groups("cpu", root, membership))), default=None)


def memory_limit_mib(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float | None:
    """The least memory limit of our group and of those above it; None without one."""
    limits = (_memory(group) for group in groups("memory", root, membership))
    least = min(filter(None, limits), default=UNLIMITED)
    return None if least >= UNLIMITED else least / MIB


def default_threads() -> int:
    """Threads of a job that names none: one for each core we may use, and no more than the quota keeps running."""
    quota, cores = cpu_quota(), len(own_cores())
    return cores if quota is None else min(cores, max(1, int(quota)))


def quota_stops(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """How often a quota, of our group or of one above it, ran out and stopped its processes; None where not told."""
    counts = [_stops(group) for group in groups("cpu", root, membership)]
    return sum(filter(None, counts)) if any(count is not None for count in counts) else None


def groups(controller: str, root: Path = ROOT, membership: Path = MEMBERSHIP) -> list[Path]:
    """Folders of this process's control group and of every group above it, of both versions, our own first.

    In a container the group's name may be that of the host: then the mount's root is our group.
    """
    found: list[Path] = []
    for line in _lines(membership):
        _, _, named = line.partition(":")
        names, _, path = named.partition(":")
        for mount in _mounts(controller, names, root):
            found += _upward(mount, path.strip("/"))
    return found


def _mounts(controller: str, names: str, root: Path) -> list[Path]:
    """Where a line of the membership that has these controllers' names may be mounted."""
    if names == "":  # version 2, alone or beside version 1
        return [root, root / "unified"]
    return [root / names, root / controller] if controller in names.split(",") else []


def _upward(mount: Path, path: str) -> list[Path]:
    parts = path.split("/") if path else []
    if ".." in parts or not mount.joinpath(*parts).is_dir():
        parts = []
    return [mount.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]


def _cores(group: Path) -> float | None:
    quota, period = (*_words(group / "cpu.max"), "", "")[:2]
    if not quota:
        quota, period = ("".join(_words(group / f"cpu.cfs_{what}_us")) for what in ("quota", "period"))
    if not (quota.isdecimal() and period.isdecimal()):  # "max", and -1 in version 1
        return None
    return round(int(quota) / int(period), 3) if int(quota) and int(period) else None


def _stops(group: Path) -> int | None:
    told = dict(words for line in _lines(group / "cpu.stat") if len(words := line.split()) == 2)
    return int(told["nr_throttled"]) if told.get("nr_throttled", "").isdecimal() else None


def _memory(group: Path) -> int | None:
    found = "".join(_words(group / "memory.max") or _words(group / "memory.limit_in_bytes"))
    return int(found) if found.isdecimal() else None


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except (OSError, ValueError):
        return []
