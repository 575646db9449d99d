"""Rows with an estimated AP, from objects and from a store."""

import json
from pathlib import Path

import numpy as np
import pytest

from paretodet.records.estimate import ApEstimate, estimate_of, with_estimates
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import row_id, row_text, with_id
from paretodet.records.rows import Rows
from paretodet.records.store import Store
from paretodet.sweep.read import complete_rows, read_rows

GUESS = ApEstimate(
    ap=25.0, low=20.0, high=31.0, coverage=0.9, split="minival2014", group="g", own=0.2, source="a model"
)
NAMES = ("a", "b", "a", "c")


def row(number: int) -> Measurement:
    return with_id(Measurement(id="", run="r", at=f"2030-01-0{number + 1}", name=NAMES[number], threads=number))


ROWS = tuple(map(row, range(4)))
MASK = np.array([True, True, False, False])


@pytest.fixture(params=["objects", "store"])
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Rows:
    if request.param == "objects":
        return Rows.of(ROWS)
    store = Store(tmp_path / "rows.db")
    for each in ROWS:
        store.append(each)
    return store.all_rows()


def test_rows_of_the_mask_have_the_estimate_of_their_name(rows: Rows) -> None:
    found = with_estimates(rows, MASK, {"a": GUESS, "b": GUESS})
    assert [estimate_of(each) for each in found] == [GUESS, GUESS, None, None]
    assert [each.name for each in found] == list(NAMES)
    np.testing.assert_array_equal(found.numbers("ap_estimate.low"), [20, 20, np.nan, np.nan])
    assert found.texts("ap_estimate.split") == ["minival2014", "minival2014", None, None]
    assert found.numbers("threads").tolist() == [0, 1, 2, 3]  # other fields are untouched


def test_selections_keep_their_estimates(rows: Rows) -> None:
    found = with_estimates(rows.where(np.array([1, 2])), np.array([True, False]), {"b": GUESS})
    assert [estimate_of(each) for each in found[::-1]] == [None, GUESS]
    assert [estimate_of(each) for each in found.where(found.numbers("threads") == 1)] == [GUESS]
    assert found.newest().numbers("ap_estimate.ap").tolist()[0] == 25.0


def test_rows_without_estimates_have_unknown_ones(rows: Rows) -> None:
    assert np.isnan(rows.numbers("ap_estimate.ap")).all()
    assert [estimate_of(each) for each in rows] == [None] * 4


def test_an_estimate_never_hides_a_known_ap() -> None:
    known = Measurement(id="i", run="r", at="2030", name="a", ap=30.0, ap_estimate=GUESS.to_json())
    assert estimate_of(known) is None


def test_the_field_does_not_change_the_id_of_rows_that_lack_it() -> None:
    stored = {key: value for key, value in json.loads(row_text(ROWS[0])).items() if key != "ap_estimate"}
    assert row_id(stored) == ROWS[0].id


def test_a_store_keeps_no_estimate_and_complete_rows_have_those_that_were_asked_with(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    Store(path).append(ROWS[0])
    (found,) = with_estimates(read_rows(path), np.array([True]), {"a": GUESS})
    assert [estimate_of(each) for each in complete_rows(path, [found])] == [GUESS]
    assert [estimate_of(each) for each in read_rows(path)] == [None]
