"""Quotas and limits in recorded trees of control groups."""

from pathlib import Path

import pytest

from paretodet.bench import quota as quota_module
from paretodet.bench.quota import (
    cgroup_folders,
    cpu_quota,
    default_threads,
    free_group_mib,
    memory_limit_mib,
    quota_throttle_count,
)


def tree(folder: Path, files: dict[str, str], membership: str) -> tuple[Path, Path]:
    """A mount with these files, and /proc/self/cgroup."""
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "self").write_text(membership)
    return folder / "cgroup", folder / "self"


@pytest.mark.parametrize(
    ("files", "membership", "cores"),
    [
        ({"a/b/cpu.max": "150000 100000\n"}, "0::/a/b\n", 1.5),
        ({"a/b/cpu.max": "max 100000\n"}, "0::/a/b\n", None),
        ({"a/b/cpu.max": "max 100000\n", "a/cpu.max": "200000 100000\n"}, "0::/a/b\n", 2.0),
        ({"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "50000 100000\n"}, "0::/a/b\n", 0.5),
        ({"a/b/cpu.max": "50000 100000\n", "a/cpu.max": "400000 100000\n"}, "0::/a/b\n", 0.5),
        ({"cpu.max": "100000 50000\n"}, "0::/\n", 2.0),  # a container with a cgroup namespace
        ({"cpu.max": "100000 50000\n"}, "0::/system.slice/docker-1.scope\n", 2.0),  # a container with the host's paths
        ({"cpu.max": "100000 50000\n", "other/cpu.max": "1000 50000\n"}, "0::/../other\n", 2.0),
        ({"unified/a/cpu.max": "300000 100000\n"}, "4:memory:/a\n0::/a\n", 3.0),
        (
            {"cpu,cpuacct/b/cpu.cfs_quota_us": "25000\n", "cpu,cpuacct/b/cpu.cfs_period_us": "100000\n"},
            "1:cpu,cpuacct:/b\n0::/\n",
            0.25,
        ),
        (
            {"cpu/b/cpu.cfs_quota_us": "-1\n", "cpu/b/cpu.cfs_period_us": "100000\n"},
            "1:cpu,cpuacct:/b\n0::/\n",
            None,
        ),
        (
            {
                "cpu/cpu.cfs_quota_us": "150000\n",
                "cpu/cpu.cfs_period_us": "100000\n",
            },
            "9:name=systemd:/\n1:cpu:/docker/0123\n",
            1.5,
        ),
        ({"cpu/cpu.cfs_quota_us": "150000\n"}, "1:cpu:/\n", None),
        ({"cpuset/cpu.cfs_quota_us": "1\n", "cpuset/cpu.cfs_period_us": "1\n"}, "1:cpuset:/\n", None),
    ],
)
def test_the_smallest_quota_of_all_groups(tmp_path: Path, files: dict[str, str], membership: str, cores: float) -> None:
    assert cpu_quota(*tree(tmp_path, files, membership)) == cores


@pytest.mark.parametrize(
    "text", ["", "\n", "max", "100000", "many 100000", "1e5 100000", "100000 0", "0 100000", "-1 1"]
)
def test_a_malformed_quota_is_none(tmp_path: Path, text: str) -> None:
    assert cpu_quota(*tree(tmp_path, {"cpu.max": text}, "0::/\n")) is None


def test_unreadable_or_missing_files_are_no_quota(tmp_path: Path) -> None:
    root, membership = tree(tmp_path, {"cpu.max": ""}, "0::/\nnonsense\n:\n")
    (root / "cpu.max").write_bytes(b"\xff\xfe 100000")
    assert cpu_quota(root, membership) is None
    assert cpu_quota(tmp_path / "none", membership) is None
    assert cpu_quota(root, tmp_path / "none") is None


def test_groups_are_listed_upward(tmp_path: Path) -> None:
    root, membership = tree(tmp_path, {"a/b/cpu.max": "max 1", "unified/x": ""}, "0::/a/b\n")
    assert cgroup_folders("cpu", root, membership) == [root / "a/b", root / "a", root, root / "unified"]


@pytest.mark.parametrize(
    ("files", "membership", "mib"),
    [
        ({"a/memory.max": "max\n"}, "0::/a\n", None),
        ({"a/memory.max": "max\n", "memory.max": "536870912\n"}, "0::/a\n", 512.0),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, "4:memory:/\n", None),
        ({"memory/m/memory.limit_in_bytes": "1048576\n"}, "4:memory:/m\n", 1.0),
        ({"memory.max": "much"}, "0::/\n", None),
    ],
)
def test_the_smallest_memory_limit(tmp_path: Path, files: dict[str, str], membership: str, mib: float) -> None:
    assert memory_limit_mib(*tree(tmp_path, files, membership)) == mib


@pytest.mark.parametrize(
    ("files", "membership", "mib"),
    [
        ({"memory.max": "4294967296\n", "memory.current": "1073741824\n"}, "0::/\n", 3072.0),
        (
            {
                "memory.max": "4294967296\n",
                "memory.current": "4290772992\n",
                "memory.stat": "anon 1140850688\ninactive_file 3145728000\nactive_file 4194304\n",
            },
            "0::/\n",
            3004.0,
        ),  # most of it are files that were read once
        (
            {
                "job/step/memory.max": "max\n",
                "job/step/memory.current": "1048576\n",
                "job/memory.max": "8388608\n",
                "job/memory.current": "3145728\n",
            },
            "0::/job/step\n",
            5.0,
        ),  # the limit of a job, of which this process is a step
        (
            {
                "a/memory.max": "8388608\n",
                "a/memory.current": "3145728\n",
                "memory.max": "16777216\n",
                "memory.current": "15728640\n",
            },
            "0::/a\n",
            1.0,
        ),  # others in the parent group use it up
        (
            {
                "memory/m/memory.limit_in_bytes": "8388608\n",
                "memory/m/memory.usage_in_bytes": "7340032\n",
                "memory/m/memory.stat": "inactive_file 0\ntotal_inactive_file 2097152\n",
            },
            "4:memory:/m\n",
            3.0,
        ),
        (
            {
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
                "memory/memory.usage_in_bytes": "7340032\n",
            },
            "4:memory:/\n",
            None,
        ),
        ({"memory.max": "1048576\n", "memory.current": "2097152\n"}, "0::/\n", 0.0),
        ({"memory.max": "max\n", "memory.current": "2097152\n"}, "0::/\n", None),
        ({"memory.max": "1048576\n"}, "0::/\n", None),
        ({"memory.max": "1048576\n", "memory.current": "much"}, "0::/\n", None),
    ],
)
def test_the_least_free_memory_of_all_groups(
    tmp_path: Path, files: dict[str, str], membership: str, mib: float | None
) -> None:
    assert free_group_mib(*tree(tmp_path, files, membership)) == mib


@pytest.mark.parametrize(("quota", "threads"), [(None, 4), (0.5, 1), (1.5, 1), (2.0, 2), (3.9, 3), (16.0, 4)])
def test_default_threads_keep_within_quota_and_cores(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, threads: int
) -> None:
    monkeypatch.setattr(quota_module, "allowed_cores", lambda: (0, 1, 2, 3))
    monkeypatch.setattr(quota_module, "cpu_quota", lambda: quota)
    assert default_threads() == threads


STOPS = "nr_periods 9\nnr_throttled {}\nthrottled_time 3\n"


@pytest.mark.parametrize(
    ("files", "membership", "stops"),
    [
        ({"user.slice/a/cpu.stat": STOPS.format(7), "cpu.stat": "usage_usec 12\n"}, "0::/user.slice/a\n", 7),
        (
            {"a/b/cpu.stat": STOPS.format(0), "a/cpu.stat": STOPS.format(4)},
            "0::/a/b\n",
            4,
        ),  # the quota of the parent group
        ({"cpu/b/cpu.stat": STOPS.format(7)}, "4:memory:/m\n1:cpu,cpuacct:/b\n0::/\n", 7),
        ({"cpu.stat": "usage_usec 12\n"}, "0::/\n", None),
        ({"cpu.stat": "nr_throttled many\n"}, "0::/\n", None),
        ({}, "0::/nowhere\n", None),
    ],
)
def test_throttle_counts_of_all_parent_groups(
    tmp_path: Path, files: dict[str, str], membership: str, stops: int | None
) -> None:
    assert quota_throttle_count(*tree(tmp_path, files, membership)) == stops
