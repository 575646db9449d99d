"""A name and its options become a candidate that detects, and a job that the bench can send to a process."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from paretodet.bench.candidate import Candidate
from paretodet.candidate import NetworkCandidate
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.opening import config_of_row, job, open_candidate, require_weights

SSD = "ssd-mobilenet_v1-300"
MODEL = "hf:deimv2-atto"


def test_a_job_is_picklable_and_has_the_modules_of_its_runtime() -> None:
    threads = torch.get_num_threads()
    made = job(CandidateConfig(name=SSD, precision="bf16", batch=2, threads=threads), images=(Path("a.png"),))
    again = pickle.loads(pickle.dumps(made))
    assert again == replace(made, make=again.make) and (again.batch, again.threads) == (2, threads)
    assert isinstance(again.make(), NetworkCandidate)
    assert made.about["ap"] == 18.8 and made.recipe["name"] == SSD and "images" not in made.recipe
    assert made.imports == () and job(CandidateConfig(name="a.onnx")).imports == ("onnxruntime",)
    assert job(CandidateConfig(name=MODEL)).imports == ("paretodet.sources.hub_network",)


def test_weights_are_required_where_they_would_be_random() -> None:
    for name in (SSD, MODEL):
        with pytest.raises(ValueError, match=f"{name} has no weights of its own"):
            require_weights(name, None)
        require_weights(name, None, insisted=True)
        require_weights(name, Path("w.safetensors"))
    require_weights("a.onnx", None)
    require_weights("module:make", None)


def test_the_command_that_gets_published_weights_is_named() -> None:
    with pytest.raises(ValueError, match=r"`paretodet weights get yolov3`.*\[weights-needed\]"):
        require_weights("yolo_v3-darknet53-416", None)
    with pytest.raises(ValueError, match=r"get ssd_mobilenet_v1_coco` or .*get ssd_mobilenet_v1_tflite`"):
        require_weights(SSD, None)
    with pytest.raises(ValueError, match="give --weights FILE, or --untrained"):
        require_weights(MODEL, None)


def test_candidates_of_each_kind_detect() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    for name in (SSD, MODEL):
        candidate = open_candidate(name)
        assert isinstance(candidate, Candidate)
        found = candidate.finish(candidate.infer(candidate.prepare([image])), torch.tensor([[40.0, 60.0]]))
        assert found.scores.shape == (1, 100)


@pytest.mark.parametrize("change", [{"height": 320}, {"fit": "letterbox"}, {"labels": ("a",)}])
def test_published_accuracy_is_of_the_published_canvas_fit_and_classes(change: dict[str, Any]) -> None:
    assert job(CandidateConfig(name=MODEL)).about["ap"] and job(CandidateConfig(name=MODEL, **change)).about == {}


def test_a_canvas_and_proposals_that_are_set_are_part_of_the_name() -> None:
    for name, options, named in (
        ("yolo_v3-darknet53-416", {"height": 320}, "yolo_v3-darknet53-320"),
        ("faster_rcnn-resnet101-600-s16-p300", {"height": 600, "proposals": 100}, "faster_rcnn-resnet101-600-s16-p100"),
        (SSD, {"height": 300, "width": 320}, "ssd-mobilenet_v1-300x320"),
    ):
        made, same = (job(CandidateConfig(name=each, **more)) for each, more in ((name, options), (named, {})))
        assert replace(made, make=same.make) == same and made.name == named
    with pytest.raises(ValueError, match="proposals: got 10, but ssd has one stage"):
        job(CandidateConfig(name=SSD, proposals=10))


def test_published_accuracy_is_not_of_a_quantized_network(tmp_path: Path) -> None:
    """It stands beside it, unless another option may change the accuracy too."""
    (tmp_path / "1.png").touch()
    options: dict[str, Any] = {"name": SSD, "runtime": "onnxruntime", "precision": "int8", "calibration": tmp_path}
    about = job(CandidateConfig(**options)).about
    assert about.get("ap") is None and about["published_ap"] == 18.8 and about["published_split"]
    assert job(CandidateConfig(**options, fit="letterbox")).about == {}


def test_a_row_does_not_decide_that_code_of_its_author_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("of_a_row.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    for recipe in ({"name": "of_a_row:make"}, {"name": "of_a_row:make", "trust": True}):
        with pytest.raises(InputError, match=r"of_a_row:make: this row runs .*--trust.*trust-needed"):
            config_of_row(recipe)
        assert config_of_row(recipe, trust=True).name == "of_a_row:make"
    assert not Path("ran").exists()


def test_what_was_measured_with_trust_is_trusted_again_only_by_whoever_reproduces_it() -> None:
    row = {"name": "yolo_v3_tiny-96", "trust": True}
    assert config_of_row(row).trust is None and config_of_row(row, trust=True).trust is True
    assert config_of_row({"name": "yolo_v3_tiny-96"}, trust=True).trust is None


def test_a_function_that_knows_no_trust_is_called_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("of_trust.py").write_text("def make(): raise ValueError('called')\n")
    with pytest.raises(InputError, match="raised ValueError: called"):
        open_candidate("of_trust:make", trust=True)


def test_a_path_is_a_name() -> None:
    assert open_candidate(Path(SSD)).name == SSD
    with pytest.raises(InputError, match=r"nowhere\.safetensors: no such file"):
        open_candidate(Path("nowhere.safetensors"))
