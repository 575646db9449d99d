"""`ssh:HOST` against a real ssh server on loopback."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ssh_server
from made_bundles import write_grid
from paretodet.bench.job import Plan
from paretodet.errors import InputError
from paretodet.frontier.searched import SearchResult
from paretodet.places.collect import bundles_of, measure_at
from paretodet.places.host import connected, search_place
from paretodet.places.place import Fleet, RemotePlace, Request
from paretodet.places.runner import CALIBRATION
from paretodet.places.ssh import SshPlace
from paretodet.records.measurement import Measurement
from paretodet.records.store import Store
from paretodet.searching import search
from paretodet.transforms.resize_policy import Stretch

pytestmark = pytest.mark.skipif(ssh_server.why_not() is not None, reason=ssh_server.why_not() or "")
SPACE = ("ssd-mobilenet_v1-300", "yolo_v3_tiny-416")
NAMED = "ssd-mobilenet_v1-300"
QUICK = Plan(processes=2, max_processes=2, slow_processes=2, sampled=0.1, warm=0.05, warm_limit=0.1, patience=2)


def searched(folder: Path, place: Path | RemotePlace | Fleet, *names: str, **options: Any) -> SearchResult:
    """At a place, or on the host with this Python."""
    where = SshPlace(ssh_server.HOST, str(place)) if isinstance(place, Path) else place
    with connected(where, names, notify=options.get("notify", list[str]().append)) as host:
        return search(
            names,
            host=host,
            runtimes=("eager", "onnxruntime"),
            precisions=("fp32",),
            store=folder / "rows.db",
            plan=QUICK,
            minutes=1000,  # both are measured, however slow the machine is
            **options,
        )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Of a server that runs, whose `ssh` and `scp` are the first on PATH."""
    with ssh_server.server(tmp_path) as programs:
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        yield tmp_path


def bundle(folder: Path) -> Path:
    made = folder / 'it\'s a "grid"; $(touch broken)'
    write_grid(made, Stretch(height=96, width=96))
    return made


def measure(folder: Path, python: Path, *names: str) -> list[Measurement]:
    place = SshPlace(ssh_server.HOST, str(python))
    return list(measure_at(place, Request(names=names, plan=QUICK), store=Store(folder / "rows.db")))


def test_a_bundle_and_a_name_are_measured_there_and_a_lost_run_goes_on(folder: Path) -> None:
    python = ssh_server.remote_python(folder, Path(__file__).with_name("toy_runner.py"))
    made = bundle(folder)
    (folder / "home" / "lose").touch()
    with pytest.raises(InputError, match="place-unreachable"):
        measure(folder, python, str(made), NAMED)
    assert len(Store(folder / "rows.db").rows()) == 1
    first, second = measure(folder, python, str(made), NAMED)
    (sha,) = bundles_of(Request(names=(str(made),)))
    assert first.job["bundle"] == sha and first.job["name"] == made.name and second.name == NAMED
    assert first.machine_facts["cores_logical"] == os.cpu_count() and len(Store(folder / "rows.db").rows()) == 2
    copied = folder / "home" / ".cache" / "paretodet" / "bundles" / sha
    assert {path.name for path in copied.iterdir()} == {path.name for path in made.iterdir()}
    assert not list(folder.rglob("broken"))


def test_a_search_goes_on_after_the_connection_was_lost(folder: Path) -> None:
    python = ssh_server.remote_python(folder, Path(__file__).with_name("toy_runner.py"))
    (folder / "home" / "lose").touch()
    with pytest.raises(InputError, match=r"connection ended.*place-unreachable"):
        searched(folder, python, *SPACE)
    (before,) = Store(folder / "rows.db").rows()
    found = searched(folder, python, *SPACE)
    rows = Store(folder / "rows.db").rows()
    assert before.id in {row.id for row in rows} and len(rows) == int(found.measured.sum()) and found.members
    assert {row.run for row in rows} == {found.run}


def test_a_search_on_two_hosts_goes_on_with_one_after_the_other_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = ssh_server.remote_python(tmp_path, Path(__file__).with_name("toy_runner.py"))
    notes = list[str]()
    with ssh_server.servers(tmp_path, ssh_server.HOST, "other") as programs:
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        (tmp_path / "other" / "lose").touch()
        place = search_place(f"ssh:{ssh_server.HOST}", "ssh:other", python=str(python))
        found = searched(tmp_path, place, *SPACE, notify=notes.append)
    rows = Store(tmp_path / "rows.db").rows()
    assert not (tmp_path / "other" / "lose").exists() and any(note.startswith("ssh:other: ") for note in notes)
    assert [row.name for row in rows].count(CALIBRATION) >= 2
    measured = {row.id for row in rows if row.name != CALIBRATION}
    assert {each.row.id for each in found.configurations if each.row} <= measured and not found.undecided


def test_what_a_real_ssh_reports_is_understood(folder: Path) -> None:
    for host, python, says in (
        ("stranger", "python3", "run `ssh stranger` once"),
        (ssh_server.HOST, "no-such-python", "there is no no-such-python there"),
    ):
        with pytest.raises(InputError) as error:
            list(measure_at(SshPlace(host, python), Request(names=(NAMED,)), store=Store(folder / "rows.db")))
        assert says in str(error.value)
    (folder / "user_key").write_text((folder / "host_key").read_text())
    with pytest.raises(InputError, match="ssh-copy-id board"):
        measure(folder, Path("python3"), NAMED)


@pytest.mark.full
def test_the_bench_measures_what_a_search_chooses_there(folder: Path) -> None:
    python, made = ssh_server.remote_python(folder), bundle(folder)
    found = searched(folder, python, str(made), "yolo_v3_tiny-96", gain="-memory_infer_mib")
    rows = Store(folder / "rows.db").rows()
    assert not found.failed and len(found.members) and all(row.latency_ms_p50 and not row.error for row in rows)
    assert {str(row.job["name"]) for row in rows} == {made.name, "yolo_v3_tiny-96"}
    assert all(row.settings["search"]["seconds"] > 0 and row.processes >= 2 for row in rows)
    assert all(row.floor_ms for row in rows if row.job["name"] != made.name)
    again = searched(folder, python, str(made), "yolo_v3_tiny-96", gain="-memory_infer_mib")
    assert again.run == found.run and len(again.members) == len(found.members)


@pytest.mark.full
def test_the_bench_measures_there(folder: Path) -> None:
    (row,) = measure(folder, ssh_server.remote_python(folder), str(bundle(folder)))
    assert row.error is None and row.latency_ms_p50 and row.runtime == "onnxruntime" and row.processes == 2
    assert row.versions["python"] and row.machine_facts["cpu"]
