"""LiteRT files in the words of ONNX."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from made_tflite import Made, write_tflite
from paretodet.errors import InputError
from paretodet.layouts.layout import BYTES
from paretodet.readings.evidence import Evidence
from paretodet.readings.tflite_graph import LITERT, read_graph

CONV, LOGISTIC, MUL, EXP, MANY, NONE = 3, 14, 18, 47, 150, -1
PART = Made(values=np.zeros(1, np.float32))
TENSORS = {"image": PART, "weights": PART, "maps": PART, "scores": PART, "boxes": PART}


def written(path: Path, attached: dict[str, str] | None = None) -> Path:
    """A convolution, from which a sigmoid leads to the scores, and two other operators to the boxes."""
    operators = [(CONV, (0, 1, NONE), (2,)), (LOGISTIC, (2,), (3,)), (EXP, (2,), (4,)), (MANY, (4,), (4,))]
    return write_tflite(path / "a.tflite", TENSORS, inputs=(0,), builtin=operators, attached=attached)


def test_operators_have_the_names_of_onnx_and_lead_to_outputs(tmp_path: Path) -> None:
    graph = read_graph(written(tmp_path))
    assert graph.tail("scores") == {"Sigmoid"} and graph.has_layers
    assert [node.operator for node in graph.nodes] == ["Conv", "Sigmoid", "Exp", "BuiltinOperator 150"]
    assert graph.nodes[0].inputs == ("image", "weights") and graph.producer == LITERT and not graph.metadata


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("temp_meta.txt", "{'task': 'detect', 'names': {0: 'cat', 1: 'dog'}, 'imgsz': [320, 320]}"),
        ("metadata.json", '{"task": "detect", "names": {"0": "cat", "1": "dog"}, "imgsz": [320, 320]}'),
    ],
)
def test_what_ultralytics_attaches_is_metadata(tmp_path: Path, name: str, text: str) -> None:
    metadata = read_graph(written(tmp_path, {name: text})).metadata
    assert metadata["task"] == "detect" and metadata["imgsz"] == "[320, 320]" and "'cat'" in metadata["names"]


def test_a_name_that_is_very_long_is_its_number(tmp_path: Path) -> None:
    tensors = {"image": PART, "w" * 3600: PART, "maps": PART}
    path = write_tflite(tmp_path / "a.tflite", tensors, inputs=(0,), builtin=[(CONV, (0, 1), (2,))])
    (node,) = read_graph(path).nodes
    assert node.inputs == ("image", "tensor 1") and node.outputs == ("maps",)


def test_tensors_without_a_name_and_outputs_of_one_name_are_their_numbers(tmp_path: Path) -> None:
    same = replace(PART, name="Identity")
    tensors = {"image": PART, "none": replace(PART, name=""), "a": same, "b": same, "c": PART}
    builtin = [(CONV, (0, 1), (2,)), (EXP, (2,), (3,)), (EXP, (3,), (4,))]
    graph = read_graph(write_tflite(tmp_path / "a.tflite", tensors, inputs=(0,), returned=(2, 3, 4), builtin=builtin))
    assert [node.outputs for node in graph.nodes] == [("tensor 2",), ("tensor 3",), ("c",)]
    assert graph.nodes[0].inputs == ("image", "tensor 1") and "tensor 1" in graph.constants


@pytest.mark.parametrize("text", ["no fields", "[1, 2]", "{'a': open('b')}", "{" * 5000])
def test_a_note_that_is_no_metadata_is_none(tmp_path: Path, text: str) -> None:
    assert read_graph(written(tmp_path, {"temp_meta.txt": text})).metadata == {}


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(b"nothing that is a FlatBuffer")
    with pytest.raises(InputError) as caught:
        read_graph(path)
    assert str(path) in caught.value.message and caught.value.id == "graph-failed"


def test_a_normalization_in_the_file_is_seen(tmp_path: Path) -> None:
    """As of a layer that scales pixels, in front of the first convolution."""
    tensors = TENSORS | {
        "weights": Made(values=np.zeros(100, np.float32)),
        "scale": Made(values=np.array([1 / 255], np.float16)),
        "scaled": Made(values=np.zeros(0, np.float32)),
    }
    operators = [(MUL, (0, 5), (6,)), (CONV, (6, 1), (2,))]
    graph = read_graph(write_tflite(tmp_path / "a.tflite", tensors, inputs=(0,), builtin=operators))
    assert graph.constants["scale"] == (pytest.approx(1 / 255, rel=1e-3),) and "weights" not in graph.constants
    evidence = Evidence(path=tmp_path, graph=graph, height=64, width=64, outputs={}, image="image")
    assert evidence.inner_pixels() == BYTES
