"""`paretodet store copy`: rows come back whole, are added once, and bad input changes nothing."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id
from paretodet.records.store import ImportCounts, Store
from paretodet.sweep.read import contents
from paretodet.sweep.transfer import copy_rows

Run = Callable[..., tuple[int, str, str]]


def _row(place: int) -> Measurement:
    raw = ({"bursts": [{"infer_ms": [1.5]}]},)
    return with_id(Measurement(id="", run="r", at=f"2030-01-{place % 28 + 1:02}", name=f"d{place}", raw=raw))


def _ids(store: str) -> set[str]:
    return {row.id for row in Store(store).rows()}


@pytest.fixture(autouse=True)
def store(run: Run) -> None:
    """A store of two rows in the working folder."""
    for place in range(2):
        Store("paretodet.db").append(_row(place))


def test_rows_come_back_whole(run: Run) -> None:
    assert run("store", "copy", "paretodet.db", "a.jsonl") == (
        0, "2 rows copied to a.jsonl.\n", "Next: paretodet frontier --store a.jsonl\n"
    )  # fmt: skip
    code, out, err = run("store", "copy", "a.jsonl", "other.db")
    assert (code, out, err) == (0, "2 rows copied to other.db.\n", "Next: paretodet frontier --store other.db\n")
    assert Store("other.db").rows() == Store("paretodet.db").rows()
    assert Store("other.db").rows()[0].raw[0]["bursts"][0]["infer_ms"] == [1.5]
    assert run("store", "copy", "other.db", "sqlite:///third.db")[0] == 0
    assert run("store", "copy", "sqlite:///third.db", "b.jsonl")[0] == 0
    assert Path("a.jsonl").read_bytes() == Path("b.jsonl").read_bytes()


def test_a_row_is_added_once(run: Run) -> None:
    assert run("store", "copy", "paretodet.db", "a.jsonl")[0] == 0
    code, out, err = run("store", "copy", "a.jsonl", "paretodet.db", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"from": "a.jsonl", "to": "paretodet.db", "added": 0, "duplicates": 2}
    assert len(Store("paretodet.db").rows()) == 2


def test_a_file_of_lines_is_copied_without_its_repetitions(run: Run) -> None:
    assert run("store", "copy", "paretodet.db", "a.jsonl")[0] == 0
    text = Path("a.jsonl").read_text()
    Path("twice.jsonl").write_text(text * 2)
    code, out, _ = run("store", "copy", "twice.jsonl", "b.jsonl", "--json")
    assert code == 0 and json.loads(out)["duplicates"] == 2 and Path("b.jsonl").read_text() == text


def test_a_password_is_not_printed(run: Run) -> None:
    url = "postgresql+nodriver://me:secret@host/rows"
    code, out, err = run("store", "copy", url, "b.jsonl")
    assert code == 2 and "secret" not in out + err and "me:***@host" in err


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("paretodet.db", "there.jsonl", "[output-exists]"),
        ("paretodet.db", "rows.txt", "[output-ending]"),
        ("paretodet.db", "no/rows.jsonl", "[output-folder]"),
        ("paretodet.db", "no/rows.db", "[output-folder]"),
        ("paretodet.db", "./paretodet.db", "[output-is-input]"),
        ("there.jsonl", "there.jsonl", "[output-is-input]"),
        ("none.db", "a.jsonl", "none.db: no such store"),
        ("none.jsonl", "a.db", "[rows-missing]"),
        ("there.jsonl", "paretodet.db", "there.jsonl, line 1: "),
        ("paretodet.db", "bad.db", "[store-failed]"),
    ],
)
def test_bad_input_is_one_message_and_changes_nothing(run: Run, source: str, target: str, says: str) -> None:
    Path("there.jsonl").write_text('{"no": "row"}\n')
    Path("bad.db").write_text("no database" * 99)
    code, out, err = run("store", "copy", source, target)
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1
    assert Path("there.jsonl").read_text() == '{"no": "row"}\n' and not Path("a.jsonl").exists()
    assert len(Store("paretodet.db").rows()) == 2


def test_rows_are_read_while_they_are_written(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a store may be larger than the memory."""
    events = list[str]()

    def contents(source: str) -> Iterator[dict[str, str]]:
        for place in (1, 2, 1):
            events.append(f"read {place}")
            yield {"id": str(place)}

    def write_lines(path: Path, texts: Iterable[str]) -> int:
        before = len(events)
        for text in texts:
            events.append(f"written {json.loads(text)['id']}")
        return sum(event.startswith("written") for event in events[before:])

    monkeypatch.setattr("paretodet.sweep.transfer.contents", contents)
    monkeypatch.setattr("paretodet.sweep.transfer.write_lines", write_lines)
    code, out, _ = run("store", "copy", "paretodet.db", "a.jsonl", "--json")
    assert code == 0 and (json.loads(out)["added"], json.loads(out)["duplicates"]) == (2, 1)
    assert events == ["read 1", "written 1", "read 2", "written 2", "read 1"]


