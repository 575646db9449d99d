"""Every kind of name: the source that owns it, what that source states about it, and the network it loads."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from paretodet.config import CandidateConfig
from paretodet.detectors import catalogue
from paretodet.detectors.detector import build
from paretodet.detectors.families import UnknownName, spec
from paretodet.errors import InputError
from paretodet.extras import MissingExtra
from paretodet.opening import job, open_candidate, require_weights
from paretodet.reading import sha256
from paretodet.sources.bundle import BundleFolder
from paretodet.sources.darknet_net import Darknet
from paretodet.sources.hub import Hub
from paretodet.sources.hub_network import HubDetector
from paretodet.sources.source import Source
from paretodet.sources.table import SOURCES, check, published_accuracy, resolved, source_of
from paretodet.sources.torchvision_source import Torchvision
from paretodet.transforms.resize_policy import Letterbox, Stretch
from paretodet.weights import files, safe
from paretodet.weights.files import WeightsMetadata

SSD = "ssd-mobilenet_v1-300"
MODEL = "hf:deimv2-atto"
MODULE = """
from paretodet.transforms.resize_policy import Stretch
from paretodet.sources.function import FunctionAdapter

def make(device="cpu"):
    return FunctionAdapter(f"mine on {device}", lambda batch: None, fit=Stretch(height=8, width=8))

def resized(fit):
    return FunctionAdapter("resized", lambda batch: None, fit=fit(height=8, width=8))

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


