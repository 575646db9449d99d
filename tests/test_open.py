"""One name, one candidate: what each form of name opens, which options it takes, and what it says when it cannot."""

import pickle
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from paretodet.adapters.darknet import DarknetCandidate
from paretodet.adapters.hub import HubCandidate
from paretodet.bench.candidate import Candidate
from paretodet.detectors import catalogue
from paretodet.detectors.families import UnknownName
from paretodet.open import (
    CandidateConfig,
    MissingExtra,
    accuracy,
    check,
    job,
    open_candidate,
    published,
    require_weights,
    runtime,
)
from paretodet.reading import sha256
from paretodet.runtimes.eager import EagerCandidate
from paretodet.transforms.resize_policy import Letterbox, Stretch
from paretodet.weights import files, safe

SSD = "ssd-mobilenet_v1-300"
GUEST = "hf:deimv2-atto"
MODULE = """
from paretodet.transforms.resize_policy import Stretch
from paretodet.adapters.function import Guest

def make(device="cpu"):
    return Guest(f"mine on {device}", lambda batch: None, fit=Stretch(height=8, width=8))

def broken():
    raise RuntimeError("no luck")

def nothing():
    return 3
"""

CFG = """[net]
width=32
height=32
[convolutional]
filters=14
stride=8
[yolo]
anchors=1,2,3,4
num=2
classes=2
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the working folder, which is not yet on the path."""
    name = f"module_of_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    return name


def test_a_catalogue_name_opens_at_capacity_without_weights_and_at_its_own_with() -> None:
    candidate = open_candidate(SSD, nms=0.3, fit="letterbox", precision="bf16")
    assert isinstance(candidate, EagerCandidate) and isinstance(candidate, Candidate)
    facts = candidate.facts()
    assert (facts.load, facts.weights, facts.precision) == ("capacity", "random", "bf16")
    assert candidate.spec.fit == Letterbox(height=300, width=300)
    darknets = open_candidate(SSD, fit="letterbox-darknet")
    assert darknets.spec.fit == Letterbox(height=300, width=300, undo="darknet")  # type: ignore[attr-defined]
    assert candidate.labels[0] == "person"


def test_a_threshold_that_is_asked_for_holds_without_weights_too_and_is_no_full_load() -> None:
    strict = open_candidate(SSD, score=0.4)
    assert isinstance(strict, EagerCandidate)
    assert strict.spec.stages[-1].select.threshold == 0.4 and strict.facts().load == "data"
    found = strict.infer(strict.prepare([torch.zeros(30, 40, 3, dtype=torch.uint8).numpy()]))
    assert ((found.scores > 0.4) | (found.scores == 0)).all()
    recipe = CandidateConfig(name=SSD, score=0.4)
    assert job(recipe).about == {} and job(recipe).make.keywords["score"] == 0.4
    assert CandidateConfig.from_json(recipe.to_json()) == recipe


@pytest.mark.full
def test_weights_leave_capacity_and_are_told_by_hash(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    from paretodet.detectors.families import spec
    from paretodet.runtimes.eager import build

    safe.save(build(spec(SSD), seed=4).state_dict(), path)
    candidate = open_candidate(SSD, weights=path, score=0.25, nms=0.4)
    assert candidate.facts().load == "data" and candidate.facts().weights == sha256(path)
    select = candidate.spec.stages[-1].select
    assert (select.threshold, select.overlap) == (0.25, 0.4)
    recipe = CandidateConfig(name=SSD, weights=path)
    data = recipe.to_json()
    assert str(tmp_path) not in str(data) and CandidateConfig.from_json(data, weights=path) == recipe
    with pytest.raises(ValueError, match="weights: needed with SHA-256"):
        CandidateConfig.from_json(data)
    assert job(recipe).about == {}  # published accuracy belongs to other weights


def test_what_a_file_cannot_want_is_told_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    files.save({}, path, files.WeightsMetadata(name=SSD, score=7.0))
    with pytest.raises(safe.WeightsError, match=r"w\.safetensors: what it says of its use cannot be: score: got 7"):
        open_candidate(str(path))


def test_weights_beside_a_file_of_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="weights: a.safetensors is a file of weights itself"):
        CandidateConfig(name="a.safetensors", weights=Path("b.safetensors")).resolved()


def test_a_guest_of_the_hub_takes_a_size() -> None:
    candidate = open_candidate(GUEST, height=256, fit="letterbox", score=0.5)
    assert isinstance(candidate, HubCandidate)
    assert candidate.fit == Letterbox(height=256, width=256) and candidate.score == 0.5


def test_an_onnx_file_is_opened_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    _write_onnx(path)
    candidate = open_candidate(str(path), labels=("cat",), fit="letterbox")
    assert candidate.name == "mine" and candidate.labels == ("cat",) and isinstance(candidate.fit, Letterbox)
    recipe = CandidateConfig(name=str(path))
    data = recipe.to_json()
    assert data["name"] == "mine.onnx" and data["weights"] == sha256(path) and str(tmp_path) not in str(data)
    assert job(recipe).name == "mine"