def test_other_writers_get_in_while_rows_are_copied(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the source is read, nobody holds the lock of the target."""
    Store("paretodet.db").append(_row(2))
    read, others = list[str](), iter(range(100, 200))

    def watched(source: str) -> Iterator[dict[str, Any]]:
        for row in contents(source):
            Store("other.db").append(_row(next(others)))
            read.append(row["name"])
            yield row

    monkeypatch.setattr("paretodet.records.store.LOCK_TIMEOUT_S", 0.05)
    monkeypatch.setattr("paretodet.sweep.transfer.BATCH", 2)
    monkeypatch.setattr("paretodet.sweep.transfer.contents", watched)
    code, out, err = run("store", "copy", "paretodet.db", "other.db", "--json")
    assert (code, err) == (0, "") and json.loads(out)["added"] == 3
    assert len(Store("other.db").rows()) == 3 + len(read)
    assert _ids("paretodet.db") <= _ids("other.db")


def test_an_interrupted_copy_is_continued(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in range(2, 5):
        Store("paretodet.db").append(_row(place))
    batches = list[int]()

    class Interrupted(Store):
        def add(self, rows: Iterable[Mapping[str, Any]]) -> ImportCounts:
            if len(batches) == 2:
                raise KeyboardInterrupt
            batches.append(len(list(rows)))
            return super().add(rows)

    with monkeypatch.context() as patched:
        patched.setattr("paretodet.sweep.transfer.BATCH", 2)
        patched.setattr("paretodet.sweep.transfer.Store", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            copy_rows("paretodet.db", "other.db")
    assert batches == [2, 2] and len(Store("other.db").rows()) == 4
    code, out, _ = run("store", "copy", "paretodet.db", "other.db", "--json")
    assert code == 0 and (json.loads(out)["added"], json.loads(out)["duplicates"]) == (1, 4)
    assert Store("other.db").rows() == Store("paretodet.db").rows()


def test_a_bad_line_behind_the_first_batch_adds_no_row(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paretodet.sweep.transfer.BATCH", 1)
    assert run("store", "copy", "paretodet.db", "a.jsonl")[0] == 0
    Path("bad.jsonl").write_text(Path("a.jsonl").read_text() + '{"no": "row"}\n')
    code, _, err = run("store", "copy", "bad.jsonl", "other.db")
    assert code == 2 and "bad.jsonl, line 3: " in err and not Path("other.db").exists()


def test_a_file_that_cannot_be_read_is_not_one_that_cannot_be_written(run: Run) -> None:
    Path("folder.jsonl").mkdir()
    code, out, err = run("store", "copy", "folder.jsonl", "a.jsonl")
    assert code == 2 and out == "" and "[file-unreadable]" in err and not Path("a.jsonl").exists()