def test_every_name_has_a_source_and_each_source_honors_options_that_exist(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").touch()
    files = ("a.onnx", "a.xml", "a.tflite", "a.pt2", "a.cfg", "config.json", "a.safetensors")
    names = (str(tmp_path), *files, MODEL, "tv:x", "module:make", SSD)
    assert [source_of(name) for name in names] == list(SOURCES)
    for source in SOURCES:
        assert source.options <= CandidateConfig.__dataclass_fields__.keys()


def test_a_catalogue_name_opens_at_capacity_without_weights_and_at_its_own_with() -> None:
    candidate = open_candidate(SSD, nms=0.3, fit="letterbox", precision="bf16")
    facts = candidate.facts()
    assert (facts.load, facts.weights, facts.precision) == ("capacity", "random", "bf16")
    assert candidate.spec.fit == Letterbox(height=300, width=300, sampling="tf1")
    darknets = open_candidate(SSD, fit="letterbox-darknet")
    assert darknets.spec.fit == Letterbox(height=300, width=300, undo="darknet", sampling="tf1")
    assert candidate.labels[0] == "person"


def test_a_threshold_holds_without_weights_too_and_is_no_full_load() -> None:
    strict = open_candidate(SSD, score=0.4)
    assert strict.spec.stages[-1].select.threshold == 0.4 and strict.facts().load == "data"
    found = strict.infer(strict.prepare([torch.zeros(30, 40, 3, dtype=torch.uint8).numpy()]))
    assert ((found.scores > 0.4) | (found.scores == 0)).all()
    config = CandidateConfig(name=SSD, score=0.4)
    assert job(config).about == {} and job(config).make.args == (config,)
    assert CandidateConfig.from_json(config.to_json()) == config


@pytest.mark.full
def test_weights_leave_capacity_and_are_known_by_hash(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safe.save(build(spec(SSD), seed=4).state_dict(), path)
    candidate = open_candidate(SSD, weights=path, score=0.25, nms=0.4)
    assert candidate.facts().load == "data" and candidate.facts().weights == sha256(path)
    select = candidate.spec.stages[-1].select
    assert (select.threshold, select.overlap) == (0.25, 0.4)
    config = CandidateConfig(name=SSD, weights=path)
    data = config.to_json()
    assert str(tmp_path) not in str(data) and CandidateConfig.from_json(data, weights=path) == config
    with pytest.raises(ValueError, match="weights: needed with SHA-256"):
        CandidateConfig.from_json(data)
    assert job(config).about == {}  # published accuracy belongs to other weights


def test_weights_carry_the_accuracy_that_was_published_of_them(tmp_path: Path) -> None:
    """Of the name and the options that it was published with, not of others."""
    path, stated = tmp_path / "w.safetensors", {"ap": 21.0, "split": "minival2014", "source": "zoo"}
    files.save({"any": torch.zeros(1)}, path, WeightsMetadata(name=SSD, width=0.75, **stated))
    about = job(CandidateConfig(name=str(path))).about
    assert (about["ap"], about["ap50"], about["ap_split"], about["ap_source"]) == (21.0, None, "minival2014", "zoo")
    assert about["ap_rounding"] == 0.5 and "ap_measured" not in about
    assert job(CandidateConfig(name=SSD, weights=path, precision="bf16")).about == about
    for change in ({"score": 0.3}, {"height": 320}, {"fit": "letterbox"}, {"sampling": "antialiased"}):
        assert job(CandidateConfig(name=str(path), **change)).about == {}
    files.save({"any": torch.zeros(1)}, path, WeightsMetadata(name=SSD, ap50=43.1, split="val2017"))
    about = job(CandidateConfig(name=str(path))).about
    assert (about["ap"], about["ap50"], about["ap_rounding"]) == (None, 43.1, 0.05)
    files.save({"any": torch.zeros(1)}, path, WeightsMetadata(name=SSD, score=0.5, **stated))
    assert job(CandidateConfig(name=str(path))).about == {}


def test_options_that_a_file_does_not_support_are_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    files.save({}, path, files.WeightsMetadata(name=SSD, score=7.0))
    with pytest.raises(safe.WeightsError, match=r"w\.safetensors: what it says of its use cannot be: score: got 7"):
        open_candidate(str(path))


def test_weights_beside_a_file_of_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="weights: a.safetensors is a file of weights itself"):
        resolved(CandidateConfig(name="a.safetensors", weights=Path("b.safetensors")))


def test_a_model_of_the_hub_takes_a_size() -> None:
    candidate = open_candidate(MODEL, height=256, fit="letterbox", score=0.5)
    assert isinstance(candidate.session.module, HubDetector)
    assert candidate.session.fit == Letterbox(height=256, width=256) and candidate.session.module.score == 0.5


def test_an_onnx_file_is_opened_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    _write_onnx(path)
    candidate = open_candidate(str(path), labels=("cat",), fit="letterbox")
    assert candidate.name == "mine" and candidate.labels == ("cat",)
    assert isinstance(candidate.session.fit, Letterbox)
    made = job(CandidateConfig(name=str(path)))
    assert (made.name, made.recipe["name"]) == ("mine", "mine.onnx")


def test_a_darknet_cfg_is_opened_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.cfg"
    path.write_text(CFG)
    candidate = open_candidate(str(path), labels=("cat", "dog"), height=64, nms=0.3, score=0.2, precision="bf16")
    network = candidate.session.module
    assert isinstance(network, Darknet) and candidate.name == "mine" and candidate.labels == ("cat", "dog")
    assert (network.plan.height, network.plan.width) == (64, 64) and network.selector.overlap == 0.3
    assert isinstance(open_candidate(str(path), fit="stretch").session.fit, Stretch)
    made = job(CandidateConfig(name=str(path)))
    assert (made.name, made.imports) == ("mine", ()) and check(str(path)) == str(path)
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


def _write_onnx(path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    found = np.zeros((1, 7, 6), np.float32)
    found[0, 0] = [2, 3, 20, 30, 0.9, 0]
    rows = numpy_helper.from_array(found, "value")
    graph = helper.make_graph(
        [helper.make_node("Identity", ["value"], ["out"])],
        "rows",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 32, 32))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, (1, 7, 6))],
        [rows],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_a_function_of_the_working_folder_is_called_with_the_options(module: str) -> None:
    assert open_candidate(f"{module}:make", trust=True).name == "mine on cpu"
    assert open_candidate(f"{module}:make", trust=True, device="cuda").name == "mine on cuda"
    assert open_candidate(f"{module}:resized", trust=True, fit="letterbox").fit == Letterbox(height=8, width=8)
    assert open_candidate(f"{module}:make", trust=True).fit == Stretch(height=8, width=8)


