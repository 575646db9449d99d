"""A store of an older version is converted when it is opened; a newer one is refused."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from record_rows import measured

from paretodet.frontier.pareto import pareto_frontier
from paretodet.records import store as module
from paretodet.records.columns import ALL_COLUMNS, LONG_FIELDS, SETTING_COLUMNS
from paretodet.records.measurement import SUBJECT, Measurement
from paretodet.records.row_id import canonical, digest, job_key
from paretodet.records.sql_rows import LAYOUT, read_sqlite_rows
from paretodet.records.store import Store, StoreError, StoreLayoutError
from paretodet.sweep.read import complete_rows

OLD = """
CREATE TABLE rows (id VARCHAR(64) NOT NULL, run VARCHAR(64) NOT NULL, at VARCHAR(40) NOT NULL, name TEXT NOT NULL,
 job VARCHAR(64) NOT NULL, row TEXT NOT NULL, PRIMARY KEY (id));
CREATE INDEX ix_rows_run ON rows (run);
CREATE TABLE runs (id VARCHAR(64) NOT NULL, at VARCHAR(40) NOT NULL, plan TEXT NOT NULL, unfinished VARCHAR(64),
 PRIMARY KEY (id), UNIQUE (unfinished));
"""


def old_store(path: Path, rows: list[Measurement]) -> Path:
    """A store as the version without columns wrote it."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.executescript(OLD)
        insert_old(database, rows)
    return path


def insert_old(database: sqlite3.Connection, rows: list[Measurement]) -> None:
    values = [(r.id, r.run, r.at, r.name, job_key(r.name, r.job), canonical(r.to_json())) for r in rows]
    database.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", values)


def some(count: int) -> list[Measurement]:
    return [measured(samples=n, at=f"2026-01-{28 - n % 28:02}T00:00:00+00:00", artefact=str(n)) for n in range(count)]


def columned(path: Path) -> int:
    with sqlite3.connect(path) as database:
        return int(database.execute("SELECT count(*) FROM measurements").fetchone()[0])


OPEN = "import sys; from paretodet.records.store import Store; print(len(Store(sys.argv[1]).all_rows()))"


