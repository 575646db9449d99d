"""Any file of labels or results is scored, or refused in one sentence."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paretodet.evaluation.ground_truth import read_ground_truth
from paretodet.scoring import evaluate_file, evaluation_json

SQUARE = [[2, 3, 22, 3, 22, 13, 2, 13]]
TRUTH: dict[str, Any] = {
    "images": [{"id": 5, "file_name": "a.png", "width": 40, "height": 30}],
    "categories": [{"id": 3, "name": "car"}, {"id": 1, "name": "tv"}],
    "annotations": [
        {"id": 1, "image_id": 5, "category_id": 3, "bbox": [2, 3, 20, 10], "area": 200, "iscrowd": 0,
         "segmentation": SQUARE},
        {"id": 2, "image_id": 5, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 1,
         "segmentation": {"size": [30, 40], "counts": [600, 600]}},
    ],
}  # fmt: skip
FOUND: list[Any] = [{"image_id": 5, "category_id": 3, "bbox": [2, 3, 20, 10], "score": 0.5, "segmentation": SQUARE}]

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from((2**63, -(2**70), 10**400, 0, -1)), st.floats(),
    st.text(max_size=5),
)  # fmt: skip
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))
GONE = object()


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(each for key, part in inside for each in places(part, (*way, key)))]


def changed(value: Any, way: tuple[Any, ...], to: Any) -> Any:
    if not way:
        return None if to is GONE else to
    made = copy.deepcopy(value)
    owner = made
    for key in way[:-1]:
        owner = owner[key]
    if to is GONE:
        del owner[way[-1]]
    else:
        owner[way[-1]] = to
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


def outcome(folder: Path, truth: Any, found: Any) -> str:
    """ "" where it is scored, else the sentence."""
    (folder / "labels.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(found))
    try:
        read_ground_truth(folder / "labels.json")
        found = evaluate_file(folder / "results.json", folder / "labels.json", with_errors=True, voc_ap=True)
        json.dumps(evaluation_json(found), allow_nan=False)
        return ""
    except ValueError as problem:
        return str(problem)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_one_thing_is_wrong(folder: Path, data: st.DataObject) -> None:
    which = data.draw(st.booleans(), label="of the labels")
    whole = TRUTH if which else FOUND
    way = data.draw(st.sampled_from(places(whole)), label="where")
    wrong = changed(whole, way, data.draw(VALUES | st.just(GONE), label="value"))
    message = outcome(folder, *((wrong, FOUND) if which else (TRUTH, wrong)))
    assert "\n" not in message


def test_as_it_is_it_is_scored(folder: Path) -> None:
    assert outcome(folder, TRUTH, FOUND) == ""
