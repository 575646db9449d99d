"""Programs of torch in files: opened if they are trusted or cannot run code, and read as ONNX files are."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from made_onnx import ANSWER, BOX, SIDE, center, rows, separate
from paretodet.candidate import NetworkCandidate
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.inspecting import inspect
from paretodet.layouts.layout import FileLayout, OutputLayout
from paretodet.opening import job, open_candidate
from paretodet.readings.torch_archive import read_graph
from paretodet.runtimes.graph import FileSession

IMAGE = np.full((SIDE, SIDE, 3), 51, np.uint8)
YOLO = torch.from_numpy(rows([*center(), 0.9]).transpose(0, 2, 1).copy())  # [1, 5, cells]: one class
STATED = {"names": {0: "cup"}, "task": "detect", "stride": 32, "imgsz": [SIDE, SIDE], "batch": 1, "end2end": False}
TRIPLE = FileLayout(
    family="a test",
    outputs=OutputLayout(columns=(("output0", ("box",)), ("output1", ("score",)), ("output2", ("label",)))),
)


class Same(nn.Module):
    """Returns the same for every image of [1, 3, SIDE, SIDE]."""

    def __init__(self, *found: Tensor) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        for index, part in enumerate(found):
            self.register_buffer(f"found{index}", part)
        self.count = len(found)

    def forward(self, pixels: Tensor) -> Any:
        nothing = 0 * self.conv(pixels.reshape(1, 3, SIDE, SIDE)).mean()
        parts = [getattr(self, f"found{index}") for index in range(self.count)]
        made = [part + nothing if part.is_floating_point() else part.clone() for part in parts]
        return made[0] if len(made) == 1 else tuple(made)


class Cosine(Same):
    def forward(self, pixels: Tensor) -> Any:
        return super().forward(pixels).cosh()


def scripted(path: Path, module: nn.Module, stated: Any = None) -> Path:
    program = torch.jit.trace(module, torch.zeros(1, 3, SIDE, SIDE))
    program.save(str(path), _extra_files={} if stated is None else {"config.txt": json.dumps(stated)})
    return path


def exported(path: Path, module: nn.Module) -> Path:
    torch.export.save(torch.export.export(module, (torch.zeros(1, 3, SIDE, SIDE),)), path)
    return path


def opened(path: Path, **options: Any) -> NetworkCandidate:
    candidate = open_candidate(str(path), **{"trust": True} | options)
    assert isinstance(candidate, NetworkCandidate) and isinstance(candidate.session, FileSession)
    return candidate


def best(candidate: NetworkCandidate) -> tuple[list[int], float, int]:
    """The best box, its score and its label."""
    found = candidate.finish(candidate.infer(candidate.prepare([IMAGE])), torch.tensor([[SIDE, SIDE]]).float())
    return [round(side) for side in found.boxes[0, 0].tolist()], float(found.scores[0, 0]), int(found.labels[0, 0])


def test_ultralytics_states_the_meaning_of_its_archive(tmp_path: Path) -> None:
    model = opened(scripted(tmp_path / "yolo.torchscript", Same(YOLO), STATED))
    assert best(model)[0] == ANSWER and model.labels == ("cup",)
    facts = model.facts()
    assert (facts.runtime, facts.height, facts.width, facts.precision) == ("torch-program", SIDE, SIDE, "file")
    assert "letterbox" in dict(facts.runtime_settings)["layout"]
    two = model.infer(model.prepare([IMAGE, IMAGE]))
    assert two.scores.shape[0] == 2 and torch.equal(two.boxes[0], two.boxes[1])


@pytest.mark.parametrize("ending", ["torchscript", "pt2"])
def test_other_programs_are_read_by_a_layout_file(tmp_path: Path, ending: str) -> None:
    module = Same(*(torch.from_numpy(part) for part in separate(BOX, label=2)))
    path = (scripted if ending == "torchscript" else exported)(tmp_path / f"net.{ending}", module)
    model = opened(path, layout=TRIPLE, height=SIDE)
    assert best(model) == (ANSWER, pytest.approx(0.9), 2)
    found = inspect(CandidateConfig(name=str(path), trust=True, height=SIDE))
    assert list(found.evidence.shapes) == ["output0", "output1", "output2"]


def test_a_program_of_export_states_its_size(tmp_path: Path) -> None:
    path = exported(tmp_path / "net.pt2", Same(*(torch.from_numpy(part) for part in separate(BOX))))
    assert opened(path, layout=TRIPLE).facts().height == SIDE
    with pytest.raises(InputError, match="size-unsupported"):
        opened(path, layout=TRIPLE, height=64)


def test_a_file_is_opened_only_if_it_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = scripted(tmp_path / "net.torchscript", Same(YOLO), STATED)
    monkeypatch.setattr(torch.jit, "load", pytest.fail)
    with pytest.raises(InputError, match=r"net\.torchscript: .*--trust .*trust-needed"):
        open_candidate(str(path))
    assert read_graph(path).metadata["names"] == "{'0': 'cup'}"


def test_a_program_of_export_that_computes_with_tensors_alone_needs_no_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exported(tmp_path / "net.pt2", Same(*(torch.from_numpy(part) for part in separate(BOX, label=2))))
    loaded, load = [], torch.export.load
    monkeypatch.setattr(torch.export, "load", lambda path: loaded.append(path) or load(path))
    assert best(opened(path, trust=None, layout=TRIPLE)) == (ANSWER, pytest.approx(0.9), 2)
    assert loaded and path not in loaded  # a copy
    assert best(opened(path, layout=TRIPLE)) == (ANSWER, pytest.approx(0.9), 2) and path in loaded


def test_a_program_of_export_that_does_more_is_refused_with_the_reason(tmp_path: Path) -> None:
    program = torch.export.export(
        Same(*map(torch.from_numpy, separate(BOX))),
        (torch.zeros(1, 3, SIDE, SIDE),),
        dynamic_shapes=({0: torch.export.Dim.AUTO},),
    )
    path = exported(tmp_path / "net.pt2", Cosine(YOLO))
    with pytest.raises(InputError, match=r"net\.pt2: .*calls torch\.ops\.aten\.cosh.*--trust .*trust-needed"):
        opened(path, trust=None)
    torch.export.save(program, path)
    assert opened(path, trust=None, layout=TRIPLE).facts().height == SIDE


def test_the_job_names_the_file_by_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = scripted(tmp_path / "net.torchscript", Same(YOLO), STATED)
    data = job(CandidateConfig(name=str(path), trust=True)).recipe
    assert data["name"] == path.name and data["trust"] and data["weights"] == opened(path).facts().weights
    monkeypatch.chdir(tmp_path)
    assert CandidateConfig.from_json(data).trust


@pytest.mark.parametrize("ending", ["torchscript", "pt2"])
@pytest.mark.parametrize(("shape", "words"), [((1, 1000), "classification"), ((1, 21, SIDE, SIDE), "segmentation")])
def test_a_program_of_another_task_is_named_as_such(
    tmp_path: Path, ending: str, shape: tuple[int, ...], words: str
) -> None:
    make = scripted if ending == "torchscript" else exported
    path = make(tmp_path / f"net.{ending}", Same(torch.rand(shape)))
    with pytest.raises(InputError, match=rf"net\.{ending}: is of another task, {words}.*onnx-task"):
        opened(path, height=SIDE)


@pytest.mark.parametrize(("task", "words"), [("segment", "instance segmentation"), ("obb", "oriented boxes")])
def test_the_task_that_an_archive_states_is_named(tmp_path: Path, task: str, words: str) -> None:
    path = scripted(tmp_path / "yolo.torchscript", Same(YOLO), STATED | {"task": task})
    with pytest.raises(InputError, match=rf"yolo\.torchscript: .*{words}.*onnx-task"):
        opened(path)


def test_a_size_that_a_program_cannot_run_at_is_named(tmp_path: Path) -> None:
    path = scripted(tmp_path / "net.torchscript", Same(YOLO))
    with pytest.raises(InputError, match=r"net\.torchscript: cannot run at 640x640 .*--size.*graph-failed"):
        opened(path)


@pytest.mark.parametrize("ending", ["torchscript", "pt2"])
def test_what_is_no_program_is_named(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"a\.\w+: not an archive of torch .*graph-failed"):
        opened(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"")
    with pytest.raises(InputError, match=r"a\.\w+: torch cannot load .*graph-failed"):
        opened(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/extra/config.txt", b"[1]")
    with pytest.raises(InputError, match=r"config\.txt is not a JSON object"):
        opened(path)
    with pytest.raises(InputError, match="onnxruntime cannot run .*: it is a program of torch"):
        opened(path, runtime="onnxruntime")
