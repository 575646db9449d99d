"""A detector is exported, proved and opened again; nothing is left where the proof fails or the input is bad."""

import json
import shutil
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from narrow_weights import LABELS, write_narrow
from paretodet import exporting
from paretodet.bench.candidate import Candidate
from paretodet.candidate import NetworkCandidate
from paretodet.config import CandidateConfig
from paretodet.detectors.families import spec
from paretodet.errors import InputError
from paretodet.export import openvino_model, parity
from paretodet.export.bundle import Bundle, TensorInfo, write_manifest
from paretodet.export.graph import GRAPH, exported_graph
from paretodet.export.litert_target import LiteRtTarget
from paretodet.export.onnx_target import OnnxTarget
from paretodet.export.openvino_target import MODEL, WEIGHTS, OpenVinoTarget
from paretodet.export.proof import ParityError
from paretodet.export.target import Written
from paretodet.exporting import write_bundle
from paretodet.extras import MissingExtra
from paretodet.frontier.participation import remeasure_command
from paretodet.media.photographs import Photographs
from paretodet.opening import job, open_candidate
from paretodet.records.measurement import Measurement
from paretodet.runtimes.eager import EagerSession
from paretodet.transforms.resize_policy import Letterbox
from paretodet.types import Detections
from target_subject import IMAGES, TINY, write_photos

pytestmark = pytest.mark.usefixtures("exports_here")

FULL = ("ssd-mobilenet_v1-96", "faster_rcnn-mobilenet_v1-96-s16-p8", "rfcn-mobilenet_v1-96-s16-p8")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_narrow(TINY, tmp_path_factory.mktemp("weights") / "tiny.safetensors", fit="letterbox")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, weights: Path, photos: Path) -> Bundle:
    return write_bundle(str(weights), out=tmp_path_factory.mktemp("bundle") / "tiny", images=photos, batch=2)


def run(candidate: Candidate, *images: np.ndarray) -> Detections:
    return parity.detected(candidate, images)


def test_a_bundle_states_what_it_is(tiny: Bundle, weights: Path) -> None:
    manifest, proof = tiny.manifest, tiny.proof
    assert sorted(path.name for path in tiny.folder.iterdir()) == ["bundle.json", "detector.onnx"]
    assert (manifest.name, manifest.target, manifest.precision) == (f"{TINY} at width 0.25", "onnx", "fp32")
    assert (manifest.labels, manifest.score, manifest.batch) == (LABELS, 0.02, 2)
    assert (manifest.height, manifest.width) == (96, 96) and tiny.fit == Letterbox(
        height=96, width=96, sampling="corners"
    )
    assert manifest.load == "data" and not manifest.published and len(manifest.weights) == 64
    shapes = {tensor.name: (tensor.type, tensor.shape) for tensor in (*manifest.inputs, *manifest.outputs)}
    assert shapes["pixels"] == ("uint8", (2, 3, 96, 96)) and shapes["sizes"] == ("float32", (2, 2))
    assert shapes["boxes"] == ("float32", (2, manifest.keep, 4)) and shapes["labels"] == ("int64", (2, manifest.keep))
    assert (proof.verdict, proof.criterion, proof.images, proof.missing, proof.extra) == ("passed", "equal", 5, 0, 0)
    assert proof.detections > 20 and proof.max_score < 1e-4


def test_weights_that_were_rounded_otherwise_are_restored(weights: Path) -> None:
    candidate = open_candidate(str(weights))
    assert isinstance(candidate, NetworkCandidate) and isinstance(candidate.session, EagerSession)
    before = [weight.clone() for weight in candidate.session.module.parameters()]
    lists = exporting._rounded(candidate, IMAGES[0])
    assert all(map(torch.equal, before, candidate.session.module.parameters()))
    assert len({found.scores.tobytes() for found in lists}) == len(lists) > 1
    exact = parity.boxes_of(run(candidate, IMAGES[0]), 0)
    assert all(abs(found.scores.max() - exact.scores.max()) < 1e-4 for found in lists)


def test_a_bundle_holds_no_path_of_this_machine(tiny: Bundle, weights: Path, photos: Path) -> None:
    words = {str(weights.parent), str(photos), str(tiny.folder), str(Path.home()), str(Path(__file__).parents[1])}
    for path in tiny.folder.iterdir():
        content = path.read_bytes()
        assert not [word for word in words if len(word) > 5 and word.encode() in content], path.name