def test_a_darknet_cfg_is_opened_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.cfg"
    path.write_text(CFG)
    candidate = open_candidate(str(path), labels=("cat", "dog"), height=64, nms=0.3, score=0.2, precision="bf16")
    assert isinstance(candidate, DarknetCandidate) and candidate.name == "mine" and candidate.labels == ("cat", "dog")
    assert (candidate.plan.height, candidate.plan.width) == (64, 64) and candidate.select.overlap == 0.3
    assert isinstance(open_candidate(str(path), fit="stretch").fit, Stretch)  # type: ignore[attr-defined]
    assert (
        job(CandidateConfig(name=str(path))).name == "mine"
        and check(str(path)) == str(path)
        and runtime(str(path)) == ()
    )
    with pytest.raises(ValueError, match="has no weights of its own"):
        require_weights(str(path), None)
    with pytest.raises(ValueError, match="proposals: .* has none to set"):
        open_candidate(str(path), proposals=3)
    data = CandidateConfig(name=str(path)).to_json()
    assert str(tmp_path) not in str(data) and data["cfg"] == sha256(path) and data["weights"] is None
    monkeypatch.chdir(tmp_path)
    assert CandidateConfig.from_json(data).name == "mine.cfg"
    path.write_text(CFG.replace("3,4", "3,5"))
    with pytest.raises(ValueError, match=r"mine\.cfg: needed with SHA-256"):
        CandidateConfig.from_json(data)
    with pytest.raises(ValueError, match=r"none\.cfg: no such file"):
        check("none.cfg")


def test_an_onnx_recipe_finds_its_file_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.onnx"
    _write_onnx(path)
    data = CandidateConfig(name=str(path)).to_json()
    monkeypatch.chdir(tmp_path)
    assert CandidateConfig.from_json(data).name == "mine.onnx"
    path.write_bytes(b"another")
    with pytest.raises(ValueError, match=r"mine\.onnx: needed with SHA-256"):
        CandidateConfig.from_json(data)


def _write_onnx(path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rows = numpy_helper.from_array(np.zeros((1, 5, 6), np.float32), "value")
    graph = helper.make_graph(
        [helper.make_node("Identity", ["value"], ["out"])],
        "rows",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 32, 32))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, (1, 5, 6))],
        [rows],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_a_function_of_the_working_folder_is_called_with_the_options(module: str) -> None:
    assert open_candidate(f"{module}:make").name == "mine on cpu"
    assert open_candidate(f"{module}:make", device="cuda").name == "mine on cuda"
    assert open_candidate(f"{module}:make").fit == Stretch(height=8, width=8)


def test_names_of_classes_are_passed_on_where_they_are_taken(module: str) -> None:
    assert open_candidate(GUEST, labels=("cat", None)).labels == ("cat", None)
    assert open_candidate(f"{module}:make", labels=("cat",)).name == "mine on cpu"


def test_what_is_wrong_with_a_function_is_said(module: str) -> None:
    for call, kind, message in (
        (partial(open_candidate, f"{module}:make", score=0.5), ValueError, f"score: {module}:make has none to set"),
        (partial(open_candidate, f"{module}:broken"), ValueError, f"{module}:broken raised RuntimeError: no luck"),
        (partial(open_candidate, f"{module}:nothing"), ValueError, "made a int, which lacks name, prepare"),
        (partial(open_candidate, f"{module}:absent"), UnknownName, f"module {module} has no function 'absent'"),
        (partial(open_candidate, "no_such_module:make"), UnknownName, "there is no module 'no_such_module'"),
    ):
        with pytest.raises(kind, match=message):
            call()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("ssd-mobilnet-300", SSD),
        ("ssd_mobilenet", SSD),
        ("yolov3", "yolo_v3-darknet53"),
        ("hf:dfine-s", "hf:d_fine-s"),
        ("faster_rcnn-resnet50-600-s16-p300", "faster_rcnn-resnet101-600-s16-p300"),
    ],
)
def test_an_unknown_name_tells_the_nearest(name: str, near: str) -> None:
    for ask in (open_candidate, check):
        with pytest.raises(UnknownName, match=near):
            ask(name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (SSD, {"score": 1.5}, r"score: got 1.5, it must be in 0\.\.1"),
        (SSD, {"nms": -1}, "nms: got -1"),
        (SSD, {"fit": "squash"}, "fit: got 'squash', it must be one of stretch, letterbox, letterbox-darknet"),
        (SSD, {"width": 300}, "width: needs a height"),
        (SSD, {"proposals": 10}, "proposals: got 10, but ssd has one stage"),
        (SSD, {"precision": "int8"}, "precision: 'int8'"),
        (GUEST, {"nms": 0.5}, "nms: hf:deimv2-atto has none to set"),
        (GUEST, {"proposals": 10}, "proposals: hf:deimv2-atto has none to set"),
    ],
)
def test_bad_options_are_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_candidate(name, **options)  # type: ignore[arg-type]


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "paretodet.adapters.hub", raising=False)
    with pytest.raises(MissingExtra, match=r"needs transformers: pip install 'paretodet\[transformers\]'"):
        open_candidate(GUEST)


