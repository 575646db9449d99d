"""Files of torch that need code: told by the names in them, never unpickled, refused with the way to export them."""

import io
import pickle
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from paretodet.importing import import_weights
from paretodet.opening import open_candidate
from paretodet.sources.table import check, source_of
from paretodet.sources.torch_file import TorchFile
from paretodet.weights.files import WeightsMetadata
from paretodet.weights.formats import torch_file
from paretodet.weights.safe import WeightsError
from paretodet.weights.torch_code import is_program, refuse_code

HOLDERS = [  # the module of a checkpoint's class, and what its refusal names
    ("ultralytics.nn.tasks", "yolo export model=.* format=onnx"),
    ("models.yolo", r"export\.py"),
    ("some_repository.net", "the code that made it"),
]


def checkpoint(path: Path, module: str, monkeypatch: pytest.MonkeyPatch, **options: object) -> Path:
    """A checkpoint with an object of a class of `module`, which is gone once it is written."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(".".join(parts[:end])))
    made = type("DetectionModel", (dict,), {"__module__": module})
    monkeypatch.setattr(sys.modules[module], "DetectionModel", made, raising=False)
    torch.save({"epoch": 3, "model": made(weight=torch.ones(2))}, path, **options)
    monkeypatch.undo()
    return path


@pytest.mark.parametrize(("module", "way"), HOLDERS)
@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}])
def test_a_checkpoint_that_needs_code_names_it_and_the_export(
    module: str, way: str, options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkpoint(tmp_path / "best.pt", module, monkeypatch, **options)
    for read in (refuse_code, torch_file.read, lambda path: check(str(path))):
        with pytest.raises(WeightsError, match=rf"best\.pt: .*code of {module}; .*{way}.*weights-format") as refused:
            read(path)
        assert "paretodet import" not in str(refused.value)
    assert module not in sys.modules
    with pytest.raises(WeightsError, match=f"code of {module}"):
        import_weights(path, WeightsMetadata(name="yolo_v3_tiny-416"), tmp_path / "out.safetensors")


def test_a_whole_model_of_torch_needs_code_too(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 1)), tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=r"code of torch\.nn\.modules"):
        torch_file.read(tmp_path / "net.pt")


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_plain_tensors_are_offered_an_import(options: dict[str, object], tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.ones(2), "b": nn.Parameter(torch.ones(1))}}, tmp_path / "w.pt", **options)
    refuse_code(tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"paretodet import .*w\.pt --as NAME"):
        check(str(tmp_path / "w.pt"))


def program(path: Path) -> Path:
    torch.jit.trace(nn.Conv2d(3, 4, 1), torch.zeros(1, 3, 8, 8)).save(str(path))
    return path


@pytest.mark.parametrize("ending", ["torchscript.pt", "pt", "pth"])
def test_a_program_is_known_by_its_parts_whatever_its_ending(ending: str, tmp_path: Path) -> None:
    path = program(tmp_path / f"net.{ending}")
    assert is_program(path) and isinstance(source_of(str(path)), TorchFile)
    with pytest.raises(ValueError, match=r"--trust .*trust-needed"):
        open_candidate(str(path))
    with pytest.raises(WeightsError, match="program of TorchScript.*weights-format"):
        torch_file.read(path)


def test_other_files_are_no_programs(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pt")
    (tmp_path / "text.pt").write_text("hello")
    for name in ("w.pt", "text.pt", "none.pt"):
        assert not is_program(tmp_path / name) and not isinstance(source_of(str(tmp_path / name)), TorchFile)


def test_what_cannot_be_read_says_nothing_of_code(tmp_path: Path) -> None:
    whole = io.BytesIO()
    pickle.dump({"a": 1}, whole, protocol=2)
    broken = (b"", b"\x80", b"\x80\x02c", whole.getvalue()[:-3], b"\x80\x02X\xff\xff\xff\x7f", b"\x80\x02nothing")
    for content in broken:
        (tmp_path / "a.pt").write_bytes(content)
        refuse_code(tmp_path / "a.pt")
        with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/data.pkl", content)
        refuse_code(tmp_path / "a.pt")