def test_an_opened_bundle_detects_what_the_detector_detects(tiny: Bundle, weights: Path) -> None:
    """One, two and three images under an artifact of two, each with its own shape."""
    candidate, eager = open_candidate(str(tiny.folder)), open_candidate(str(weights))
    assert isinstance(candidate, NetworkCandidate) and candidate.labels == LABELS
    other = np.ascontiguousarray(IMAGES[2].transpose(1, 0, 2))
    for images in ([IMAGES[0]], IMAGES[:2], [*IMAGES[:2], other]):
        found, wanted = run(candidate, *images), run(eager, *images)
        torch.testing.assert_close(found.scores, wanted.scores, atol=1e-4, rtol=0)
        comparison = parity.Comparison()
        for index, image in enumerate(images):
            pair = (parity.boxes_of(each, index) for each in (wanted, found))
            parity.add_image(comparison, *pair, image=image, name=str(index), tolerance=parity.Tolerance())
        assert comparison.is_equal(parity.Tolerance()) and comparison.detections > 5


def calls_of(candidate: NetworkCandidate) -> list[int]:
    """How many images each call of its program had; it grows."""
    session: Any = candidate.session
    program, calls = session.program, list[int]()

    def counted(feed: dict[str, np.ndarray]) -> Any:
        calls.append(len(feed["pixels"]))
        return program(feed)

    session.program = counted
    return calls


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_an_artifact_that_takes_any_number_of_images_computes_them_at_once(
    weights: Path, photos: Path, tmp_path: Path, to: str
) -> None:
    if to == "openvino":
        pytest.importorskip("openvino", reason="openvino is not installed: pip install 'paretodet[openvino]'")
    bundle = write_bundle(str(weights), out=tmp_path / "any", images=photos, to=to, batch=None)
    manifest = bundle.manifest
    (pixels,) = (tensor for tensor in manifest.inputs if tensor.name == "pixels")
    assert manifest.batch is None and pixels.shape == ("batch" if to == "onnx" else "?", 3, 96, 96)
    assert (bundle.proof.verdict, bundle.proof.images) == ("passed", 5)
    candidate, eager = open_candidate(str(bundle.folder)), open_candidate(str(weights))
    assert isinstance(candidate, NetworkCandidate)
    calls = calls_of(candidate)
    for count in (1, 3, 2):
        found, wanted = run(candidate, *IMAGES[:count]), run(eager, *IMAGES[:count])
        torch.testing.assert_close(found.scores, wanted.scores, atol=1e-4, rtol=0)
    assert calls == [1, 3, 2]


@pytest.mark.full
@pytest.mark.parametrize(
    "name", ["ssd-mobilenet_v1-96", "ssd_tv-vgg16-300", "retinanet-resnet50-128", "fcos-resnet50-128"]
)
def test_every_one_stage_family_takes_any_number_of_images(name: str, photos: Path, tmp_path: Path) -> None:
    weights = write_narrow(name, tmp_path / "narrow.safetensors")
    bundle = write_bundle(str(weights), out=tmp_path / "any", images=photos, batch=None)
    assert (bundle.manifest.batch, bundle.proof.verdict) == (None, "passed")


TWO_STAGES = (
    "faster_rcnn-mobilenet_v1-96-s16-p8",
    "faster_rcnn_ren-vgg16-96-p8",
    "rfcn-mobilenet_v1-96-s16-p8",
    "faster_rcnn_fpn-resnet50-128-p8",
    "faster_rcnn_d2-resnet50-128-p8",
    "cascade_rcnn-resnet50-128-p8",
    "mask_rcnn-resnet50-128-p8",
    "mask_rcnn_zoo-resnet50-128-s16-p8",
)


@pytest.mark.full
@pytest.mark.parametrize("to", ["onnx", "openvino"])
@pytest.mark.parametrize("name", TWO_STAGES)
def test_detectors_of_several_stages_take_any_number_of_images(
    name: str, to: str, photos: Path, tmp_path: Path
) -> None:
    """Those without detections too."""
    if to == "openvino":
        pytest.importorskip("openvino", reason="openvino is not installed: pip install 'paretodet[openvino]'")
    weights = write_narrow(name, tmp_path / "narrow.safetensors")
    bundle = write_bundle(str(weights), out=tmp_path / "any", images=photos, to=to, batch=None)
    assert (bundle.manifest.batch, bundle.proof.verdict) == (None, "passed")
    candidate, eager = open_candidate(str(bundle.folder)), open_candidate(str(weights))
    assert isinstance(candidate, NetworkCandidate)
    calls = calls_of(candidate)
    for images in (IMAGES[:1], [np.zeros_like(IMAGES[0]), *IMAGES]):
        found, wanted = run(candidate, *images), run(eager, *images)
        torch.testing.assert_close(found.scores, wanted.scores, atol=1e-4, rtol=0)
    assert calls == [1, 4]


