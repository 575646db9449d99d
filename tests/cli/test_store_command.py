"""`paretodet store copy`: rows come back whole, are added once, and bad input changes nothing."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id
from paretodet.records.store import Store

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def store(run: Run) -> None:
    """A store of two rows in the working folder."""
    store = Store("paretodet.db")
    for place in range(2):
        row = Measurement(
            id="", run="r", at=f"2030-01-0{place + 1}", name=f"d{place}", raw=({"bursts": [{"infer_ms": [1.5]}]},)
        )
        store.append(with_id(row))


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


def test_a_file_that_cannot_be_read_is_not_one_that_cannot_be_written(run: Run) -> None:
    Path("folder.jsonl").mkdir()
    code, out, err = run("store", "copy", "folder.jsonl", "a.jsonl")
    assert code == 2 and out == "" and "[file-unreadable]" in err and not Path("a.jsonl").exists()