def test_checking_builds_nothing_and_passes_what_can_be_opened(tmp_path: Path) -> None:
    for name in (SSD, GUEST, "any.module:make"):
        assert check(name) == name
    with pytest.raises(ValueError, match=r"none\.onnx: no such file"):
        check(str(tmp_path / "none.onnx"))


def test_weights_are_required_where_they_would_be_random() -> None:
    for name in (SSD, GUEST):
        with pytest.raises(ValueError, match=f"{name} has no weights of its own"):
            require_weights(name, None)
        require_weights(name, None, insisted=True)
        require_weights(name, Path("w.safetensors"))
    require_weights("a.onnx", None)
    require_weights("module:make", None)


def test_accuracy_is_the_published_with_its_source() -> None:
    assert accuracy("hf:d_fine-s") == {
        "ap": 48.5,
        "ap50": 65.6,
        "mask_ap": None,
        "mask_ap50": None,
        "ap_split": "val2017",
        "ap_source": "github.com/Peterande/D-FINE README, trained on COCO only; AP50: Peng et al. 2024 "
        "(arXiv 2410.13842), appendix, comparison with lighter detectors",
        "ap_rounding": 0.05,
    }
    shown = accuracy("yolo_v3-darknet53-416")
    assert shown["ap"] == 31.2 and shown["ap_split"] == "val2014-5k"  # the first that has an AP
    assert published(SSD) == catalogue.published(SSD)
    assert accuracy("a.onnx") == {} and accuracy("ssd-mobilenet_v1-600") == {}


def test_a_job_is_picklable_and_knows_its_runtime() -> None:
    made = job(CandidateConfig(name=SSD, precision="bf16", batch=2, threads=1), images=(Path("a.png"),))
    again = pickle.loads(pickle.dumps(made))
    assert again == replace(made, make=again.make) and (again.batch, again.threads) == (2, 1)
    assert isinstance(again.make(), EagerCandidate)
    assert made.about["ap"] == 18.8 and made.recipe["name"] == SSD and "images" not in made.recipe
    assert runtime(SSD) == () and runtime("a.onnx") == ("paretodet.adapters.onnx_file",)
    assert job(CandidateConfig(name=GUEST)).imports == ("paretodet.adapters.hub",)


def test_a_recipe_comes_back_from_its_row() -> None:
    recipe = CandidateConfig(name=GUEST, height=256, width=320, threads=2)
    assert CandidateConfig.from_json(recipe.to_json()) == recipe
    with pytest.raises(ValueError, match="job: this row does not tell"):
        CandidateConfig.from_json({})


def test_a_row_tells_its_file_and_of_a_training_the_folder_but_no_path(tmp_path: Path) -> None:
    for folder in ("home", "seed 3"):
        (tmp_path / folder).mkdir()
        files.save({}, tmp_path / folder / "best.safetensors", files.WeightsMetadata(name=SSD))
    (tmp_path / "seed 3/run.json").write_text("{}")
    recipes = [
        CandidateConfig(name=str(tmp_path / each / "best.safetensors")).resolved() for each in ("home", "seed 3")
    ]
    told = [job(recipe).recipe for recipe in recipes]
    assert [each["file"] for each in told] == ["best.safetensors", "seed 3/best.safetensors"]
    assert str(tmp_path) not in str(told)
    assert CandidateConfig.from_json(told[1], weights=recipes[1].weights) == recipes[1]
    assert "file" not in CandidateConfig(name=SSD).to_json()


def test_a_recipe_of_before_suppression_could_be_asked_for_comes_back() -> None:
    recipe = CandidateConfig(name=SSD, nms=0.4)
    assert CandidateConfig.from_json(recipe.to_json()) == recipe
    old = {key: value for key, value in recipe.to_json().items() if key != "nms"}
    assert CandidateConfig.from_json(old) == CandidateConfig(name=SSD)


def test_candidates_of_each_kind_detect() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    for name in (SSD, GUEST):
        candidate = open_candidate(name)
        found = candidate.finish(candidate.infer(candidate.prepare([image])), torch.tensor([[40.0, 60.0]]))
        assert found.scores.shape == (1, 100)


@pytest.mark.parametrize("change", [{"height": 320}, {"fit": "letterbox"}, {"labels": ("a",)}])
def test_published_accuracy_is_of_the_published_canvas_fit_and_classes(change: dict[str, Any]) -> None:
    assert job(CandidateConfig(name=GUEST)).about["ap"] and job(CandidateConfig(name=GUEST, **change)).about == {}


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_a_guest_of_the_hub_refuses_what_torch_cannot_use(device: str) -> None:
    with pytest.raises(ValueError, match="device: "):
        open_candidate(GUEST, device=device)


@pytest.mark.parametrize("name", ["./guest.py:make", "a/b:make", "a-b:make"])
def test_a_path_is_no_module(name: str) -> None:
    with pytest.raises(UnknownName, match="is no name of a module"):
        open_candidate(name)