def test_names_of_classes_are_passed_on_where_they_are_taken(module: str) -> None:
    assert open_candidate(MODEL, labels=("cat", None)).labels == ("cat", None)
    assert open_candidate(f"{module}:make", trust=True, labels=("cat",)).name == "mine on cpu"


def test_what_is_wrong_with_a_function_is_named(module: str) -> None:
    trusted = partial(open_candidate, trust=True)
    for call, kind, message in (
        (partial(trusted, f"{module}:make", score=0.5), ValueError, f"score: {module}:make has none to set"),
        (partial(trusted, f"{module}:broken"), ValueError, f"{module}:broken raised RuntimeError: no luck"),
        (partial(trusted, f"{module}:nothing"), ValueError, "returned int, which lacks name, prepare"),
        (partial(trusted, f"{module}:absent"), UnknownName, f"module {module} has no function 'absent'"),
        (partial(open_candidate, "no_such_module:make"), UnknownName, "there is no module 'no_such_module'"),
    ):
        with pytest.raises(kind, match=message):
            call()


def test_a_permission_is_no_error_where_none_is_needed(module: str) -> None:
    """One command opens several names: `measure module:make ssd-mobilenet_v1-300 --trust`."""
    assert open_candidate(SSD, trust=True).name == SSD
    assert open_candidate(f"{module}:make", trust=True, allow_fallback=True).name == "mine on cpu"


def test_a_function_takes_the_options_that_it_names_or_all(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text(
        MODULE + "\n\ndef every(**options):\n    assert set(options) == {'score'}\n    return make()\n"
    )
    assert open_candidate(f"{module}:every", trust=True, score=0.5).name == "mine on cpu"


@pytest.mark.parametrize(
    ("source", "option", "typed"),
    [
        (Torchvision, {"height": 320}, "--size"),
        (BundleFolder, {"labels": ("a",)}, "--classes"),
        (Hub, {"nms": 1}, "--nms"),
    ],
)
def test_an_option_that_is_refused_is_named_as_it_is_typed(source: type[Source], option: Any, typed: str) -> None:
    with pytest.raises(InputError, match=rf"^{min(option)}: .*{typed} .*\[option-unsupported\]$"):
        source().check_options(CandidateConfig(name="x", **option))


def test_no_function_runs_without_trust(module: str) -> None:
    for trust in (None, False):
        with pytest.raises(InputError, match=rf"{module}:make: .*--trust .*trust-needed"):
            open_candidate(f"{module}:make", trust=trust)
    assert module not in sys.modules
    assert open_candidate("paretodet.bench.reference:Reference").name == "reference"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("ssd-mobilnet-300", SSD),
        ("ssd_mobilenet", SSD),
        ("yolov3", "yolo_v3-darknet53"),
        ("hf:dfine-s", "hf:d_fine-s"),
        ("faster_rcnn-resnet152-600-s16-p300", "faster_rcnn-resnet101-600-s16-p300"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(name: str, near: str) -> None:
    for ask in (open_candidate, check):
        with pytest.raises(UnknownName, match=near):
            ask(name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (SSD, {"proposals": 10}, "proposals: got 10, but ssd has one stage"),
        (SSD, {"precision": "int8"}, "precision: got 'int8'"),
        (MODEL, {"nms": 0.5}, "nms: hf:deimv2-atto has none to set"),
        (MODEL, {"proposals": 10}, "proposals: hf:deimv2-atto has none to set"),
    ],
)
def test_bad_options_are_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_candidate(name, **options)  # type: ignore[arg-type]


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"needs transformers: pip install 'paretodet\[transformers\]'"):
        open_candidate(MODEL)