def test_what_takes_a_fixed_number_of_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^batch: .*\[option-value\]$"):
        write_bundle(TINY, out=tmp_path / "any", to="aotinductor", batch=None)
    assert not (tmp_path / "any").exists()


def test_a_bundle_that_states_any_number_has_an_artifact_that_takes_it(tiny: Bundle, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny.folder, tmp_path / "changed"))
    write_manifest(folder, replace(tiny.manifest, batch=None))
    with pytest.raises(InputError, match=r"takes .*\[bundle-altered\]$"):
        open_candidate(str(folder))


def test_a_bundle_runs_in_openvino(tiny: Bundle) -> None:
    """In the precision that its proof is of."""
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'paretodet[openvino]'")
    name = str(tiny.folder)
    candidate, first = open_candidate(name, runtime="openvino"), open_candidate(name)
    assert isinstance(candidate, NetworkCandidate) and isinstance(first, NetworkCandidate)
    torch.testing.assert_close(run(candidate, *IMAGES).scores, run(first, *IMAGES).scores, atol=1e-4, rtol=0)
    facts = candidate.facts()
    assert (facts.runtime, facts.precision_layers) == (
        "openvino",
        {"fp32": 13},
    ) and facts.artefact != first.facts().artefact
    with pytest.raises(InputError, match=r"precision: this artifact is fp32"):
        open_candidate(name, runtime="openvino", precision="bf16")


@pytest.mark.full
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_a_model_of_openvino_is_a_bundle(weights: Path, photos: Path, tmp_path: Path, precision: str) -> None:
    openvino = pytest.importorskip("openvino", reason="openvino is not installed: pip install 'paretodet[openvino]'")
    if precision == "int8" and find_spec("nncf") is None:
        pytest.skip("nncf is not installed: pip install 'paretodet[nncf]'")
    if precision == "bf16" and "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("OpenVINO has no bf16 on this processor")
    calibrated = {"calibration": photos} if precision == "int8" else {}
    options: dict[str, Any] = {"to": "openvino", "precision": precision, **calibrated}
    bundle = write_bundle(str(weights), out=tmp_path / "tiny", images=photos, **options)
    assert sorted(path.name for path in bundle.folder.iterdir()) == ["bundle.json", "detector.bin", "detector.xml"]
    manifest, name = bundle.manifest, str(bundle.folder)
    assert (manifest.target, manifest.precision, manifest.artifact) == ("openvino", precision, "detector.xml")
    assert (manifest.calibration or {}).get("images") == (len(IMAGES) if calibrated else None)
    assert ("nncf" in manifest.versions) == bool(calibrated) and bundle.proof.verdict != "failed"
    candidate = open_candidate(name)
    assert isinstance(candidate, NetworkCandidate)
    assert (candidate.facts().runtime, candidate.facts().precision) == ("openvino", precision)
    assert "calibration" not in job(CandidateConfig(name=name)).recipe
    with pytest.raises(InputError, match="it is a bundle with a model of OpenVINO"):
        open_candidate(name, runtime="onnxruntime")


def test_int8_needs_images_before_the_export(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"calibration: .* --calibrate DIR \[images-none\]"):
        write_bundle(str(weights), out=tmp_path / "out", precision="int8", calibration=tmp_path / "none")


def test_the_score_can_be_raised_but_nothing_else_changed(tiny: Bundle) -> None:
    name = str(tiny.folder)
    plain, strict = run(open_candidate(name), IMAGES[0]), run(open_candidate(name, score=0.3), IMAGES[0])
    assert (strict.scores > 0).sum() == (plain.scores > 0.3).sum() < (plain.scores > 0).sum()
    for options, message in (
        ({"height": 128}, r"size: this artifact takes 96x96.*size-unsupported"),
        ({"precision": "int8"}, "precision: this artifact is fp32"),
        ({"score": 0.01}, r"score: this artifact drops scores up to 0\.02"),
        ({"nms": 0.5}, "nms: .* has none to set"),
        ({"fit": "stretch"}, "fit: .* has none to set"),
        ({"labels": ("x", "y", "z")}, "labels: .* has none to set"),
        ({"runtime": "eager"}, "runtime: eager cannot run .*: it is a bundle"),
    ):
        with pytest.raises(ValueError, match=message):
            open_candidate(name, **options)
    assert open_candidate(name, height=96, precision="fp32").name == f"{TINY} at width 0.25"


