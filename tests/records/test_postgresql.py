"""A store in PostgreSQL: the same as in SQLite, with concurrent and killed writers, and a server that crashes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from record_rows import measured
from sqlalchemy import Inspector
from sqlalchemy.exc import NoSuchTableError

from paretodet.bench.job import Plan
from paretodet.errors import InputError
from paretodet.extras import MissingExtra
from paretodet.frontier.pareto import pareto_frontier
from paretodet.records import postgresql
from paretodet.records.location import without_password, without_passwords
from paretodet.records.row_id import row_text
from paretodet.records.store import ImportCounts, Store, StoreError, StoreLayoutError
from paretodet.sweep.measuring import measure_into
from paretodet.sweep.read import complete_rows, find_row, read_rows
from paretodet.sweep.transfer import copy_rows
from postgresql_server import Server, running, why_not

needs_server = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
WRITERS = 8
WRITER = """
import sys
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id
from paretodet.records.store import Store
store, who = Store(sys.argv[1]), sys.argv[2]
for number in range(int(sys.argv[3])):
    row = with_id(Measurement(id="", run=who, at="2026-01-01T00:00:00", name="x", samples=number, job={"n": number}))
    store.append(row)
    print(row.id, flush=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def url(server: Server) -> str:
    return server.database()


def writer(url: str, who: int, rows: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, url, str(who), str(rows)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@needs_server
def test_rows_are_the_same_as_in_sqlite(url: str, tmp_path: Path) -> None:
    rows = [
        measured("ssd", ap=20.0, ap_measured=True, macs=10**12, raw=({"ms": [1.0, 2.5]},), reasons=("‘steal’",)),
        measured("yolo", ap=30.0, ap_measured=True, latency_ms_p50=12.0, at="2026-01-03T00:00:00", energy_j=1e-300),
        measured(
            "broken", latency_ms_p50=None, validity="error", error="a 100 % full\ndisk: {x} %(y)s", job={"score": 0.1}
        ),
    ]
    stores = [Store(url), Store(tmp_path / "rows.db")]
    for store in stores:
        for row in rows:
            store.append(row)
    first, second = (Store(store.name) for store in stores)
    assert first.rows() == second.rows() and list(first.all_rows()) == list(second.all_rows())
    assert first.get(rows[0].id[:5]) == rows[0] == find_row(url, rows[0].id)
    assert first.all_rows().texts("job.score") == second.all_rows().texts("job.score") == [None, None, 0.1]
    assert complete_rows(url, read_rows(url)) == complete_rows(second.name, read_rows(second.name))
    assert [member.row.name for member in pareto_frontier(read_rows(url)).members] == ["ssd", "yolo"]
    assert first.export_jsonl(tmp_path / "a.jsonl") == second.export_jsonl(tmp_path / "b.jsonl") == 3
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert first.import_jsonl(tmp_path / "b.jsonl") == ImportCounts(added=0, duplicates=3)


@needs_server
def test_rows_are_copied_there_and_back(url: str, tmp_path: Path) -> None:
    first, lines, last = (str(tmp_path / name) for name in ("first.db", "rows.jsonl", "last.db"))
    rows = [measured(samples=number) for number in range(1201)]  # more than one statement takes
    for row in rows[:3]:
        Store(first).append(row)
    Path(lines).write_text("".join(f"{row_text(row)}\n" for row in rows))
    assert copy_rows(first, url) == ImportCounts(added=3, duplicates=0)
    assert copy_rows(lines, url) == ImportCounts(added=1198, duplicates=3)
    assert copy_rows(url, last) == ImportCounts(added=1201, duplicates=0)
    assert sorted(Store(last).rows(), key=attrgetter("samples")) == rows


@needs_server
def test_nul_in_a_text_is_stored(url: str) -> None:
    row = measured("x\0y", validity="error", error="\0")
    Store(url).append(row)
    assert Store(url).rows() == (row,)
    assert Store(url).all_rows().texts("name") == ["x\ufffdy"]


@needs_server
def test_many_open_a_new_store_at_once(server: Server) -> None:
    for _ in range(5):
        url, together = server.database(), Barrier(8)
        with ThreadPoolExecutor(8) as pool:
            stores = list(pool.map(lambda _, url=url, together=together: (together.wait(), Store(url))[1], range(8)))
        stores[0].append(measured())
        assert all(len(store.all_rows()) == 1 for store in stores)


@needs_server
def test_a_store_that_is_being_renewed_is_opened(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As PostgreSQL answers while another process drops the table and creates it again."""
    Store(url).append(measured())
    answers, real = iter([True]), Inspector.get_columns

    def get_columns(self: Inspector, name: str, **options: Any) -> Any:
        if next(answers, False):
            raise NoSuchTableError(name)
        return real(self, name, **options)

    monkeypatch.setattr(Inspector, "get_columns", get_columns)
    store = Store(url)
    assert store._has_columns and len(store.all_rows()) == 1  # without, every question would read every row


@needs_server
def test_the_same_row_twice_is_refused(url: str) -> None:
    Store(url).append(measured())
    with pytest.raises(StoreError, match="duplicate key") as caught:
        Store(url).append(measured())
    assert "\n" not in str(caught.value) and len(Store(url).rows()) == 1


@needs_server
def test_a_newer_layout_is_refused(server: Server, url: str) -> None:
    Store(url).append(measured())
    server.execute("INSERT INTO layout VALUES (99)", url)
    with pytest.raises(StoreLayoutError, match=r"has layout 99, .* update paretodet \[store-newer\]$") as caught:
        Store(url)
    assert "\n" not in str(caught.value)


@needs_server
def test_a_run_is_measured_by_one_process(url: str) -> None:
    """A lock file cannot tell it: the other process may be on another machine with equal hardware."""
    store = Store(url)
    run = store.open_run(["plan"], machine="m")
    assert Store(url).open_run(["plan"], machine="m") == run
    with store.only_process(run) as alone, Store(url).only_process(run) as other, store.only_process("x") as another:
        assert (alone, other, another) == (True, False, True)
    with store.only_process(run) as alone:
        assert alone


@needs_server
def test_a_run_of_another_machine_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "open_run", lambda *_, **__: "run")
    with Store(url).only_process("run"), pytest.raises(InputError, match=r"^store: another process .*\[run-busy\]$"):
        list(measure_into(Store(url), [], plan=Plan()))
    assert list(measure_into(Store(url), [], plan=Plan())) == []


@needs_server
@pytest.mark.full
def test_kill_9_loses_no_row_that_was_committed(url: str) -> None:
    """Eight writers race to create the tables; half of them are killed in the middle."""
    writers = [writer(url, who, 100_000 if who % 2 else 40) for who in range(WRITERS)]
    acknowledged = []
    for killed in writers[1::2]:
        assert killed.stdout is not None
        acknowledged += [killed.stdout.readline().strip() for _ in range(25)]
        os.kill(killed.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in killed.stdout.read().splitlines() if len(line) == 12]
    results = [each.communicate() for each in writers[::2]]
    assert [each.returncode for each in writers[::2]] == [0] * 4, results
    acknowledged += [line for out, _ in results for line in out.split()]
    store = Store(url)
    rows = store.rows()
    assert len(acknowledged) > 4 * 25 + 4 * 40 - 1 and set(acknowledged) <= {row.id for row in rows}
    assert len(store.all_rows()) == len(rows) == len({row.id for row in rows})
    assert all(len(store.finished(str(who))) == 40 for who in range(0, WRITERS, 2))


@needs_server
@pytest.mark.full
def test_a_crash_of_the_server_loses_no_row_that_was_committed() -> None:
    with running() as server:
        url = server.database()
        writers = [writer(url, who, 100_000) for who in range(WRITERS)]
        acknowledged = [each.stdout.readline().strip() for each in writers for _ in range(10) if each.stdout]
        assert all(acknowledged), [each.communicate()[1] for each in writers if each.poll() is not None]
        server.kill()
        results = [each.communicate() for each in writers]
        acknowledged += [line for out, _ in results for line in out.split()]
        assert all(
            each.returncode == 1 and "StoreError" in error for each, (_, error) in zip(writers, results, strict=True)
        )
        server.start()
        rows = Store(url).rows()
        assert set(acknowledged) <= {row.id for row in rows}
        assert len(Store(url).all_rows()) == len(rows)


@needs_server
def test_a_server_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"^store 'postgresql://me:\*\*\*@/rows\?host=.*': .*\[store-failed\]$"
    ) as caught:
        Store(f"postgresql://me:secret@/rows?host={tmp_path}")
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paretodet.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"psycopg: pip install 'paretodet\[postgresql\]'"):
        Store("postgresql://host/rows")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_the_driver_is_the_one_of_the_extra(scheme: str) -> None:
    import sqlalchemy as sa

    url = postgresql.with_driver(sa.make_url(f"{scheme}://host/rows"))
    assert url.drivername == "postgresql+psycopg"
    assert postgresql.with_driver(sa.make_url("postgresql+pg8000://host/rows")).drivername == "postgresql+pg8000"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:se:c@r@host/rows", "postgresql://me:***@host/rows"),
        ("postgresql://me:secret@host:5432/rows?sslmode=require", "postgresql://me:***@host:5432/rows?sslmode=require"),
        ("postgresql://host/rows?user=me&password=secret&x=1", "postgresql://host/rows?user=me&password=***&x=1"),
        ("postgresql://me@host:5432/rows", "postgresql://me@host:5432/rows"),
        ("folder:1/rows@2.db", "folder:1/rows@2.db"),
        ("postgresql://me:s/e?c#r:e t@host/rows", "postgresql://me:***@host/rows"),
        ("postgresql://me:s@host/rows:t@host/rows", "postgresql://me:***@host/rows"),
        ("postgresql://me@corp:se/cret@host:5432/rows", "postgresql://me@corp:***@host:5432/rows"),
        ("postgresql://?c#:se/cret@host/rows", "postgresql://?c#:***@host/rows"),
        ("postgresql://host/rows?password=se#c'r t&x=1", "postgresql://host/rows?password=***&x=1"),
        ("postgresql://host/rows?sslpassword=secret", "postgresql://host/rows?sslpassword=***"),
    ],
)
def test_no_message_has_a_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_what_sqlalchemy_takes_for_the_password_is_hidden() -> None:
    import sqlalchemy as sa

    for secret in ("a/b", "a?b", "a#b", "a:b", "a b", "a'b", "a&b", "a[b]"):
        url = f"postgresql://me:{secret}@host:5432/rows?sslmode=require"
        assert sa.make_url(url).password == secret
        assert without_password(url) == "postgresql://me:***@host:5432/rows?sslmode=require"


def test_urls_in_a_sentence_have_no_password() -> None:
    text = (
        "store 'postgresql://me:s/e?c#r@host/rows?password=x#y' is a@b: see https://host:80/page and postgresql://h/r"
    )
    shown = "store 'postgresql://me:***@host/rows?password=***' is a@b: see https://host:80/page and postgresql://h/r"
    assert without_passwords(text) == shown
