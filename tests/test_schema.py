"""Which JSON is refused and with which message; no JSON file breaks its reader."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paretodet.records.measurement import Measurement
from paretodet.report.boxes import fit_of, image_side, read_box_sizes, sentence
from paretodet.schema import Closed, Count, Finite, Open, Positive, SchemaError, convert, parse, read
from paretodet.training import checkpoint
from paretodet.training.checkpoint import CheckpointError, Snapshot
from paretodet.training.folder import RUN, previous_validation
from paretodet.training.log import read_lines
from paretodet.weights import files, safe
from paretodet.weights.safe import WeightsError


class Inner(Closed, frozen=True):
    counts: tuple[Count, ...]


class Outer(Open, frozen=True):
    shapes: list[Inner]
    ratio: Positive = 1.0
    score: Finite | None = None


@dataclass(frozen=True, kw_only=True)
class Named:
    name: str
    score: Finite | None = None

    def __post_init__(self) -> None:
        if self.name == "nobody":
            raise ValueError("name: got 'nobody', allowed somebody")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"shapes": [{"counts": [1, "x"]}]}', "it: shapes[0].counts[1]: expected int, got str"),
        ('{"shapes": [{"counts": [true]}]}', "it: shapes[0].counts[0]: expected int, got bool"),
        ('{"shapes": [{"counts": [-1]}]}', "it: shapes[0].counts[0]: expected int >= 0"),
        ('{"shapes": [{"counts": 3}]}', "it: shapes[0].counts: expected array, got int"),
        ('{"shapes": [{}]}', "it: shapes[0]: object missing required field counts"),
        ('{"shapes": [{"counts": [], "more": 1}]}', "it: shapes[0]: object contains unknown field more"),
        ('{"shapes": [], "ratio": NaN}', "it: ratio: expected float > 0"),
        ('{"shapes": [], "ratio": Infinity}', "it: ratio: expected float <= 1.79"),
        ('{"shapes": [], "score": 1e999}', "it: score: expected float <= 1.79"),
        ('{"shapes": [], "score": 1' + 350 * "0" + "}", "it: score: number out of range"),
        ('{"shapes": [], "score": 1' + 9999 * "0" + "}", "it: not JSON (an integer of 10000 digits)"),
        ("[]", "it: expected object, got array"),
        ("null", "it: expected object, got null"),
        ("", "it: not JSON (expecting value"),
        ("[" * 200_000, "it: not JSON ("),
        ('{"shapes": "\\ud800"}', "it: not JSON (a text has an unpaired surrogate)"),
        ('{"shapes": [], "score": "' + 10**6 * "x" + '"}', "it: score: expected float | null, got str"),
        ('{"shapes": [{"counts": [], "' + 10**6 * "x" + '": 1}]}', "it: shapes[0]: object contains unknown field xxx"),
    ],
    ids=range(18),
)
def test_what_is_refused_is_one_sentence_with_its_place(text, says):
    with pytest.raises(SchemaError) as caught:
        parse(text, Outer, what="it")
    assert str(caught.value).startswith(says) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_valid_json_is_read_and_open_types_accept_other_fields():
    found = parse(
        b'\xef\xbb\xbf{"shapes": [{"counts": [1, 2]}], "ratio": 2, "more": "\\ud83d\\ude00"}', Outer, what="it"
    )
    assert found.shapes[0].counts == (1, 2) and type(found.ratio) is float and found.score is None


def test_a_dataclass_is_closed_and_may_refuse_by_itself():
    assert parse('{"name": "a", "score": 1}', Named, what="it") == Named(name="a", score=1.0)
    for text, says in (
        ('{"name": "a", "more": 1}', "it: object contains unknown field more"),
        ('{"score": 1}', "it: object missing required field name"),
        ('{"name": "nobody"}', "it: name: got 'nobody', allowed somebody"),
        ('{"name": "a", "score": NaN}', "it: score: expected float"),
    ):
        with pytest.raises(SchemaError, match=says):
            parse(text, Named, what="it")


def test_what_is_json_already(tmp_path):
    assert convert(3, int, what="it") == 3
    with pytest.raises(SchemaError, match="it: expected int, got str"):
        convert("3", int, what="it")
    (tmp_path / "a.json").write_text("[1, 2, 3]")
    assert read(tmp_path / "a.json", list[int]) == [1, 2, 3]
    with pytest.raises(SchemaError, match=r"a\.json: it is larger than"):
        read(tmp_path / "a.json", list[int], limit=3)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "b.json", list[int])


def box_sizes(folder: Path):
    path = folder / "doctor.json"
    shape = {"aspect": 1.5, "counts": [1, 0]}
    path.write_text(json.dumps({"data": "set", "box_sizes": {"octave": 1, "octaves": 2, "shapes": [shape, shape]}}))
    return path, lambda: sentence(read_box_sizes(path), 300), ValueError


def state(folder: Path):
    kept = Snapshot(3, {"type": "a.B", "b": [1, {"c": None}]}, {"steps": 4, "batch": 2}, 7, {}, {}, {"sha256": "x"})
    saved = checkpoint.save(folder, kept)

    def use() -> None:
        found = checkpoint.load(saved)
        checkpoint.refuse_others(saved, found, kept.spec, kept.recipe, kept.data)

    return saved / checkpoint.STATE, use, CheckpointError


def run(folder: Path):
    (folder / RUN).write_text(json.dumps({"name": "a", "val": {"name": "v", "sha256": "0", "since": 3}}))

    def use() -> None:
        found = previous_validation(folder)
        assert found is None or found.since >= 0

    return folder / RUN, use, SchemaError


def log(folder: Path):
    path = folder / "log.jsonl"
    path.write_text('{"step": 1, "loss": 1.5, "val/ap": 0.5}')

    def use() -> None:
        for line in read_lines(path):
            assert line["step"] >= 0 and (line.get("val/ap") or 0) < float("inf")

    return path, use, ()


def metadata(folder: Path):
    path, file = folder / "metadata.json", folder / "w.safetensors"
    path.write_text(json.dumps({"name": "a", "labels": ["b", None], "score": 0.5, "width": 0.5, "scratch": True}))

    def use() -> None:
        try:
            safe.save({"a": torch.zeros(1)}, file, {files.KEY: path.read_text()})
        except UnicodeDecodeError:  # which the metadata of a safetensors file cannot be
            return
        found = files.read_metadata(file)
        assert found and 0 < found.width <= 1

    return path, use, WeightsError


def row_spec(folder: Path):
    path = folder / "spec.json"
    path.write_text(json.dumps({"fit": {"type": "a.ShortSide", "short": 600, "long": 1024}, "name": "x"}))

    def use() -> None:
        try:
            spec = path.read_text()
        except UnicodeDecodeError:
            return
        fit = fit_of(Measurement(id="", run="", at="", name="", height=300, width=300, spec=spec))
        assert fit and image_side(fit, 1.5) > 0

    return path, use, ()


HUGE = st.sampled_from([10**30, 10**400, -(10**399), "x" * 5000, "\ud800", "\0", [[[[]]]] * 50, {"type": {}}])
SCALAR = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), HUGE)
ANYTHING = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner))


def places(value, path=()):
    """Of every value inside of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