def test_a_row_of_a_bundle_names_its_files_by_hash(tiny: Bundle, weights: Path, monkeypatch: Any) -> None:
    config = CandidateConfig(name=str(tiny.folder))
    made = job(config)
    assert made.recipe["name"] == "tiny" and len(made.recipe["bundle"]) == 64 and made.imports == ("onnxruntime",)
    assert made.about == {} and made.name == f"{TINY} at width 0.25"
    row = Measurement(id="", run="", at="", name=made.name, job=made.recipe)
    assert remeasure_command([row], patient=False) == ("paretodet", "measure", "tiny", "--until", "3")
    candidate, eager = open_candidate(config.name), open_candidate(str(weights))
    assert isinstance(candidate, NetworkCandidate) and isinstance(eager, NetworkCandidate)
    facts, beside = candidate.facts(), eager.facts()
    assert facts.runtime == "onnxruntime" and facts.artefact != beside.artefact and facts.weights == beside.weights
    assert (facts.parameters, facts.macs, facts.spec) == (beside.parameters, beside.macs, beside.spec)
    monkeypatch.chdir(tiny.folder.parent)
    assert CandidateConfig.from_json(made.recipe) == CandidateConfig(name="tiny")
    monkeypatch.chdir(tiny.folder)
    with pytest.raises(ValueError, match="needed with SHA-256"):
        CandidateConfig.from_json(made.recipe)


def test_a_damaged_bundle_is_refused_by_its_name(tiny: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny.folder, tmp_path / "copy"))
    assert open_candidate(str(copy)).name
    with (copy / "detector.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"\0\1")
    with pytest.raises(InputError, match="bundle-altered"):
        open_candidate(str(copy))


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where an input is not refused before the long work."""
    monkeypatch.setattr(OnnxTarget, "write", lambda *_: pytest.fail("exported"))


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (TINY, {"to": "coreml"}, r"to: got 'coreml', it must be one of onnx.*\[option-value\]"),
        (TINY, {"precision": "bf16"}, r"precision: got 'bf16', --to onnx writes fp32, int8 \[option-value\]"),
        ("hf:deimv2-atto", {}, r"only detectors of the catalogue.*\[export-failed\]"),
        (TINY, {"out": "full"}, r"out: full holds something already.*\[output-exists\]"),
        (TINY, {"out": TINY}, r"out: .* is the name of a detector too.*\[output-name\]"),
        (TINY, {"images": "full"}, "no readable image"),
        ("yolo_v3_tinny-96", {}, "did you mean yolo_v3_tiny-416"),
        (TINY, {"score": 2.0}, "score: got 2.0"),
    ],
    ids=str,
)
def test_bad_input_is_refused_before_the_export(
    name: str, options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full/file").write_text("")
    with pytest.raises(ValueError, match=message):
        write_bundle(name, **({"out": "new"} | options))
    assert [path.name for path in Path().iterdir()] == ["full"]


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize("name", ["hf:d_fine-n", "module:make", "model.onnx", "model.torchscript"])
def test_what_cannot_be_exported_is_refused_before_trust_or_a_library_is_asked_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("model.onnx", "model.torchscript"):
        Path(file).write_bytes(b"1")
    monkeypatch.setattr("paretodet.extras.find_spec", lambda library: None)
    with pytest.raises(InputError) as refused:
        write_bundle(name, out="new")
    assert refused.value.id == "export-failed"


@pytest.mark.usefixtures("no_export")
def test_a_missing_library_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("paretodet.extras.find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(
        MissingExtra, match=r"export --to onnx needs onnxscript: pip install 'paretodet\[onnx,onnxruntime"
    ):
        write_bundle(TINY, out=tmp_path / "new")


@pytest.mark.usefixtures("no_export")
def test_a_canvas_that_follows_each_image_is_refused(tmp_path: Path) -> None:
    weights = write_narrow(FULL[1], tmp_path / "weights.safetensors", fit=None)
    with pytest.raises(InputError, match=r"fit: the canvas .* give --fit letterbox or stretch \[export-failed\]"):
        write_bundle(str(weights), out=tmp_path / "new")


def changed_weights(path: Path, module: str) -> None:
    """Another weight in the first convolution of a module of the file."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    scopes = {node.output[0]: str([p.value for p in node.metadata_props]) for node in model.graph.node}
    node = next(each for each in model.graph.node if each.op_type == "Conv" and f"{module}'" in scopes[each.output[0]])
    (tensor,) = (each for each in model.graph.initializer if each.name == node.input[1])
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.5), tensor.name))
    onnx.save(model, path)


