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
from paretodet.opening import job, open_candidate, require_weights

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