def respelled(value, place, other):
    """The value with another one in its place."""
    if not place:
        return other
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    found = {key: respelled(each, place[1:], other) if key == place[0] else each for key, each in pairs}
    return found if isinstance(value, dict) else list(found.values())


@pytest.mark.parametrize("make", [box_sizes, state, run, log, metadata, row_spec])
def test_no_json_breaks_its_reader(tmp_path, make):
    path, use, refused = make(tmp_path)
    whole = path.read_bytes()
    document = json.loads(whole)
    use()

    @settings(max_examples=150, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def fuzz(data):
        at = data.draw(st.integers(0, len(whole) - 1))
        content = data.draw(
            st.sampled_from([whole[:at], whole[:at] + b"\xff" + whole[at:]])
            | st.builds(lambda flip: whole[:at] + bytes([flip]) + whole[at + 1 :], st.integers(0, 255))
            | st.builds(
                lambda place, other: json.dumps(respelled(document, place, other)).encode(),
                st.sampled_from(places(document)),
                ANYTHING,
            )
            | st.builds(lambda more: json.dumps(document | more).encode(), st.dictionaries(st.text(max_size=5), SCALAR))
        )
        path.write_bytes(content)
        try:
            use()
        except refused as error:
            assert "\n" not in str(error) and len(str(error)) < 3000

    fuzz()
