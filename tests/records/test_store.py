"""The store with killed and concurrent processes, without permission or space; and JSON Lines."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from record_rows import measured

from paretodet.errors import InputError
from paretodet.records.row_id import job_key, row_id, row_text, with_id
from paretodet.records.store import ImportCounts, Store, StoreError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "rows.db")


def child(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    modules = ("measurement", "row_id", "store")
    head = "\n".join(("import sys", *(f"from paretodet.records.{module} import *" for module in modules)))
    command = [sys.executable, "-c", f"{head}\n{code}", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


WRITER = """
store, who = Store(sys.argv[1]), sys.argv[2]
for number in range(int(sys.argv[3])):
    row = with_id(Measurement(id="", run=who, at="2026-01-01T00:00:00", name="x", samples=number, job={"n": number}))
    store.append(row)
    print(row.id, flush=True)
"""

# --- rows


def test_an_appended_row_is_read_back(store: Store) -> None:
    row = measured(
        stages_ms={"trunk": 1.5},
        uncounted=("a::b", "c::d"),
        versions={"torch": "2.13.0"},
        raw=({"ms": [1.0, 2.0], "marks": [True, False]},),
        reasons=("no ‘steal’ counter",),
    )
    store.append(row)
    assert store.rows() == (row,)
    assert store.get(row.id[:5]) == row


def test_rows_are_filtered_by_any_field_oldest_first(store: Store) -> None:
    late, early = measured(at="2026-01-03T00:00:00", device="cuda"), measured("yolo", at="2026-01-01T00:00:00")
    for row in (late, early):
        store.append(row)
    assert store.rows() == (early, late)
    assert store.rows(device="cuda") == store.rows(name="ssd") == store.rows(run="r1", name="ssd") == (late,)
    assert store.rows(name="ssd", device="cpu") == ()
    with pytest.raises(ValueError, match="'latency' is not a field of a row; did you mean: latency_ms_p"):
        store.rows(latency=3)


def test_get_names_near_ids(store: Store) -> None:
    with pytest.raises(LookupError, match="the store is empty"):
        store.get("abc")
    rows = [measured(samples=n) for n in range(40)]
    for row in rows:
        store.append(row)
    with pytest.raises(LookupError, match=f"the nearest ids are .*{rows[7].id}"):
        store.get(rows[7].id[:-1] + "z")
    with pytest.raises(LookupError, match="40 ids begin with ''"):
        store.get("")
    with pytest.raises(LookupError, match="no row"):
        store.get("%")


def test_the_same_row_twice_is_refused(store: Store) -> None:
    store.append(measured())
    with pytest.raises(StoreError, match="UNIQUE"):
        store.append(measured())
    assert len(store.rows()) == 1


def test_the_error_names_the_field_that_is_not_json(store: Store) -> None:
    for field, value in {"latency_ms_p50": float("nan"), "settings": {"x": object()}, "name": "\ud800"}.items():
        with pytest.raises(ValueError, match=f"{field} is"):
            store.append(replace(measured(), **{field: value}))
    assert store.rows() == ()


# --- runs that are interrupted


def test_an_interrupted_run_continues_where_it_stopped(store: Store) -> None:
    plan = [{"name": "ssd"}, {"name": "yolo"}]
    run = store.open_run(plan, machine="m")
    store.append(measured("ssd", run=run))
    again = Store(store.name).open_run(plan, machine="m")
    assert again == run
    assert [job for job in plan if job_key(job["name"], job) not in store.finished(again)] == [{"name": "yolo"}]


def test_a_run_belongs_to_its_plan_and_machine(store: Store) -> None:
    runs = [store.open_run(["a"], machine="m"), store.open_run(["a"], machine="n"), store.open_run(["b"], machine="m")]
    assert len(set(runs)) == 3
    store.close_run(runs[0])
    assert sorted(store.unfinished()) == [["a"], ["b"]]
    fresh = store.open_run(["a"], machine="m")
    assert fresh not in runs and store.open_run(["a"], machine="m") == fresh
    assert store.finished(fresh) == set()


# --- processes


def test_kill_9_loses_no_row_that_was_committed(tmp_path: Path) -> None:
    path, acknowledged = tmp_path / "rows.db", []
    for turn in range(3):
        writer = child(WRITER, path, turn, 100_000)
        assert writer.stdout is not None
        acknowledged += [writer.stdout.readline().strip() for _ in range(10 * (turn + 1))]
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in writer.stdout.read().splitlines() if len(line) == 12]
        writer.wait()
    rows = Store(path).rows()
    assert set(acknowledged) <= {row.id for row in rows}
    assert all(with_id(row) == row for row in rows)
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_four_writers_at_once(tmp_path: Path) -> None:
    """They also race to create the file."""
    writers = [child(WRITER, tmp_path / "rows.db", who, 25) for who in range(4)]
    results = [writer.communicate() for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4, results
    store = Store(tmp_path / "rows.db")
    assert {row.id for row in store.rows()} == {line for out, _ in results for line in out.split()}
    assert all(len(store.finished(str(who))) == 25 for who in range(4))


def test_racing_processes_share_one_run(tmp_path: Path) -> None:
    code = "print(Store(sys.argv[1]).open_run(['plan'], machine='m'))"
    racers = [child(code, tmp_path / "rows.db") for _ in range(4)]
    runs = {racer.communicate() for racer in racers}
    assert len(runs) == 1, runs
    assert runs == {(Store(tmp_path / "rows.db").open_run(["plan"], machine="m") + "\n", "")}


FULL = """
import resource
store, large = Store(sys.argv[1]), Store(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
for act in (lambda: store.append(large.rows()[0]), lambda: large.export_jsonl(sys.argv[3])):
    try:
        act()
    except StoreError as error:
        print(error)
"""


def test_a_full_disk_is_one_sentence_and_writes_nothing(tmp_path: Path) -> None:
    """A limit of the file size simulates a full disk: both fail in write(2)."""
    small, large, export = tmp_path / "small.db", tmp_path / "large.db", tmp_path / "rows.jsonl"
    Store(small).append(measured())
    Store(large).append(measured("large", settings={"fill": "x" * 200_000}))
    out, error = child(FULL, small, large, export).communicate()
    assert not error
    first, second = out.splitlines()
    assert first.startswith(f"store '{small}': disk I/O error") and first.endswith("[store-failed]")
    assert second.startswith(f"cannot write {export}: ") and second.endswith("[output-unwritable]")
    assert [row.name for row in Store(small).rows()] == ["ssd"]
    assert not [path for path in tmp_path.iterdir() if "jsonl" in path.name]


def test_a_read_only_store_is_read_and_not_written(tmp_path: Path) -> None:
    row = measured()
    Store(tmp_path / "rows.db").append(row)
    store = Store(f"sqlite:///file:{tmp_path / 'rows.db'}?mode=ro&uri=true")
    assert store.rows() == (row,)
    for act in (lambda: store.append(measured("new")), lambda: store.open_run([], machine="m")):
        with pytest.raises(StoreError, match="attempt to write a readonly database") as caught:
            act()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/no/such/folder/rows.db", "unable to open database file"),
        (__file__, "file is not a database"),
        ("nothing://here", "Can't load plugin"),
        ("sqlite://host:port/rows.db", "invalid literal"),
        ("mysql+pymysql://host/rows", "No module named|Can't connect"),
    ],
)
def test_a_store_that_cannot_be_opened_says_so(target: str, reason: str) -> None:
    with pytest.raises(StoreError, match=reason) as caught:
        Store(target)
    assert target in str(caught.value) and "\n" not in str(caught.value)


# --- JSON lines


def test_json_lines_are_exported_and_imported(store: Store, tmp_path: Path) -> None:
    rows = tuple(measured(samples=n, at=f"2026-01-0{n + 1}", name="naïve\u2028\n") for n in range(3))
    for row in rows:
        store.append(row)
    path = tmp_path / "rows.jsonl"
    assert store.export_jsonl(path) == 3
    other = Store(tmp_path / "other.db")
    assert other.import_jsonl(path) == ImportCounts(added=3, duplicates=0)
    assert other.import_jsonl(path) == ImportCounts(added=0, duplicates=3)
    assert other.rows() == rows
    again = tmp_path / "again.jsonl"
    other.export_jsonl(again)
    assert again.read_bytes() == path.read_bytes()
    assert store.export_jsonl(path, samples=1) == 1 and len(path.read_text(encoding="utf-8").split("\n")) == 2


def test_the_same_line_twice_is_one_row(store: Store, tmp_path: Path) -> None:
    line = json.dumps(measured().to_json())
    (tmp_path / "rows.jsonl").write_text(f"{line}\n\n{line}\n")
    assert store.import_jsonl(tmp_path / "rows.jsonl") == ImportCounts(added=1, duplicates=1)


def test_fields_of_a_newer_version_survive(store: Store, tmp_path: Path) -> None:
    newer = {**json.loads(row_text(measured())), "energy_mj": 3.5}
    (tmp_path / "rows.jsonl").write_text(json.dumps({**newer, "id": row_id(newer)}))
    store.import_jsonl(tmp_path / "rows.jsonl")
    store.export_jsonl(tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text())["energy_mj"] == 3.5


def test_a_bad_file_adds_nothing(store: Store, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(measured().to_json()) for _ in "ab") + "\nnull")
    with pytest.raises(ValueError, match=r"rows\.jsonl, line 3: a row is a JSON object"):
        store.import_jsonl(tmp_path / "rows.jsonl")
    assert store.rows() == ()


def test_missing_files_are_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read .*none.jsonl: No such file"):
        store.import_jsonl(tmp_path / "none.jsonl")
    for target in (tmp_path / "none" / "out.jsonl", tmp_path / "rows.db" / "out.jsonl"):
        with pytest.raises(StoreError, match="cannot write .*out.jsonl"):
            store.export_jsonl(target)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_of_lines_is_no_store(tmp_path: Path, kind: type) -> None:
    """It would become a database that no command reads."""
    with pytest.raises(InputError) as refused:
        Store(kind(tmp_path / "rows.jsonl"))
    assert refused.value.id == "store-format" and "read_rows" in refused.value.message
    assert list(tmp_path.iterdir()) == []
    Store(f"sqlite:///{tmp_path / 'rows.jsonl'}").append(measured())  # a URL says what it is
