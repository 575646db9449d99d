"""Columns equal the fields of the rows, both for objects and for a store."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_rows import measured

from paretodet.records import sql_rows
from paretodet.records.columns import JOB_COLUMNS, NUMBER_FIELDS, SETTING_COLUMNS, TEXT_FIELDS, without_long_fields
from paretodet.records.measurement import SUBJECT, Measurement
from paretodet.records.rows import Rows, timestamp
from paretodet.records.store import Store


def several() -> list[Measurement]:
    base: dict[str, Any] = {"settings": {"a": 1}, "raw": ({"bursts": []},), "spec": "{}", "versions": {"torch": "2"}}
    return [
        measured("ssd", at="2026-01-01T00:00:00+00:00", ap=30.0, ap_split="val2017", threads=2, **base),
        measured("yolo", at="2026-01-03T00:00:00+00:00", job={"name": "yolo", "score": 0.3, "nms": [1]}, macs=2**70),
        measured("ssd", at="2026-01-02T00:00:00+00:00", ap=31.0, ap_split="val2017", threads=2, ap_measured=True),
        measured("ssd", at="2026-01-04T00:00:00+00:00", validity="contended", threads=2, reasons=("busy",)),
        measured("bad", at="2026-01-05T00:00:00+00:00", validity="error", latency_ms_p50=None, error="boom"),
    ]


@pytest.fixture(params=["objects", "store", "store of many settings"])
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rows:
    if request.param == "objects":
        return Rows.of(several())
    store = Store(tmp_path / "rows.db")
    for row in several():
        store.append(row)
    monkeypatch.setattr(sql_rows, "MAX_SETTINGS", 2 if "many" in request.param else 100)
    return store.all_rows()


def test_columns_are_the_rows_fields(source: Rows) -> None:
    rows = several()
    for name in NUMBER_FIELDS:
        if name != "disturbed_pct":  # computed if a row has none
            known = [np.nan if getattr(row, name) is None else float(getattr(row, name)) for row in rows]
            np.testing.assert_array_equal(source.numbers(name), known)
    for name in (*TEXT_FIELDS, "batch", "threads", "ap_measured", "ap"):
        assert source.texts(name) == [getattr(row, name) for row in rows], name
    for field in JOB_COLUMNS.values():
        assert source.texts(field) == [row.job.get(field.removeprefix("job.")) for row in rows]
    assert [type(value) for value in source.categories("threads").values] == [int, type(None)]
    assert source.usable().tolist() == [row.usable for row in rows]


def test_some_fields_of_each_row(source: Rows) -> None:
    names = ("id", "reasons", "error", "threads", "ap", "ap_measured", "job", "validity", "stages_ms")
    chosen = source.where(np.array([3, 4, 0, 2, 1]))
    assert list(chosen.values(*names)) == [tuple(getattr(row, name) for name in names) for row in chosen]


def test_categories_are_distinct_and_in_order_of_appearance(source: Rows) -> None:
    chosen = source.where(np.array([3, 1, 0]))
    codes, values = chosen.categories("name")
    assert values == ("ssd", "yolo") and codes.tolist() == [0, 1, 0]
    assert chosen.categories("validity").values == ("contended", "valid")
    assert source.where(np.zeros(5, dtype=bool)).categories("name").values == ()


def test_rows_are_made_without_long_fields(source: Rows) -> None:
    light = [without_long_fields(row) for row in several()]
    shown = list(source)
    assert [row.id for row in shown] == [row.id for row in light]
    assert source[1].job == {"name": "yolo", "score": 0.3, "nms": [1]} and source[-1].error == "boom"
    assert [row.id for row in source[1:3]] == [row.id for row in light[1:3]]
    assert light[0].raw == () and light[0].settings == {} and light[0].spec is None and light[3].reasons == ("busy",)


def test_the_newest_usable_row_per_subject_is_kept(source: Rows) -> None:
    rows = several()
    assert [row.id for row in source.newest()] == [rows[place].id for place in (1, 2, 4)]
    assert len(source.where(np.array([], dtype=np.intp)).newest()) == 0


FAILED: dict[str, Any] = {"at": "2026-01-02", "validity": "error", "latency_ms_p50": None, "error": "boom"}
JOB: dict[str, Any] = {"name": "ssd", "runtime": "ort"}


@pytest.mark.parametrize("kept_in", ["objects", "store"])
def test_an_error_gives_way_to_a_later_row_of_its_job(kept_in: str, tmp_path: Path) -> None:
    """Although it lacks what was never loaded: artifact, runtime."""
    failed = measured("ssd", job=JOB, threads=2, **FAILED)
    loaded: dict[str, Any] = {"at": "2026-01-03", "job": dict(reversed(JOB.items())), "threads": 2, "artefact": "x"}

    def kept(*rows: Measurement) -> list[str]:
        if kept_in == "objects":
            return [row.id for row in Rows.of(rows).newest()]
        store = Store(tmp_path / f"{len(list(tmp_path.iterdir()))}.db")
        for row in rows:
            store.append(row)
        return [row.id for row in store.all_rows().newest()]

    for later in (loaded, {**loaded, "validity": "contended"}, {**loaded, **FAILED, "at": "2026-01-03"}):
        row = measured("ssd", **later)
        assert kept(failed, row) == [row.id] == kept(row, failed), later
    other_jobs = ({"job": JOB | {"score": 0.3}}, {"job": {}}, {"machine": "b"}, {"threads": 1}, {"batch": 2})
    for other in ({"at": "2026-01-01"}, *other_jobs):
        row = measured("ssd", **loaded | other)
        assert kept(failed, row) == [failed.id, row.id], other
    unstated = measured("ssd", **FAILED | {"job": {}})
    row = measured("ssd", **loaded | {"job": {}})
    assert kept(unstated, row) == [unstated.id, row.id], "nothing says that it is the same job"


FIELDS = st.fixed_dictionaries(
    {
        "name": st.sampled_from("ab"),
        "batch": st.sampled_from([1, 2]),
        "at": st.sampled_from(["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00", "2025-12-31T23:00:00-09:00"]),
        "validity": st.sampled_from(["valid", "contended"]),
        "latency_ms_p50": st.sampled_from([None, 1.0]),
    }
)


@given(st.lists(FIELDS, max_size=8))
def test_newest_is_what_sorting_gives(fields: list[dict[str, Any]]) -> None:
    rows = [measured(samples=place, **each) for place, each in enumerate(fields)]
    best: dict[tuple[Any, ...], Measurement] = {}
    for row in sorted(rows, key=lambda row: (row.usable, timestamp(row.at))):
        best[tuple(getattr(row, name) for name in SUBJECT)] = row
    assert {row.id for row in Rows.of(rows).newest()} == {row.id for row in best.values()}


def test_reading_ahead_changes_nothing(source: Rows) -> None:
    fields = ("ap", "memory_infer_mib", "job.file", "id", "weights")
    before = [source.texts(field) for field in fields]
    assert [source.read_ahead(fields).texts(field) for field in fields] == before


def test_rows_with_columns_are_not_wrapped_again() -> None:
    rows = Rows.of(several())
    assert Rows.of(rows) is rows


def test_a_date_is_compared_as_a_time() -> None:
    assert timestamp("2026-01-01T00:00:00+00:00") == timestamp("2026-01-01") == timestamp("2025-12-31T19:00:00-05:00")
    assert timestamp("t") < timestamp("0001-01-01T00:00:00+00:00")


def test_rows_written_later_do_not_shift_a_column(tmp_path: Path) -> None:
    store = Store(tmp_path / "rows.db")
    for row in several()[:3]:
        store.append(row)
    rows = store.all_rows()
    store.append(several()[3])
    assert rows.numbers("samples").size == len(rows) == 3 and rows.texts("run") == ["r1"] * 3
    assert len(store.all_rows()) == 4


def test_settings_are_columns_of_the_store(tmp_path: Path) -> None:
    """Each is read from one row of its setting, so rows that differ in it must have different settings."""
    store, row = Store(tmp_path / "rows.db"), several()[0]
    store.append(row)
    for place, name in enumerate(SETTING_COLUMNS):
        if name in JOB_COLUMNS:
            changed = replace(row, job={JOB_COLUMNS[name].removeprefix("job."): "x"})
        else:
            changed = replace(row, **{name: "x" if name in TEXT_FIELDS else True if name == "ap_measured" else 7})
        store.append(replace(changed, id=f"{place:012}"))
    with sqlite3.connect(store.name) as database:
        (settings,) = database.execute("select count(distinct setting) from measurements").fetchone()
    assert settings == len(SETTING_COLUMNS) + 1
    rows = store.all_rows()
    assert rows.texts("device").count("x") == 1 and rows.texts("job.score").count("x") == 1