def test_a_failed_proof_names_the_first_layer_and_leaves_nothing(
    tiny: Bundle, weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = OnnxTarget.write

    def write(self: OnnxTarget, detector: Any, folder: Path, config: CandidateConfig, batch: int) -> Any:
        written = plain(self, detector, folder, config, batch)
        changed_weights(folder / written.artifact, layer)
        return written

    monkeypatch.setattr(OnnxTarget, "write", write)
    layer = "detector.backbone.convs.4.conv"
    with pytest.raises(ParityError) as failed:
        write_bundle(str(weights), out=tmp_path / "new", images=photos, batch=2)
    assert "The first layer that differs is backbone.convs.4.conv," in str(failed.value)
    assert failed.value.proof.verdict == "failed" and failed.value.proof.max_score > 1e-3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.full
def test_a_failed_proof_of_openvino_names_the_first_layer(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'paretodet[openvino]'")
    layer, altered = "backbone.convs.4.conv", tmp_path / "altered.onnx"

    def write(self: OpenVinoTarget, detector: Any, folder: Path, config: CandidateConfig, batch: int) -> Written:
        shutil.copyfile(exported_graph(detector, batch=batch).folder / GRAPH, altered)
        changed_weights(altered, f"detector.{layer}")
        openvino_model.save(openvino_model.read(altered), folder / MODEL)
        return Written(artifact=MODEL, others=(WEIGHTS,))

    monkeypatch.setattr(OpenVinoTarget, "write", write)
    with pytest.raises(ParityError, match=rf"The first layer that differs is {layer}, by "):
        write_bundle(str(weights), out=tmp_path / "new", images=photos, batch=2, to="openvino")
    assert list(tmp_path.iterdir()) == [altered]


def test_the_command_writes_prints_and_says_what_to_do_next(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from paretodet.cli import main

    monkeypatch.chdir(tmp_path)
    line = ["export", weights, "--out", "tiny", "--images", photos, "--batch", "2", "--json"]
    monkeypatch.setattr(sys, "argv", ["paretodet", *map(str, line)])
    with pytest.raises(SystemExit) as left:
        main()
        raise SystemExit(0)
    out, err = capsys.readouterr()
    assert not left.value.code, err
    document = json.loads(out)
    assert document["out"] == "tiny" and document["proof"]["verdict"] == "passed" and document["batch"] == 2
    assert err.splitlines()[-1] == "Next: paretodet measure tiny"


@pytest.mark.full
@pytest.mark.parametrize("name", [TINY, *FULL[:1], "retinanet-resnet50-128"])
def test_a_litert_bundle_passes_its_proof_and_is_a_name(name: str, photos: Path, tmp_path: Path) -> None:
    for library in ("ai_edge_litert", "litert_torch"):
        pytest.importorskip(library, reason="litert is not installed: pip install 'paretodet[litert]'")
    weights = write_narrow(name, tmp_path / "weights.safetensors")
    bundle = write_bundle(str(weights), out=tmp_path / "bundle", images=photos, to="litert", batch=2)
    assert (bundle.proof.verdict, bundle.proof.criterion) == ("passed", "equal") and bundle.proof.detections > 10
    shapes = {
        tensor.name: (tensor.type, tensor.shape) for tensor in (*bundle.manifest.inputs, *bundle.manifest.outputs)
    }
    side, (_, (_, count, _)) = bundle.manifest.height, shapes["boxes"]
    assert shapes["pixels"] == ("uint8", (2, side, side, 3))
    assert shapes["scores"] == ("float32", (2, count, len(LABELS)))
    candidate, eager = open_candidate(str(bundle.folder), score=0.1), open_candidate(str(weights), score=0.1)
    assert isinstance(candidate, NetworkCandidate) and candidate.facts().runtime == "litert"
    (_, network), (_, select) = candidate.stages()
    alone = candidate.prepare(IMAGES[:1])
    assert torch.equal(select(network(alone)).scores, candidate.infer(alone).scores)
    for images in (IMAGES[:1], IMAGES):
        found, wanted = run(candidate, *images), run(eager, *images)
        torch.testing.assert_close(found.scores, wanted.scores, atol=1e-4, rtol=0)


def test_a_detector_of_two_stages_cannot_be_a_litert_file(tmp_path: Path) -> None:
    weights = write_narrow(FULL[1], tmp_path / "weights.safetensors")
    detector = open_candidate(str(weights)).session.module
    with pytest.raises(InputError, match=r"LiteRT .* lacks NonMaxSuppression.* --to onnx \[export-failed\]"):
        LiteRtTarget().write(detector, tmp_path, CandidateConfig(name=FULL[1]), 1)


def test_a_bundle_in_float32_keeps_what_was_published_of_its_weights(photos: Path, tmp_path: Path) -> None:
    path = write_narrow(TINY, tmp_path / "weights.safetensors", labels=None, fit=None, score=None, ap=21.0)
    bundle = write_bundle(str(path), out=tmp_path / "bundle", images=photos)
    assert bundle.proof.verdict == "passed" and bundle.manifest.accuracy
    about = job(CandidateConfig(name=str(path))).about
    assert about["ap"] == 21.0 and job(CandidateConfig(name=str(bundle.folder))).about == about


def test_the_proof_knows_the_lower_threshold_of_a_last_level() -> None:
    detector: Any = SimpleNamespace(spec=spec("retinanet-resnet50-128"))
    artifact: Any = SimpleNamespace(facts=lambda: SimpleNamespace(precision="fp32", runtime="web", runtime_settings=()))
    nothing: Any = None
    task = exporting._Task(CandidateConfig(name="retinanet"), nothing, nothing, detector, 1, print)
    pair = exporting._pair(task, nothing, artifact)
    assert (pair.threshold, pair.threshold_last) == (0.05, 0.0)


@pytest.mark.full
@pytest.mark.parametrize("name", FULL)
def test_other_families_pass_their_proof(name: str, photos: Path, tmp_path: Path) -> None:
    weights = write_narrow(name, tmp_path / "weights.safetensors")
    bundle = write_bundle(str(weights), out=tmp_path / "bundle", images=photos)
    assert bundle.proof.verdict == "passed" and bundle.proof.detections > 10


@pytest.mark.full
@pytest.mark.parametrize("name", ["retinanet-resnet101-800", "mask_rcnn_tv-resnet50-800x1344"])
def test_detectors_on_pyramids_pass_their_proof_whole(name: str, photos: Path, tmp_path: Path) -> None:
    """At capacity on a small canvas: every slot is compared, and masks cell by cell."""
    bundle = write_bundle(name, out=tmp_path / "bundle", images=photos, height=128, fit="stretch")
    assert bundle.proof.verdict == "passed" and bundle.proof.detections >= 5 * 100
    has_masks = "masks" in [tensor.name for tensor in bundle.manifest.outputs]
    assert has_masks == name.startswith("mask") == (bundle.proof.max_mask is not None)


def test_a_bundle_that_could_not_be_opened_is_not_written(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = TensorInfo(name="pixels", type="uint8", shape=(0, 3, 96, 96), meaning="")
    monkeypatch.setattr(exporting, "_tensor", lambda *_: wrong)
    with pytest.raises(InputError) as refused:
        write_bundle(str(weights), out=tmp_path / "new", images=photos, batch=2)
    assert refused.value.id == "json-schema" and list(tmp_path.iterdir()) == []


def test_another_precision_than_the_processor_executes_is_refused_with_what_export_takes(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the processor has no bf16."""
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'paretodet[openvino]'")
    monkeypatch.setattr(openvino_model, "in_bf16", lambda model: None)
    with pytest.raises(InputError) as refused:
        write_bundle(str(weights), out=tmp_path / "new", images=photos, to="openvino", precision="bf16")
    assert refused.value.id == "precision-fallback" and "--precision fp32" in refused.value.message
    assert "--allow-fallback" not in refused.value.message and list(tmp_path.iterdir()) == []


def test_the_images_of_a_proof_are_not_kept_in_memory(photos: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(photos, tmp_path / "photos"))
    found = exporting._proof_images(folder, notify=print)
    assert found.sha256 == Photographs(tuple(IMAGES), found.names, "").hash and found.source == "photos"
    assert np.array_equal(found.images[1], IMAGES[1]) and len(found.images) == 3
    (folder / "1.png").unlink()
    with pytest.raises(InputError, match=r"1\.png.*\[image-missing\]"):
        found.images[1]
