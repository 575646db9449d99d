"""Ids as digests of the content, and validation of lines."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_rows import measured

from paretodet.records.lines import read_lines
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import DEFAULTS, TYPES, job_key, row_text, with_id

JSON_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "latency_ms_p50": st.none() | st.floats(0, 1e6),
    "macs": st.none() | st.integers(0, 2**70),
    "error": st.none() | st.text(st.characters(codec="utf-8")),
    "settings": st.dictionaries(st.text(max_size=3), st.integers() | st.lists(st.booleans())),
}


@given(st.fixed_dictionaries(JSON_VALUES))
def test_an_id_depends_on_the_content_only(fields: dict[str, Any]) -> None:
    row = measured(**fields)
    assert with_id(replace(row, id="other")).id == row.id
    assert len(row.id) == 12 and set(row.id) <= set("0123456789abcdef")
    assert measured(**fields, samples=1).id != row.id


def test_an_id_survives_new_fields() -> None:
    """A row that was written before a field existed has the same id as with the field's default."""
    old = {key: value for key, value in json.loads(json.dumps(asdict(measured()))).items() if value != DEFAULTS[key]}
    assert "validity" not in old
    assert with_id(Measurement.from_json(old)).id == old["id"]


def test_a_job_key_depends_on_name_and_json() -> None:
    assert job_key("x", {"a": 1, "b": [2]}) == job_key("x", {"b": [2], "a": 1})
    assert len({job_key("x", {"a": 1}), job_key("y", {"a": 1}), job_key("x", {"a": 2})}) == 3


# --- lines

BAD = {
    "latency_ms_p50": ["10", True, -1, [1], 10**400],
    "macs": [10**400, 1.5],
    "batch": [1.5, "1", None],
    "ap": [101, "40", -3],
    "ap_measured": [1, "yes", None],
    "name": ["", 5, None],
    "run": [None],
    "at": ["yesterday", 5, ""],
    "validity": ["fine", None],
    "stages_ms": [{"trunk": "1"}, [1]],
    "uncounted": ["conv", [1]],
    "versions": [{"torch": 2}, None],
    "raw": [[1], {}],
    "latency_ms_p50_low": [12.0],
    "id": ["000000000000", None, 7],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in BAD.items() for value in values])
def test_a_bad_field_is_named_with_its_line(tmp_path: Path, field: str, value: Any) -> None:
    good = measured(latency_ms_p50_low=9.0, latency_ms_p50_high=11.0).to_json()
    bad = {**good, field: value}
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, (good, bad))))
    with pytest.raises(ValueError, match=rf"rows\.jsonl, line 2: {field} is .*; correct or delete the line") as caught:
        list(read_lines(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in TYPES if name != "settings"])
def test_every_field_is_validated(tmp_path: Path, name: str) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({**measured().to_json(), name: [[0]]}))
    with pytest.raises(ValueError, match=rf"line 1: {name} is"):
        list(read_lines(tmp_path / "rows.jsonl"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"id": "a', "Unterminated string"),
        (b"[1]", "a row is a JSON object"),
        (
            b'{"id": "a", "run": "r", "at": "2026-01-01", "name": "x", "ap50": 1e999}',
            "ap50 is inf; it must be a finite",
        ),
        (b'{"id": "a", "run": "r", "at": "2026-01-01", "name": "x", "settings": {"a": [1e999]}}', "settings is "),
        (b'{"id": "a", "run": "r", "at": "2026-01-01", "name": "x", "error": "\\ud800"}', "error is "),
        (b'{"ap": NaN}', "NaN is not JSON"),
        (b"\xff\xfe\x00", "codec"),
        (b"[" * 200_000, "recursion"),
    ],
)
def test_an_invalid_line_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b"\n" + line)
    with pytest.raises(ValueError, match=f"line 2: .*{message}"):
        list(read_lines(tmp_path / "rows.jsonl"))


def test_the_error_for_a_changed_row_contains_the_correct_id(tmp_path: Path) -> None:
    row = {**measured().to_json(), "latency_ms_p50": 5.0}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    with pytest.raises(ValueError, match=f"the content gives '{measured(latency_ms_p50=5.0).id}'"):
        list(read_lines(tmp_path / "rows.jsonl"))


@given(st.fixed_dictionaries(JSON_VALUES))
def test_a_written_row_is_read_back_as_valid(tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("lines") / "rows.jsonl"
    row = measured(**fields)
    path.write_text(row_text(row) + "\n", encoding="utf-8", newline="\n")
    assert [Measurement.from_json(each) for each in read_lines(path)] == [row]
