"""Folders of bundles as names: which name is one, its accuracy, and artifacts that reach out of their bundle."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from made_bundles import ARTIFACT, PROOF, manifest
from paretodet.bench.candidate import Candidate
from paretodet.candidate import NetworkCandidate
from paretodet.config import CandidateConfig
from paretodet.detection import detect
from paretodet.detectors.families import spec
from paretodet.detectors.spec import to_json
from paretodet.diagnosis import check_contract, means_data
from paretodet.errors import InputError
from paretodet.export.bundle import StatedAccuracy, entries, fit_to_json, write_manifest
from paretodet.network import digest
from paretodet.opening import job, open_candidate, require_weights
from paretodet.records.profile import LayerTime
from paretodet.runtimes.onnxruntime import OnnxProgram
from paretodet.sources.bundle import BundleFolder, bundle_network, checked_bundle
from paretodet.sources.table import published_accuracy, source_of
from paretodet.transforms.resize_policy import Stretch

BOXES = np.array([[[0, 0, 16, 8], [8, 8, 32, 16]]], np.float32)
SCORES, LABELS = np.array([[0.75, 0.25]], np.float32), np.array([[2, 0]], np.int64)


def graph(folder: Path, *, domain: str = "", location: str | None = None) -> None:
    """An artifact of one 16 x 32 image that detects two boxes in anything."""
    outputs = {"boxes": BOXES, "scores": SCORES, "labels": LABELS}
    inputs = [
        helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, 3, 16, 32]),
        helper.make_tensor_value_info("sizes", TensorProto.FLOAT, [1, 2]),
    ]
    tensors = [numpy_helper.from_array(value, f"{name}_value") for name, value in outputs.items()]
    nodes = [helper.make_node("Identity", [f"{name}_value"], [name]) for name in outputs]
    if domain:
        nodes.append(helper.make_node("Strange", ["sizes"], ["strange"], domain=domain))
    if location:
        tensors[0].ClearField("raw_data")
        tensors[0].data_location = TensorProto.EXTERNAL
        tensors[0].external_data.add(key="location", value=location)
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in outputs.items()
    ]
    made = helper.make_graph(nodes, "detector", inputs, infos, tensors)
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=8), folder / ARTIFACT)


def bundle(folder: Path, files: tuple[str, ...] = (ARTIFACT,), **changed: Any) -> str:
    fields = {
        "files": entries(folder, files), "height": 16, "width": 32, "batch": 1, "precision": "fp32", "score": None,
        "fit": fit_to_json(Stretch(height=16, width=32)), "precision_layers": None,
    }  # fmt: skip
    write_manifest(folder, manifest(folder, **fields | changed))
    return str(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "bundle"
    made.mkdir()
    graph(made)
    return made


def test_a_folder_with_a_description_is_a_name_and_no_data(folder: Path) -> None:
    assert means_data(str(folder)) and not isinstance(source_of(str(folder)), BundleFolder)
    name = bundle(folder)
    assert isinstance(source_of(name), BundleFolder) and not means_data(name)


def test_it_detects_with_its_own_fit_and_labels(folder: Path) -> None:
    candidate = open_candidate(bundle(folder))
    assert isinstance(candidate, Candidate)
    (boxes,) = detect(candidate, [np.zeros((32, 64, 3), np.uint8)])
    assert [(box.label, box.score, box.box) for box in boxes] == [
        ("naïve", 0.75, (0, 0, 32, 16)),
        ("a", 0.25, (16, 16, 64, 32)),
    ]


def test_it_keeps_the_contract(folder: Path) -> None:
    images = [np.zeros((48, 64, 3), np.uint8)] * 2
    assert [check.rule for check in check_contract(open_candidate(bundle(folder)), images) if check.broken] == []


def test_its_accuracy_is_the_published_one_or_that_of_its_proof(folder: Path) -> None:
    name = bundle(folder, name="ssd-mobilenet_v1-300", published=True)
    assert published_accuracy(name)["ap"] == 18.8 and job(CandidateConfig(name=name)).about["ap"] == 18.8
    name = bundle(folder, name="ssd-mobilenet_v1-300")
    measured = {"ap": 31.25, "ap_measured": True, "ap_split": "labels.json@22222222"}
    assert measured.items() <= job(CandidateConfig(name=name)).about.items()
    assert job(CandidateConfig(name=name, score=0.5)).about == {}
    assert PROOF.ap == 31.25


def test_what_was_published_of_its_weights_is_its_accuracy_unless_its_proof_measured_one(folder: Path) -> None:
    stated = StatedAccuracy(ap=21.0, ap_split="minival2014", ap_source="zoo", ap_rounding=0.5)
    name = bundle(folder, accuracy=stated, proof=replace(PROOF, ap=None))
    about = job(CandidateConfig(name=name)).about
    assert (about["ap"], about["ap_split"], about["ap50"]) == (21.0, "minival2014", None) and "ap_measured" not in about
    assert job(CandidateConfig(name=name, score=0.5)).about == {}
    assert published_accuracy(bundle(folder, accuracy=stated))["ap"] == PROOF.ap


def test_its_identity_covers_every_file_and_the_fit(folder: Path) -> None:
    (folder / "more.bin").write_bytes(b"1")

    def identity(**changed: Any) -> str:
        return digest(bundle_network(checked_bundle(Path(bundle(folder, (ARTIFACT, "more.bin"), **changed)))).identity)

    first = identity()
    assert identity(published=True) == first
    assert identity(fit=fit_to_json(Stretch(height=16, width=32, sampling="opencv"))) != first
    (folder / "more.bin").write_bytes(b"2")
    assert identity() != first


def test_weights_in_a_file_of_the_bundle_are_read(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(BOXES.tobytes())
    graph(folder, location="weights.bin")
    (boxes,) = detect(open_candidate(bundle(folder, (ARTIFACT, "weights.bin"))), [np.zeros((16, 32, 3), np.uint8)])
    assert boxes[0].box == (0, 0, 16, 8)


@pytest.mark.parametrize("location", ["../weights.bin", "weights.bin", "/weights.bin"])
def test_weights_outside_of_the_listed_files_are_refused(folder: Path, location: str) -> None:
    for place in (folder, folder.parent):
        (place / "weights.bin").write_bytes(BOXES.tobytes())
    graph(folder, location=location)
    with pytest.raises(InputError, match=r"weights\.bin.*not a file of the bundle \[bundle-unsafe\]"):
        open_candidate(bundle(folder))


def test_operators_that_need_a_library_are_refused(folder: Path) -> None:
    graph(folder, domain="com.strange")
    with pytest.raises(InputError, match=r"operators of 'com\.strange'.*bundle-unsafe"):
        open_candidate(bundle(folder))


def test_an_artifact_of_another_canvas_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="its bundle states"):
        open_candidate(bundle(folder, height=32, fit=fit_to_json(Stretch(height=32, width=32))))


def test_an_unknown_form_and_bytes_that_are_no_graph_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="form 'coreml'.*bundle-newer"):
        open_candidate(bundle(folder, target="coreml"))
    (folder / ARTIFACT).write_bytes(b"\xff" * 40)
    with pytest.raises(InputError, match="bundle-altered"):
        open_candidate(bundle(folder))


@pytest.mark.parametrize(
    "name", ["mask_rcnn-resnet50-128", "mask_rcnn_d2-resnet50-128", "mask_rcnn_zoo-inception_v2-96-s16-p8"]
)
def test_masks_are_drawn_as_those_of_the_detector_that_it_was_made_of(folder: Path, name: str) -> None:
    made = spec(name)
    assert made.masks
    candidate = open_candidate(bundle(folder, spec=to_json(made)))
    assert isinstance(candidate, NetworkCandidate) and candidate.pasting == made.masks.pasting
    assert NetworkCandidate.pasting.fget(SimpleNamespace(spec=made)) == candidate.pasting  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "stored",
    [
        "{}",
        '{"type": "paretodet.of_a_newer_version.Spec"}',
        '{"type": "paretodet.transforms.resize_policy.Stretch", "height": 3, "width": 3}',
    ],
)
def test_a_spec_that_this_version_does_not_know_decides_nothing(folder: Path, stored: str) -> None:
    candidate = open_candidate(bundle(folder, spec=stored))
    assert isinstance(candidate, NetworkCandidate)
    assert candidate.spec is None and candidate.pasting == "detectron" and candidate.facts().layers == ()


def test_a_spec_with_masks_of_another_kind_decides_nothing(folder: Path) -> None:
    stored = to_json(spec("mask_rcnn_d2-resnet50-128"))
    for other in ('"elsewhere"', "[1]"):
        assert '"detectron2"' in stored
        candidate = open_candidate(bundle(folder, spec=stored.replace('"detectron2"', other)))
        assert isinstance(candidate, NetworkCandidate) and candidate.pasting == "detectron"


def test_its_layers_are_timed_in_as_many_runs_as_a_call_has(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = open_candidate(bundle(folder))
    assert isinstance(candidate, NetworkCandidate)
    monkeypatch.setattr(OnnxProgram, "profile", lambda self, feed, calls: (LayerTime("a/b", "Conv", 2.0),))
    assert candidate.profile(candidate.prepare([np.zeros((16, 32, 3), np.uint8)] * 3), 3) == (
        LayerTime("a", "Conv", 6.0, 3),
    )


def test_a_bundle_of_random_weights_shows_boxes_only_if_that_is_insisted_on(folder: Path) -> None:
    require_weights(bundle(folder), None)
    name = bundle(folder, weights="random")
    with pytest.raises(InputError, match="export it again with --weights FILE") as refused:
        require_weights(name, None)
    assert refused.value.id == "weights-needed"
    require_weights(name, None, insisted=True)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"nms": 0.5}, "--nms"),
        ({"fit": "stretch"}, "--fit"),
        ({"sampling": "tf1"}, "--sampling"),
        ({"labels": ("x", "y", "z")}, "--classes"),
        ({"weights": Path("w.safetensors")}, "--weights"),
        ({"precision": "int8", "calibration": Path("images")}, "--calibrate"),
    ],
    ids=str,
)
def test_what_the_export_decided_is_refused_with_the_option_that_changes_it(
    folder: Path, given: dict[str, Any], option: str
) -> None:
    with pytest.raises(InputError) as refused:
        open_candidate(bundle(folder), **given)
    assert refused.value.id == "option-unsupported" and refused.value.message.endswith(f"with {option}")


def test_weights_are_those_beside_the_artifact_in_whichever_folder_it_is(folder: Path) -> None:
    artifact = f"inner/{ARTIFACT}"
    (folder / "inner").mkdir()
    for place in (folder, folder / "inner"):
        (place / "weights.bin").write_bytes(BOXES.tobytes())
    graph(folder, location="weights.bin")
    (folder / ARTIFACT).rename(folder / artifact)
    with pytest.raises(InputError) as refused:
        open_candidate(bundle(folder, (artifact, "weights.bin"), artifact=artifact))
    assert refused.value.id == "bundle-unsafe"
    name = bundle(folder, (artifact, "inner/weights.bin"), artifact=artifact)
    (boxes,) = detect(open_candidate(name), [np.zeros((16, 32, 3), np.uint8)])
    assert boxes[0].box == (0, 0, 16, 8)


def test_an_artifact_that_openvino_would_take_for_another_form_is_refused(folder: Path) -> None:
    """It would read weights that the bundle does not list."""
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'paretodet[openvino]'")
    (folder / ARTIFACT).rename(folder / "detector.xml")
    with pytest.raises(InputError) as refused:
        open_candidate(bundle(folder, ("detector.xml",), artifact="detector.xml"), runtime="openvino")
    assert refused.value.id == "bundle-unsafe"


def test_its_facts_state_its_proof(folder: Path) -> None:
    candidate = open_candidate(bundle(folder))
    assert isinstance(candidate, NetworkCandidate)
    settings = dict(candidate.facts().runtime_settings)
    assert settings["proof"] == "passed (ap-ratio) in onnxruntime 1.0" and settings["version"]
