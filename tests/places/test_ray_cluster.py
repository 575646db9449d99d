"""`ray:ADDRESS` with a real cluster of two nodes on this machine."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread

import pytest

import ray_cluster
from made_bundles import write_grid
from paretodet.bench.job import Plan
from paretodet.errors import InputError
from paretodet.places.fleet import measure_on_all
from paretodet.places.host import connected, search_place
from paretodet.places.place import Request
from paretodet.places.ray import fleet_of
from paretodet.places.runner import CALIBRATION
from paretodet.records.measurement import Measurement
from paretodet.records.store import Store
from paretodet.searching import search
from paretodet.transforms.resize_policy import Stretch

# Ray reads the mode of authentication when it is imported, so that it is not imported here.
is_missing = pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed")
pytestmark = [pytest.mark.full, is_missing]
NAME = "ssd-mobilenet_v1-300"
QUICK = Plan(
    processes=2, max_processes=2, slow_processes=2, sampled=0.1, warm=0.05, warm_limit=0.1, patience=2, group=1
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[ray_cluster.Cluster]:
    with ray_cluster.cluster() as made:
        made.start("a")
        made.start("b")
        yield made


@contextmanager
def watched(cluster: ray_cluster.Cluster, *labels: str) -> Iterator[Counter[str]]:
    """The largest number of runners that measured on a node at the same time."""
    most, ended = Counter[str](), Event()

    def watch() -> None:
        while not ended.wait(0.1):
            for label in labels:
                most[label] = max(most[label], len(cluster.measuring(label)))

    thread = Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def command(
    cluster: ray_cluster.Cluster, *arguments: str, name: str = "measure", **environment: str
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "paretodet", name, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=cluster.environment | environment,
    )


def test_a_node_that_is_killed_loses_nothing_and_measures_nothing_twice_at_once(
    cluster: ray_cluster.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("HOME", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(key, cluster.environment[key])
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # which the run would set
    write_grid(tmp_path / "grid", Stretch(height=96, width=96))
    store, fleet, notes = Store(tmp_path / "rows.db"), fleet_of(cluster.address), list[str]()
    request = Request(names=(str(tmp_path / "grid"), NAME), plan=QUICK)

    def rows(wait: float) -> Iterator[Measurement]:
        return measure_on_all(fleet, request, store=store, notify=notes.append, wait=wait)

    with watched(cluster, "a", "b") as most:
        killed = False
        with pytest.raises(InputError, match="rows are missing of .*/b"):
            for row in rows(wait=3):
                if row.machine_facts["label"] == "b" and not killed:
                    killed = True
                    cluster.kill("b")
        before = {row.id for row in store.rows()}
        assert len(before) in (4, 5), "b was not killed in the middle"
        cluster.start("b")
        measured = list(rows(wait=120))
    assert before < {row.id for row in measured} == {row.id for row in store.rows()}
    jobs = Counter((row.machine_facts["label"], str(row.job["name"]), row.runtime) for row in measured)
    names = ((CALIBRATION, "eager"), ("grid", "onnxruntime"), (NAME, "eager"))
    assert jobs == Counter((label, *name) for label in "ab" for name in names)
    assert all(row.error is None and row.latency_ms_p50 for row in measured)
    assert most == {"a": 1, "b": 1}
    assert len({(row.machine, row.run) for row in measured}) == 2  # equal hardware, told apart by label
    assert len({(row.job["name"], row.artefact) for row in measured}) == 3


def test_the_command_waits_for_a_late_machine_and_prints_rows_alone(
    cluster: ray_cluster.Cluster, tmp_path: Path
) -> None:
    store = tmp_path / "rows.db"
    process = command(cluster, NAME, "--on", f"ray:{cluster.address}", "--processes", "2", "--patience", "2",
                      "--store", str(store), "--json")  # fmt: skip
    while not cluster.measuring("a"):
        time.sleep(0.2)
        assert process.poll() is None, process.communicate()
    cluster.start("late")
    out, err = process.communicate(timeout=300)
    rows = json.loads(out)
    assert process.returncode == 0 and "Traceback" not in err
    assert {row["machine_facts"]["label"] for row in map(Measurement.to_json, Store(store).rows())} == {
        "a",
        "b",
        "late",
    }
    assert [row["name"] for row in rows] == 3 * [NAME] and len({row["machine"] for row in rows}) == 3
    assert len(Store(store).rows()) == 6  # those of the calibration are stored


def test_a_search_measures_on_one_machine_and_goes_on_after_it_was_killed(
    cluster: ray_cluster.Cluster, tmp_path: Path
) -> None:
    store = tmp_path / "rows.db"
    given = ("yolo_v3_tiny-96", "ssd-mobilenet_v1-96", "--runtime", "eager", "--precision", "fp32", "--patience", "2",
             "--gain", "-memory", "--store", str(store), "--json")  # fmt: skip
    cluster.start("searched")
    process = command(cluster, *given, "--on", f"ray:{cluster.address}/searched", name="search")
    while not (store.exists() and Store(store).rows()):
        time.sleep(0.2)
        assert process.poll() is None, process.communicate()
    cluster.kill("searched")
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out) == (2, "") and "the same command goes on [place-unreachable]" in err
    before = {row.id for row in Store(store).rows()}
    cluster.start("searched")
    for _ in range(10):  # until Ray has noticed that the first node of this label is dead
        process = command(cluster, *given, "--on", f"ray:{cluster.address}/searched", name="search")
        out, err = process.communicate(timeout=300)
        if process.returncode == 0:
            break
        assert "[run-busy]" in err or "[place-unreachable]" in err, err
        time.sleep(2)
    found, rows = json.loads(out), Store(store).rows()
    assert process.returncode == 0 and found["members"] and "Traceback" not in err
    assert before < {row.id for row in rows} and {row.machine_facts["label"] for row in rows} == {"searched"}
    assert {row.run for row in rows} == {found["run"]}


def test_a_search_on_two_nodes_goes_on_when_one_is_killed(
    cluster: ray_cluster.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("HOME", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(key, cluster.environment[key])
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    # Both nodes are this machine and disturb each other, so that the reference may differ.
    monkeypatch.setattr("paretodet.places.equals._unequal", lambda one, other: "")
    cluster.start("one")
    cluster.start("two")
    store, notes, killed = Store(tmp_path / "rows.db"), list[str](), list[str]()

    def kill(row: Measurement) -> None:
        if row.machine_facts["label"] == "two" and not killed:
            killed.append(row.id)
            cluster.kill("two")

    names = [f"{family}-{size}" for family in ("yolo_v3_tiny", "ssd-mobilenet_v1") for size in (96, 128, 160)]
    place = search_place(f"ray:{cluster.address}/one", f"ray:{cluster.address}/two")
    asked = {"gain": "-memory_infer_mib", "runtimes": ["eager"], "precisions": ["fp32"], "plan": QUICK}
    with watched(cluster, "one", "two") as most, connected(place, names, notify=notes.append) as host:
        found = search(names, host=host, store=store, notify=notes.append, on_row=kill, **asked)
    rows = store.rows()
    assert killed and found.measured.all() and {row.run for row in rows} == {found.run}
    assert {row.machine_facts["label"] for row in rows} == {"one", "two"}
    first = Counter(row.name for row in rows if row.name != CALIBRATION and row.processes == 2)
    assert first == Counter(names) and most == Counter(one=1, two=1)
    assert any("/two: the machine, or what measured there, has ended." in note for note in notes)


@pytest.mark.parametrize("token", ["", "0" * 64], ids=["none", "another"])
def test_a_cluster_is_not_used_without_its_token(cluster: ray_cluster.Cluster, tmp_path: Path, token: str) -> None:
    process = command(cluster, NAME, "--on", f"ray:{cluster.address}", RAY_AUTH_TOKEN=token)
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out) == (2, "") and "`ray get-auth-token` prints it" in err and err.count("\n") == 2


def test_a_cluster_that_takes_anyone_is_found_out_although_a_token_is_set(
    cluster: ray_cluster.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paretodet.places.ray import takes_anyone

    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", str(cluster.token))
    assert not takes_anyone(fleet_of(cluster.address))
    with ray_cluster.cluster(has_token=False) as other:
        assert takes_anyone(fleet_of(other.address))
