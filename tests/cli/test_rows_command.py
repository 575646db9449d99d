"""`paretodet export-rows` and `paretodet import-rows`: rows come back whole, and bad input changes nothing."""

import json
from collections.abc import Callable
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
    assert run("export-rows", "--out", "a.jsonl") == (
        0, "2 rows written to a.jsonl.\n", "Next: paretodet frontier --store a.jsonl\n"
    )  # fmt: skip
    code, out, err = run("import-rows", "a.jsonl", "--store", "other.db")
    assert (code, err) == (0, "Next: paretodet frontier --store other.db\n") and out.startswith("2 rows added")
    assert Store("other.db").rows() == Store("paretodet.db").rows()
    assert Store("other.db").rows()[0].raw[0]["bursts"][0]["infer_ms"] == [1.5]


def test_a_row_is_added_once(run: Run) -> None:
    assert run("export-rows", "--out", "a.jsonl")[0] == 0
    code, out, err = run("import-rows", "a.jsonl", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"store": "paretodet.db", "file": "a.jsonl", "added": 0, "duplicates": 2}
    assert len(Store("paretodet.db").rows()) == 2


def test_export_as_json(run: Run) -> None:
    code, out, err = run("export-rows", "--out", "a.jsonl", "--json")
    assert (code, err) == (0, "") and json.loads(out) == {"store": "paretodet.db", "file": "a.jsonl", "rows": 2}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("export-rows", "--out", "there.jsonl"), "[output-exists]"),
        (("export-rows", "--out", "rows.txt"), "[output-ending]"),
        (("export-rows", "--out", "no/rows.jsonl"), "[output-folder]"),
        (("export-rows", "--out", "a.jsonl", "--store", "none.db"), "none.db: no such store"),
        (("export-rows", "--out", "a.jsonl", "--store", "there.jsonl"), "[store-format]"),
        (("import-rows", "none.jsonl"), "[rows-missing]"),
        (("import-rows", "there.jsonl"), "there.jsonl, line 1: "),
        (("import-rows", "there.jsonl", "--store", "a.jsonl"), "[store-format]"),
    ],
)
def test_bad_input_is_one_message_and_changes_nothing(run: Run, args: tuple[str, ...], says: str) -> None:
    Path("there.jsonl").write_text('{"no": "row"}\n')
    code, out, err = run(*args)
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1
    assert Path("there.jsonl").read_text() == '{"no": "row"}\n' and not Path("a.jsonl").exists()
    assert len(Store("paretodet.db").rows()) == 2