def opener(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", OPEN, str(path)], stdout=subprocess.PIPE, text=True)


def test_an_old_store_is_converted_oldest_first(tmp_path: Path) -> None:
    rows, message = some(30), list[str]()
    path = old_store(tmp_path / "rows.db", rows)
    store = Store(path, notify=message.append)
    by_age = sorted(rows, key=lambda row: (row.at, row.id))
    assert store.all_rows().texts("id") == [row.id for row in by_age] and store.rows() == tuple(by_age)
    assert store.export_jsonl(tmp_path / "out.jsonl") == 30 and message == []
    assert (tmp_path / "out.jsonl").read_text().split("\n")[0] == canonical(by_age[0].to_json())


def test_many_rows_are_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NOTIFY_FROM", 5)
    message = list[str]()
    for _ in range(2):
        Store(old_store(tmp_path / "rows.db", some(6)) if not message else tmp_path / "rows.db", notify=message.append)
    assert len(message) == 1 and "6 rows" in message[0]


def test_rows_added_by_an_older_version_are_converted_later(tmp_path: Path) -> None:
    path, rows = tmp_path / "rows.db", some(3)
    Store(path).append(rows[0])
    with sqlite3.connect(path) as database:
        insert_old(database, rows[1:])
    assert set(Store(path).all_rows().texts("id")) == {row.id for row in rows}


def test_concurrent_processes_convert_each_row_once(tmp_path: Path) -> None:
    path = old_store(tmp_path / "rows.db", some(3000))
    racers = [opener(path) for _ in range(3)]
    assert [racer.communicate()[0] for racer in racers] == ["3000\n"] * 3
    assert columned(path) == 3000


def test_a_kill_during_conversion_loses_nothing(tmp_path: Path) -> None:
    rows = some(6000)
    path = old_store(tmp_path / "rows.db", rows)
    killed = opener(path)
    until = time.monotonic() + 60
    while time.monotonic() < until and killed.poll() is None:
        try:
            if columned(path):
                break
        except sqlite3.OperationalError:
            pass
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert columned(path) % 1000 == 0
    store = Store(path)
    assert columned(path) == len(store.rows()) == 6000
    assert set(store.all_rows().texts("id")) == {row.id for row in rows}


def test_an_old_store_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    rows = some(4)
    path = old_store(tmp_path / "rows.db", rows)
    store = Store(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert set(store.all_rows().texts("id")) == {row.id for row in rows}
    assert len(store.all_rows().of_run("r")) == 4 and not store.all_rows().of_run("x")
    with pytest.raises(StoreError, match="readonly"):
        store.append(measured("new"))


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    Store(path).append(measured())
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO layout VALUES (99)")
    with pytest.raises(StoreLayoutError, match=r"rows\.db' has layout 99, .* update paretodet") as caught:
        Store(path)
    assert "\n" not in str(caught.value)


def test_columns_of_an_older_layout_are_computed_anew(tmp_path: Path) -> None:
    path, rows = tmp_path / "rows.db", some(3)
    for row in rows:
        Store(path).append(row)
    with sqlite3.connect(path) as database:
        database.executescript("UPDATE layout SET version = 1; ALTER TABLE measurements DROP COLUMN second;")
    assert read_sqlite_rows(str(path)) is None
    assert set(Store(path).all_rows().texts("id")) == {row.id for row in rows}
    assert read_sqlite_rows(str(path)) is not None


def test_changed_columns_need_another_layout() -> None:
    """Old columns must not be read as new ones: if this fails, increment LAYOUT and update the digest."""
    assert (LAYOUT, digest([ALL_COLUMNS, SETTING_COLUMNS, SUBJECT, LONG_FIELDS])) == (3, "0bca50139723")


def test_fields_of_wrong_type_have_no_column_value(tmp_path: Path) -> None:
    """Older versions did not validate appended rows; their text is not changed."""
    row = {**measured().to_json(), "ap": "x", "macs": 10**400, "job": [1], "device": 5, "raw": [{"bursts": 3}]}
    path = old_store(tmp_path / "rows.db", [])
    with sqlite3.connect(path) as database:
        values = (row["id"], row["run"], row["at"], row["name"], "j", canonical(row))
        database.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", values)
    store = Store(path)
    rows = store.all_rows()
    assert rows.texts("ap") == rows.texts("macs") == [None] and rows.texts("latency_ms_p50") == [10.0]
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT row FROM rows").fetchone() == (canonical(row),)


def test_a_row_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = old_store(tmp_path / "rows.db", [])
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO rows VALUES ('abc', 'r', 't', 'n', 'j', '{')")
    with pytest.raises(StoreError, match=r"rows\.db': row abc is not JSON"):
        Store(path)


def test_complete_rows_by_id(tmp_path: Path) -> None:
    store, row = Store(tmp_path / "rows.db"), measured(raw=({"bursts": []},))
    store.append(row)
    assert store.complete_rows([row.id, "none"]) == {row.id: row}


def damaged(path: Path, statement: str, *values: object) -> Path:
    """A store of three rows after this statement."""
    for row in some(3):
        Store(path).append(row)
    with sqlite3.connect(path) as database:
        database.execute(statement, values)
    return path


@pytest.mark.parametrize("change", ["ALTER TABLE measurements DROP COLUMN ap", "DROP TABLE measurements"])
def test_missing_columns_are_computed_anew(tmp_path: Path, change: str) -> None:
    path = damaged(tmp_path / "rows.db", change)
    assert read_sqlite_rows(str(path)) is None
    assert len(Store(path).all_rows().numbers("ap")) == 3 == len(read_sqlite_rows(str(path)) or ())


BAD = ("x", b"\xff\x00", 2**62, "[1", '{"reasons": 5}', '{"reasons": [1]}', "null", None)


@pytest.mark.parametrize("value", BAD, ids=repr)
def test_a_value_of_another_type_in_a_column_is_one_sentence(tmp_path: Path, value: object) -> None:
    path = damaged(tmp_path / "rows.db", "SELECT 1")
    for name in ALL_COLUMNS:
        with sqlite3.connect(path) as database:
            kept = database.execute(f'SELECT "{name}" FROM measurements WHERE seq = 1').fetchone()
            try:
                database.execute(f'UPDATE measurements SET "{name}" = ? WHERE seq = 1', (value,))
            except sqlite3.IntegrityError:  # the id
                continue
        try:
            rows = Store(path).all_rows().newest()
            assert pareto_frontier(rows) and list(rows) and list(rows.values("id", "reasons")) and rows.of_run("")
        except StoreError as error:
            assert error.id == "store-damaged" and "rows.db" in str(error)
        with sqlite3.connect(path) as database:
            database.execute(f'UPDATE measurements SET "{name}" = ? WHERE seq = 1', kept)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[" * 9999, '{"id": 1}', None, '{"raw": 5'])
def test_a_text_that_is_no_row_is_one_sentence(tmp_path: Path, text: str | None) -> None:
    row = some(3)[0]
    text = text if text is not None else canonical({**row.to_json(), "versions": None})
    path = damaged(tmp_path / "rows.db", "UPDATE rows SET row = ? WHERE id = ?", text, row.id)
    store = Store(path)
    for read in (store.rows, lambda: complete_rows(path, [row]), lambda: store.export_jsonl(tmp_path / "x")):
        with pytest.raises(StoreError, match=r"rows\.db") as caught:
            read()
        assert caught.value.id == "store-damaged"


def test_a_row_without_content_is_one_sentence(tmp_path: Path) -> None:
    row = some(3)[0]
    path = damaged(tmp_path / "rows.db", "DELETE FROM rows WHERE id = ?", row.id)
    with pytest.raises(OSError, match=rf"rows\.db: .*{row.id}.* \[store-damaged\]"):
        complete_rows(path, [row])
