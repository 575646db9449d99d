"""Labels of rows with the same name."""

from dataclasses import replace

from paretodet.frontier.row_labels import row_labels
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


def test_labels_of_several_trainings_contain_their_files() -> None:
    rows = [replace(ROW, id=seed, job={"file": f"{seed}/best.safetensors", "nms": 0.4}) for seed in ("one", "two")]
    assert list(row_labels(rows).values()) == ["ssd · one/best.safetensors", "ssd · two/best.safetensors"]
    assert "ssd · nms 0.5" in row_labels([rows[0], replace(rows[0], id="x", job=rows[0].job | {"nms": 0.5})]).values()
