"""Labels of rows with the same name."""

from dataclasses import replace

from paretodet.frontier.row_labels import differing_execution, row_labels
from paretodet.records.measurement import Measurement

ROW = Measurement(id="0" * 12, run="r", at="2026", name="ssd", job={"score": None})


def test_labels_contain_what_differs_and_are_unique() -> None:
    twins = [replace(ROW, id="a" * 12), replace(ROW, id="b" * 12, precision="bf16", batch=8)]
    same, other = replace(twins[0], id="abcdef000000"), replace(ROW, name="yolo")
    labels = row_labels([*twins, same, other])
    assert labels[twins[1].id] == "ssd · bf16 · batch 8"
    assert labels[other.id] == "yolo"
    assert labels[same.id] == "ssd · fp32 · batch 1 #abcdef"
    assert len(set(labels.values())) == 4


def test_runtime_and_precision_are_one_note() -> None:
    rows = [replace(ROW, id=key, runtime=key, precision=key * 2, batch=place) for place, key in enumerate("ab")]
    assert list(row_labels(rows).values()) == ["ssd · a aa · batch 0", "ssd · b bb · batch 1"]


def test_stated_conditions_are_in_every_label_and_those_apart_in_none() -> None:
    rows = [replace(ROW, id="a"), replace(ROW, id="b", runtime="ort"), replace(ROW, id="c", name="yolo")]
    assert differing_execution(rows) == ("runtime",) and differing_execution(rows[:1]) == ()
    assert list(row_labels(rows, stated=("runtime",)).values()) == ["ssd · eager", "ssd · ort", "yolo · eager"]
    assert list(row_labels(rows, apart=("runtime",)).values()) == ["ssd", "ssd", "yolo"]
    twins = [*rows, replace(rows[1], id="ddddddd")]
    assert row_labels(twins, apart=("runtime",))["ddddddd"] == "ssd #dddddd"


def test_an_error_row_adds_no_condition_of_what_was_loaded() -> None:
    """It did not load its candidate, so it does not know the load."""
    rows = [replace(ROW, id="a", load="capacity"), replace(ROW, id="b", runtime="x", validity="error", error="no x")]
    assert list(row_labels(rows).values()) == ["ssd · eager", "ssd · x"]


def test_labels_of_several_trainings_contain_their_files() -> None:
    rows = [replace(ROW, id=seed, job={"file": f"{seed}/best.safetensors", "nms": 0.4}) for seed in ("one", "two")]
    assert list(row_labels(rows).values()) == ["ssd · one/best.safetensors", "ssd · two/best.safetensors"]
    assert "ssd · nms 0.5" in row_labels([rows[0], replace(rows[0], id="x", job=rows[0].job | {"nms": 0.5})]).values()
