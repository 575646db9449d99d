"""Rows are read without or with their long fields, from a store and from a file."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from paretodet.frontier.pareto import pareto_frontier
from paretodet.frontier.recommend import Budget, recommend
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id
from paretodet.records.store import Store
from paretodet.sweep.read import complete_rows, find_row, last_run, read_rows, with_complete_rows


def row(name: str, **fields: Any) -> Measurement:
    values: dict[str, Any] = {"run": "one", "at": "2030-01-01", "latency_ms_p50": 1.0, "raw": ({"bursts": []},)}
    return with_id(Measurement(id="", name=name, **{**values, **fields, "settings": {"a": 1}}))


ROWS = (row("a"), row("b", run="two", at="2030-01-03"), row("a", run="two", at="2030-01-02"))


@pytest.fixture(params=["rows.db", "rows.jsonl", "old.db"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    store = Store(tmp_path / "rows.db")
    for each in ROWS:
        store.append(each)
    store.export_jsonl(tmp_path / "rows.jsonl")
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write((tmp_path / "rows.jsonl").read_text())  # every line twice
    return tmp_path / request.param if request.param != "old.db" else without_columns(tmp_path / "rows.db")


def without_columns(path: Path) -> Path:
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM measurements")
    return path


def test_read_rows_returns_the_newest_rows_without_long_fields(target: Path) -> None:
    result = read_rows(target)
    assert {each.id for each in result} == {ROWS[1].id, ROWS[2].id}
    assert all(each.raw == () and each.settings == {} for each in result)
    assert result.numbers("latency_ms_p50").tolist() == [1.0, 1.0]


def test_a_run_is_selected_by_a_prefix_of_its_id(target: Path) -> None:
    assert {each.id for each in read_rows(target, run="tw")} == {ROWS[1].id, ROWS[2].id}
    assert {each.id for each in read_rows(target, run="one")} == {ROWS[0].id}
    assert {each.id for each in read_rows(target, run="")} == {ROWS[1].id, ROWS[2].id}
    with pytest.raises(ValueError, match="no rows of run 'wo'"):
        read_rows(target, run="wo")


def test_complete_rows_are_complete_and_in_order(target: Path) -> None:
    assert complete_rows(target, read_rows(target, run="two").newest()[::-1])[0] in ROWS[1:]
    assert set(map(id, complete_rows(target, []))) == set()
    assert sorted(each.id for each in last_run(target)) == sorted(each.id for each in ROWS[1:])
    assert all(each.raw for each in last_run(target)) and find_row(target, ROWS[0].id[:7]) == ROWS[0]


def test_what_a_run_measured_again_counts_once(tmp_path: Path) -> None:
    """As a search does: the row over more processes is the newer one."""
    store, at = Store(tmp_path / "rows.db"), "2030-01-01T00:00:0{}+00:00"
    for place, processes in enumerate((2, 4, 8)):
        store.append(row("a", at=at.format(place), processes=processes))
    store.append(row("a", run="two", at=at.format(9)))
    store.append(row("b", at=at.format(9), latency_ms_p50=9.0))
    path = tmp_path / "rows.db"
    assert {(each.name, each.processes) for each in read_rows(path, run="one")} == {("a", 8), ("b", 0)}
    assert [each.name for each in read_rows(path, run="two")] == ["a"]


def test_an_error_is_not_left_out_of_an_answer_when_it_was_measured_later(tmp_path: Path) -> None:
    store, scored = Store(tmp_path / "rows.db"), {"ap": 30.0, "ap_split": "val2017"}
    store.append(row("a", job={"name": "a"}, artefact="a", **scored))
    store.append(row("b", job={"name": "b"}, validity="error", error="no library", latency_ms_p50=None, **scored))
    found = read_rows(tmp_path / "rows.db")
    assert pareto_frontier(found).left_out == 1 and "not valid" in recommend(found, Budget()).reason
    store.append(row("b", at="2030-01-02", job={"name": "b"}, artefact="b", **scored))
    found = read_rows(tmp_path / "rows.db")
    assert pareto_frontier(found).left_out == 0 and "not valid" not in recommend(found, Budget()).reason
    assert len(last_run(tmp_path / "rows.db")) == 3


def test_the_last_run_has_every_row_that_it_measured(tmp_path: Path) -> None:
    store = Store(tmp_path / "rows.db")
    again = [row("a", run="two", at=f"2030-02-0{day}") for day in (1, 2)]
    for each in (*ROWS, *again):
        store.append(each)
    assert {each.id for each in last_run(tmp_path / "rows.db")} == {each.id for each in (*ROWS[1:], *again)}


class Pair(NamedTuple):
    row: Measurement
    number: float


@dataclass(frozen=True)
class Answer:
    choice: Measurement | None
    others: tuple[Pair, ...]
    missing: None = None


def test_every_row_of_an_answer_is_completed(target: Path) -> None:
    short = {each.name: each for each in read_rows(target)}
    answer = Answer(choice=short["b"], others=(Pair(short["a"], 2.5),))
    assert with_complete_rows(target, answer) == Answer(choice=ROWS[1], others=(Pair(ROWS[2], 2.5),))
    assert with_complete_rows(target, Answer(choice=None, others=())) == Answer(choice=None, others=())


@pytest.mark.parametrize("name", ["none.db", "none.jsonl"])
def test_a_missing_store_is_an_error_and_is_not_created(tmp_path: Path, name: str) -> None:
    for act in (lambda: read_rows(tmp_path / name), lambda: find_row(tmp_path / name, "a"), lambda: last_run(name)):
        with pytest.raises(ValueError, match="no such store"):
            act()
    assert not (tmp_path / name).exists()


def test_the_error_names_a_file_that_is_not_a_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("hello, this is a text of some length and no database at all")
    with pytest.raises(OSError, match=r"x\.db.*not a database"):
        read_rows(tmp_path / "x.db")


def test_the_row_with_the_ap_that_is_compared_comes_before_a_newer_one_without(tmp_path: Path) -> None:
    store, own = Store(tmp_path / "rows.db"), {"artefact": "x", "ap_measured": True}
    store.append(row("a", at="2030-01-01", ap=30.0, ap_split="first@1", **own))
    store.append(row("a", at="2030-01-02", ap=40.0, ap_split="second@2", **own))
    store.append(row("a", at="2030-01-03", artefact="x"))
    store.append(row("a", at="2030-01-04", artefact="x", ap=50.0, ap_split="first@1"))
    busy = {"validity": "contended", "ap_split": "first@1"}
    store.append(row("a", at="2030-01-05", ap=9.0, **own, **busy))
    for path in (tmp_path / "rows.db", tmp_path / "rows.jsonl"):
        store.export_jsonl(tmp_path / "rows.jsonl")
        of_split = {
            split: [each.ap for each in read_rows(path, split=split)]
            for split in ("measured:first@1", "measured", "first@1", "mixed", "elsewhere")
        }
        assert of_split == {
            "measured:first@1": [30.0], "measured": [40.0], "first@1": [50.0], "mixed": [50.0], "elsewhere": [50.0]
        }  # fmt: skip
        assert [each.ap for each in read_rows(path)] == [50.0]
    timed = Store(tmp_path / "timed.db")
    for each in (store.rows()[1], store.rows()[2]):
        timed.append(each)
    assert [each.ap for each in read_rows(tmp_path / "timed.db", split="mixed")] == [40.0]


def test_a_file_of_rows_with_another_ending_is_refused_with_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[{"name": "a"}]\n')
    for read in (read_rows, last_run, lambda target: find_row(target, "a")):
        with pytest.raises(OSError, match=r"rows\.json.*\.jsonl"):
            read(tmp_path / "rows.json")
