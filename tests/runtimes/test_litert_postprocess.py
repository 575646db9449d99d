"""LiteRT files with TFLite's own suppression, whose outputs a converter has put into another order."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from made_tflite import Made, write_tflite
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.inspecting import inspect
from paretodet.layouts.layout import BYTES
from paretodet.opening import open_candidate
from paretodet.runtimes.graph import Port
from paretodet.runtimes.litert import LiteRt, LiteRtFiles, LiteRtGraph
from paretodet.weights.formats.tflite import POSTPROCESS, input_types

SIDE = 100
SHAPES = {"n": (1,), "s": (1, 3), "b": (1, 3, 4), "c": (1, 3)}  # in the order of the file
WRITTEN = ("b", "c", "s", "n")  # in the order of the operator
FOUND = {
    "n": np.array([2], np.float32),
    "s": np.array([[0.25, 0.75, 7.5]], np.float32),  # the third is of an earlier call
    "c": np.array([[4, 1, 9]], np.float32),
    "b": np.array([[[0.1, 0.2, 0.5, 0.6], [0.2, 0.1, 0.8, 0.4], [9, 9, 9, 9]]], np.float32),
}


class Interpreter:
    """Returns the same for every image."""

    def __init__(self, kind: str, names: tuple[str, ...] = tuple(SHAPES)) -> None:
        self.inputs = (Port("image", (1, SIDE, SIDE, 3), kind),)
        self.outputs = tuple(Port(name, SHAPES[name[0]], "float32") for name in names)

    def quantization(self, name: str) -> tuple[float, int]:
        return (0.0, 0)

    def precisions(self) -> Mapping[str, int]:
        return {"int8": 1}

    def __call__(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {port.name: FOUND[port.name] for port in self.outputs}


def written(path: Path, kind: type[np.generic], name: str | None = None) -> Path:
    """A file; `name` is that of all its outputs."""
    tensors = {"image": Made(values=np.zeros(0, kind), shape=(1, SIDE, SIDE, 3))}
    tensors |= {key: Made(values=np.zeros(0, np.float32), shape=shape, name=name) for key, shape in SHAPES.items()}
    places = [list(tensors).index(name) for name in WRITTEN]
    returned = range(1, len(tensors))
    operators: dict[str, dict[str, float]] = {POSTPROCESS: {}}
    return write_tflite(path / "a.tflite", tensors, inputs=(0,), returned=returned, operators=operators, writes=places)


def opened(path: Path, monkeypatch: pytest.MonkeyPatch, program: Interpreter, **options: Any) -> Any:
    for kind in (LiteRt, LiteRtFiles):
        monkeypatch.setattr(kind, "require", lambda *arguments: None)
        monkeypatch.setattr(kind, "settings", lambda self: ())
    monkeypatch.setattr(LiteRt, "open", lambda self, path, signed: program)
    monkeypatch.setattr(LiteRtFiles, "compile", lambda self, path: LiteRtGraph(program))
    monkeypatch.setattr("paretodet.runtimes.litert._share", lambda programs: ("share", ""))
    return open_candidate(str(path), **options)


def best(candidate: Any) -> tuple[list[float], list[float], list[int]]:
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    found = candidate.finish(candidate.infer(candidate.prepare([image])), torch.tensor([[SIDE, SIDE]]).float())
    kept = found.scores[0] > 0
    return found.boxes[0, 0].tolist(), found.scores[0][kept].tolist(), found.labels[0][kept].tolist()


ANSWER = (pytest.approx([10, 20, 40, 80]), [0.75, 0.25], [1, 4])


def test_outputs_are_taken_in_the_order_of_the_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, np.uint8)
    assert best(opened(path, monkeypatch, Interpreter("uint8"))) == ANSWER


class NamelessInterpreter:
    """LiteRT's, of a file with the tensors image, n, s, b and c; the outputs have one name."""

    name = ""

    def __init__(self, model_path: str, num_threads: int) -> None:
        self.places = dict(enumerate(SHAPES, 1))

    def allocate_tensors(self) -> None: ...

    def get_input_details(self) -> list[dict[str, Any]]:
        return [{"name": "image", "index": 0, "shape": (1, SIDE, SIDE, 3), "dtype": np.uint8}]

    def get_output_details(self) -> list[dict[str, Any]]:
        return [
            {"name": self.name, "index": place, "shape": SHAPES[key], "dtype": np.float32}
            for place, key in self.places.items()
        ]

    def get_tensor_details(self) -> list[dict[str, Any]]:
        return []

    def _get_ops_details(self) -> list[dict[str, Any]]:
        return []

    def set_tensor(self, place: int, values: np.ndarray) -> None: ...

    def invoke(self) -> None: ...

    def get_tensor(self, place: int) -> np.ndarray:
        return FOUND[self.places[place]]


@pytest.mark.parametrize("name", ["", "Identity"])
def test_outputs_of_no_name_or_of_one_are_those_of_the_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for kind in (LiteRt, LiteRtFiles):
        monkeypatch.setattr(kind, "require", lambda *arguments: None)
        monkeypatch.setattr(kind, "settings", lambda self: ())
    monkeypatch.setattr(NamelessInterpreter, "name", name)
    module = SimpleNamespace(Interpreter=NamelessInterpreter)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", SimpleNamespace(interpreter=module))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
    assert best(open_candidate(str(written(tmp_path, np.uint8, name)))) == ANSWER


def test_outputs_that_are_not_of_the_operator_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"returns others than the tensors of TFLite.*graph-failed"):
        opened(written(tmp_path, np.uint8), monkeypatch, Interpreter("uint8", ("n", "s2", "b", "c")))


def test_float_pixels_need_a_layout_which_inspect_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, program = written(tmp_path, np.float32), Interpreter("float32")
    assert input_types(path) == [torch.float32]
    with pytest.raises(InputError, match=r"suppression inside.*nothing says how pixels are scaled.*pixels-unknown"):
        opened(path, monkeypatch, program)
    layout = inspect(CandidateConfig(name=str(path))).layout
    columns = dict(layout.outputs.columns)
    assert columns == {"b": ("box",), "c": ("label",), "s": ("score",), "n": ("count",)}
    assert best(opened(path, monkeypatch, program, layout=replace(layout, pixels=BYTES))) == ANSWER
