"""The limits of this process's control group: CPU quota and memory, free memory, and the default number of threads.

A container often has a CPU quota instead of fewer cores; more threads than that are throttled in every period.
"""

from pathlib import Path

from paretodet.bench.cpu_usage import allowed_cores

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
MIB = 2**20
UNLIMITED = 2**60  # bytes: cgroup v1 reports "no limit" as a number near 2**63


def cpu_quota(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float | None:
    """The CPU quota in cores, of this process's group or of a parent group, whichever is less; None without a quota."""
    return min(filter(None, map(_cores, cgroup_folders("cpu", root, membership))), default=None)


def memory_limit_mib(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float | None:
    """The smallest memory limit of this process's group and its parent groups; None without a limit."""
    limits = (_memory(group) for group in cgroup_folders("memory", root, membership))
    limit = min(filter(None, limits), default=UNLIMITED)
    return None if limit >= UNLIMITED else limit / MIB


def free_group_mib(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float | None:
    """The least memory that this process's group and its parent groups still allow; None without a limit."""
    free = [_free_memory(group) for group in cgroup_folders("memory", root, membership)]
    return min((each / MIB for each in free if each is not None), default=None)


def default_threads() -> int:
    """The default number of threads: one per allowed core, but not more than the CPU quota."""
    quota, cores = cpu_quota(), len(allowed_cores())
    return cores if quota is None else min(cores, max(1, int(quota)))


def quota_throttle_count(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """How often the quota of this process's group or of a parent group ran out; None if unknown."""
    counts = [_throttle_count(group) for group in cgroup_folders("cpu", root, membership)]
    return sum(filter(None, counts)) if any(count is not None for count in counts) else None


def cgroup_folders(controller: str, root: Path = ROOT, membership: Path = MEMBERSHIP) -> list[Path]:
    """Folders of this process's control group and its parent groups, own group first, for cgroup v1 and v2.

    In a container the group may have its path on the host, which does not exist: then the group is the mount's root.
    """
    folders: list[Path] = []
    for line in _lines(membership):
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        for mount in _mounts(controller, names, root):
            folders += _with_parents(mount, path.strip("/"))
    return folders


def _mounts(controller: str, names: str, root: Path) -> list[Path]:
    """Where the hierarchy with these controller names may be mounted."""
    if names == "":  # cgroup v2, alone or in addition to v1
        return [root, root / "unified"]
    return [root / names, root / controller] if controller in names.split(",") else []


def _with_parents(mount: Path, path: str) -> list[Path]:
    parts = path.split("/") if path else []
    if ".." in parts or not mount.joinpath(*parts).is_dir():
        parts = []
    return [mount.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]


def _cores(group: Path) -> float | None:
    quota, period = (*_words(group / "cpu.max"), "", "")[:2]
    if not quota:
        quota, period = ("".join(_words(group / f"cpu.cfs_{what}_us")) for what in ("quota", "period"))
    if not (quota.isdecimal() and period.isdecimal()):  # "max", or -1 in cgroup v1
        return None
    return round(int(quota) / int(period), 3) if int(quota) and int(period) else None


def _throttle_count(group: Path) -> int | None:
    return _numbers(group / "cpu.stat").get("nr_throttled")


def _memory(group: Path) -> int | None:
    limit = "".join(_words(group / "memory.max") or _words(group / "memory.limit_in_bytes"))
    return int(limit) if limit.isdecimal() else None


def _free_memory(group: Path) -> int | None:
    """Bytes; pages of files that were not used lately are free, because the kernel drops them if memory is needed."""
    limit, used = _memory(group), "".join(_words(group / "memory.current") or _words(group / "memory.usage_in_bytes"))
    if limit is None or limit >= UNLIMITED or not used.isdecimal():
        return None
    pages = _numbers(group / "memory.stat")  # in cgroup v1 only the total includes the child groups
    reclaimable = pages.get("total_inactive_file", pages.get("inactive_file", 0))
    return max(0, limit - max(0, int(used) - reclaimable))


def _numbers(file: Path) -> dict[str, int]:
    """The numbers of a file by name, one a line."""
    lines = (line.split() for line in _lines(file))
    return {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdecimal()}


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except (OSError, ValueError):
        return []
