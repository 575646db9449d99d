"""LiteRT files whose outputs are recognized, with an interpreter in the place of LiteRT's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from made_tflite import Made, write_tflite
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.inspecting import inspect
from paretodet.opening import open_candidate
from paretodet.runtimes.graph import FileSession, Port
from paretodet.runtimes.litert import LiteRtFiles, LiteRtGraph

SIDE = 128
CELL = (4 * 16 + 4) * 2  # the prior at (36, 36)
IMAGE = Made(values=np.zeros(0, np.float32), shape=(1, SIDE, SIDE, 3))


class Interpreter:
    """BlazeFace that finds one face; `kind` is the type of its image, and its outputs are of bytes if that is."""

    def __init__(self, kind: str) -> None:
        self.inputs = (Port("image", (1, SIDE, SIDE, 3), kind),)
        self.outputs = (Port("scores", (1, 896, 1), "int8"), Port("codes", (1, 896, 16), "float32"))
        self.fed = np.zeros(0)

    def quantization(self, name: str) -> tuple[float, int]:
        return {"image": (1 / 127.5, -1), "scores": (0.25, 10), "codes": (0.0, 0)}[name]

    def precisions(self) -> Mapping[str, int]:
        return {"int8": 1}

    def __call__(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.fed = feed["image"]
        scores, codes = np.full((1, 896, 1), -30, np.int8), np.zeros((1, 896, 16), np.float32)
        codes[0, :, 2:4] = 10
        scores[0, CELL], codes[0, CELL, 2:4] = 10 + 8, 40  # a logit of 2
        return {"scores": scores, "codes": codes}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file, which an interpreter runs."""
    for module in ("parts", "graph"):
        monkeypatch.setattr(f"paretodet.runtimes.{module}.require", lambda *_: None)
    monkeypatch.setattr(LiteRtFiles, "compile", lambda *_: made("float32"))
    return write_tflite(tmp_path / "face.tflite", {"image": IMAGE}, inputs=(0,))


def made(kind: str) -> LiteRtGraph:
    program: Any = Interpreter(kind)
    return LiteRtGraph(program)


def test_a_file_is_read_as_an_onnx_file_is(path: Path) -> None:
    candidate: Any = open_candidate(str(path), threads=1)
    assert isinstance(candidate.session, FileSession) and candidate.labels == ("face",)
    assert candidate.session.reading.layout.family == "BlazeFace"
    image = np.full((SIDE, SIDE, 3), 51, np.uint8)
    found = candidate.finish(candidate.infer(candidate.prepare([image])), torch.tensor([[SIDE, SIDE]]).float())
    assert found.boxes[0, 0].tolist() == pytest.approx([16, 16, 56, 56], abs=1e-3)
    assert float(found.scores[0, 0]) == pytest.approx(1 / (1 + np.exp(-2)))
    assert candidate.session.program.program.fed.mean() == pytest.approx(51 / 127.5 - 1)


def test_inspect_shows_how_it_is_read(path: Path) -> None:
    inspection = inspect(CandidateConfig(name=str(path)))
    assert inspection.reading and inspection.reading.layout.family == "BlazeFace"
    assert "LiteRT" in inspection.to_toml()


def test_the_layout_of_a_file_can_be_given(path: Path) -> None:
    layout = inspect(CandidateConfig(name=str(path))).layout
    candidate: Any = open_candidate(str(path), threads=1, layout=layout)
    assert candidate.session.reading.reasons == ("the layout was given",)


@pytest.mark.parametrize(("kind", "type"), [("int8", "tensor(float)"), ("uint8", "tensor(uint8)")])
def test_bytes_stand_for_floats_but_pixels_are_left(kind: str, type: str) -> None:
    graph = made(kind)
    assert graph.inputs[0].type == type and {port.type for port in graph.outputs} == {"tensor(float)"}
    values = np.array([-1.0, 0.0, 0.3, 9.0], np.float32) if kind == "int8" else np.array([0, 127, 255], np.uint8)
    scores, codes = graph({"image": values})
    fed = graph.program.fed  # type: ignore[attr-defined]
    assert fed.tolist() == ([-128, -1, 37, 127] if kind == "int8" else [0, 127, 255]) and fed.dtype == kind
    assert scores[0, CELL, 0] == 2 and scores[0, 0, 0] == -10 and codes.dtype == np.float32


def test_a_file_of_which_nothing_is_known_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Interpreter, "__call__", lambda *_: {"scores": np.zeros((1, 9, 1)), "codes": np.zeros((1, 9))})
    with pytest.raises(InputError) as caught:
        open_candidate(str(path), threads=1)
    assert caught.value.id == "onnx-layout" and str(path) in caught.value.message


def test_a_file_of_another_task_is_named_as_such(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Interpreter, "__call__", lambda *_: {"scores": np.zeros((1, 1000)), "codes": np.zeros((1, 101))}
    )
    with pytest.raises(InputError) as caught:
        open_candidate(str(path), threads=1)
    assert caught.value.id == "onnx-task" and "1000 and 101 numbers" in caught.value.message
    assert caught.value.message.startswith(f"{path}: is of another task, classification")
