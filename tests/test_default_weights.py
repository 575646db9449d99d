"""Trained weights that are at hand come with the default set; nothing is downloaded and nothing else is taken."""

import shutil
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace

from paretodet import default_weights as module
from paretodet.config import CandidateConfig
from paretodet.default_weights import default_weights
from paretodet.detectors.detector import build
from paretodet.detectors.families import spec
from paretodet.loader.shapes import Shapes
from paretodet.opening import job, open_config
from paretodet.reading import sha256
from paretodet.scoring import evaluate_candidate
from paretodet.weights import files, published
from paretodet.weights.files import WeightsMetadata

SSD = "ssd-mobilenet_v1-300"
TFLITE = "ssd_mobilenet_v1_tflite"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with labels, and weights that are published for one detector of the default set."""
    labels = tmp_path / "data" / "coco_val2017_44"
    labels.mkdir(parents=True)
    Shapes(count=2, height=32, width=32, seed=0).write(labels)
    folder = tmp_path / "data" / "theirs"
    folder.mkdir()
    metadata = WeightsMetadata(name=SSD, width=0.125)
    torch.manual_seed(0)
    files.save(build(metadata.apply_to(spec(SSD))).state_dict(), folder / "w.safetensors", metadata)
    (known, _) = published.find(TFLITE)
    entry = replace(known, file="w.safetensors", sha256=sha256(folder / "w.safetensors"))
    monkeypatch.setattr(module, "of_detector", lambda name: (entry,) if name == SSD else ())
    monkeypatch.setenv("PARETODET_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PARETODET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data"


def test_a_published_file_is_imported_and_named(data: Path) -> None:
    said: list[str] = []
    found = default_weights(said.append)
    assert found is not None and found.labels == data / "coco_val2017_44" / "instances.json"
    (path,), (sentence,) = found.files, said
    assert SSD in sentence and str(data / "theirs" / "w.safetensors") in sentence
    kept = files.read_metadata(path)
    assert kept is not None and (kept.name, kept.ap, kept.split) == (SSD, 16.0, "minival2014")
    made = job(CandidateConfig(name=str(path)))
    assert made.name == f"{SSD} at width 0.125" and made.recipe["weights"] == sha256(path)
    assert default_weights(said.append) == found  # the cache has it


def test_the_folder_of_downloads_comes_first(data: Path, tmp_path: Path) -> None:
    downloads = tmp_path / "cache" / "weights"
    downloads.mkdir(parents=True)
    shutil.copy(data / "theirs" / "w.safetensors", downloads)
    said: list[str] = []
    assert default_weights(said.append) and str(downloads) in said[0]


def test_another_file_of_the_name_is_not_taken(data: Path) -> None:
    (data / "theirs" / "w.safetensors").write_bytes(b"other")
    assert default_weights(lambda sentence: None) is None


def test_a_file_that_cannot_be_imported_is_named_and_left_out(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = data / "theirs" / "w.safetensors"
    file.write_bytes(b"no weights")
    (entry,) = module.of_detector(SSD)
    monkeypatch.setattr(module, "of_detector", lambda name: (replace(entry, sha256=sha256(file)),) * (name == SSD))
    said: list[str] = []
    assert default_weights(said.append) is None
    assert said[0].startswith(f"Not measured: {SSD} with the weights {file}: ")


def test_without_labels_there_is_nothing_to_measure(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "coco_val2017_44" / "instances.json").unlink()
    assert default_weights(lambda sentence: None) is None
    monkeypatch.delenv("PARETODET_DATA")
    assert default_weights(lambda sentence: None) is None


@pytest.mark.full
def test_googles_file_has_its_accuracy_on_real_images(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AP 30.75 was found with another resizing; TensorFlow's own has 30.32 on the same numbers."""
    monkeypatch.setenv("PARETODET_CACHE", str(tmp_path))
    found = default_weights(lambda sentence: None)
    assert found is not None
    config = CandidateConfig(name=str(found.files[0]))
    assert job(config).about["ap"] == 16.0
    evaluation = evaluate_candidate(open_config(config), found.labels)
    assert evaluation.boxes.whole.ap == pytest.approx(30.32, abs=0.1)