@pytest.mark.parametrize("file", ["best.safetensors", "weights.safetensors", "config.json"])
def test_a_folder_is_no_detector_but_a_file_in_it_may_be(file: str, tmp_path: Path) -> None:
    (tmp_path / file).touch()
    with pytest.raises(UnknownName, match=rf"is a folder, not a detector; give the file in it, .*{file} \[name-unk"):
        check(str(tmp_path))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("model.engine", "module:make"),
        ("model.param", "to ONNX"),
        ("model", "to ONNX"),
        ("MODEL.ONNX", "MODEL.onnx"),
        ("a.Cfg", "a.cfg"),
    ],
)
def test_a_file_that_is_not_opened_is_no_name_of_the_catalogue(tmp_path: Path, file: str, said: str) -> None:
    (tmp_path / file).write_bytes(b"any")
    with pytest.raises(UnknownName, match=r"\[name-unknown\]") as caught:
        check(str(tmp_path / file))
    assert str(tmp_path / file) in caught.value.message and said in caught.value.message
    assert "paretodet list" not in caught.value.message


def test_checking_builds_nothing_and_passes_what_can_be_opened(tmp_path: Path) -> None:
    for name in (SSD, MODEL, "any.module:make"):
        assert check(name) == name
    with pytest.raises(ValueError, match=r"none\.onnx: no such file"):
        check(str(tmp_path / "none.onnx"))


def test_accuracy_is_the_published_with_its_source() -> None:
    assert published_accuracy("hf:d_fine-s") == {
        "ap": 48.5,
        "ap50": 65.6,
        "mask_ap": None,
        "mask_ap50": None,
        "ap_split": "val2017",
        "ap_source": "github.com/Peterande/D-FINE README, trained on COCO only; AP50: Peng et al. 2024 "
        "(arXiv 2410.13842), appendix, comparison with lighter detectors",
        "ap_rounding": 0.05,
    }
    shown = published_accuracy("yolo_v3-darknet53-416")
    assert shown["ap"] == 31.2 and shown["ap_split"] == "val2014-5k"  # the first that has an AP
    assert source_of(SSD).published(SSD) == catalogue.published(SSD)
    assert published_accuracy("a.onnx") == {} and published_accuracy("ssd-mobilenet_v1-600") == {}


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_a_model_of_the_hub_refuses_what_torch_cannot_use(device: str) -> None:
    with pytest.raises(ValueError, match="device: "):
        open_candidate(MODEL, device=device)


@pytest.mark.parametrize("name", ["./guest.py:make", "a/b:make", "a-b:make"])
def test_a_path_is_no_module(name: str) -> None:
    with pytest.raises(UnknownName, match="is not the name of a module"):
        open_candidate(name)


def test_the_sampling_is_the_names_unless_it_is_given(tmp_path: Path) -> None:
    assert open_candidate(SSD).session.fit.sampling == "tf1"
    config = CandidateConfig(name=SSD, sampling="opencv", fit="letterbox")
    assert open_candidate(SSD, sampling="opencv", fit="letterbox").session.fit == Letterbox(
        height=300, width=300, sampling="opencv"
    )
    assert config.to_json()["sampling"] == "opencv" and "sampling" not in CandidateConfig(name=SSD).to_json()
    assert CandidateConfig.from_json(config.to_json()) == config and not config.as_published
    assert open_candidate(MODEL, sampling="torch").session.fit.sampling == "torch"
    path = tmp_path / "mine.onnx"
    _write_onnx(path)
    assert open_candidate(str(path), sampling="corners").session.fit.sampling == "corners"
    assert open_candidate(str(path)).session.fit.sampling == "opencv"  # of its layout


def test_the_sampling_of_a_weights_file_is_used_unless_another_is_given(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    weights = build(spec(SSD)).state_dict()
    files.save(weights, path, files.WeightsMetadata(name=SSD, sampling="torch"))
    assert open_candidate(str(path)).spec.fit.sampling == "torch"
    assert open_candidate(SSD, weights=path).spec.fit.sampling == "torch"
    assert open_candidate(str(path), fit="letterbox").spec.fit == Letterbox(height=300, width=300, sampling="torch")
    assert open_candidate(str(path), sampling="tf1").spec.fit.sampling == "tf1"
