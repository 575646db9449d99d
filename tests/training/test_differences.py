import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.detectors.families import spec
from paretodet.detectors.spec import to_data
from paretodet.training.differences import differences

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.floats(allow_nan=False)
DATA = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text("abc", max_size=2), inner))


@settings(max_examples=40)
@given(DATA)
def test_data_do_not_differ_from_themselves_through_json(data):
    assert differences(data, json.loads(json.dumps(data))) == []


@settings(max_examples=40)
@given(DATA, DATA)
def test_only_equal_data_have_no_differences(one, other):
    assert (differences(one, other) == []) == (one == other)


@pytest.mark.parametrize(
    ("saved", "requested", "phrases"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, ["b: saved 2, requested 3"]),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": None}]}}, ["a.b[1].c: saved 2, requested None"]),
        ({"a": 1}, {"b": 2}, ["a: saved 1, requested nothing", "b: saved nothing, requested 2"]),
        ({"a": [1, 2]}, {"a": [1]}, ["a: saved [1, 2], requested [1]"]),
        ({"a": list(range(9))}, {"a": list(range(8))}, ["a: saved 9 items, requested 8 items"]),
        ({"a": {"type": "x.Sgd", "r": 1}}, {"a": {"type": "y.AdamW", "r": 1}}, ["a: saved Sgd, requested AdamW"]),
    ],
)
def test_phrases(saved, requested, phrases):
    assert differences(saved, requested) == phrases


def test_differences_of_two_catalogue_entries():
    one, other = (to_data(spec(f"ssd_liu-vgg16-{side}")) for side in (300, 512))
    found = differences(one, other, "spec")
    assert "spec.height: saved 300, requested 512" in found and all(phrase.startswith("spec.") for phrase in found)
