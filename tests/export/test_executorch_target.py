"""Programs of ExecuTorch as artifacts: proved, opened by their name, and refused if they need code of others."""

import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from narrow_weights import LABELS, write_narrow
from paretodet.bench.candidate import Candidate
from paretodet.candidate import NetworkCandidate
from paretodet.config import CandidateConfig
from paretodet.detectors.detector import Detector
from paretodet.errors import InputError
from paretodet.export import executorch_target, parity
from paretodet.export.executorch_target import ExecuTorchTarget
from paretodet.export.pte import XNNPACK, Executed
from paretodet.exporting import write_bundle
from paretodet.opening import open_candidate
from paretodet.types import Detections

TINY = "yolo_v3_tiny-96"
IMAGES = [np.random.default_rng(seed).integers(0, 256, (70, 100, 3), dtype=np.uint8) for seed in range(3)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def run(candidate: Candidate, *images: np.ndarray) -> Detections:
    return parity.detected(candidate, images)


@pytest.mark.full
@pytest.mark.parametrize("name", [TINY, "ssd-mobilenet_v1-96", "retinanet-resnet50-128", "fcos-resnet50-128"])
def test_a_bundle_passes_its_proof_and_is_a_name(name: str, photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("executorch")
    weights = write_narrow(name, tmp_path / "weights.safetensors", fit="letterbox")
    bundle = write_bundle(str(weights), out=tmp_path / "bundle", images=photos, to="executorch", batch=2)
    assert (bundle.proof.verdict, bundle.proof.criterion) == ("passed", "equal") and bundle.proof.detections > 10
    assert bundle.artifact.name == "detector.pte" and (bundle.manifest.precision_layers or {}).keys() == {"fp32"}
    tensors = {each.name: each for each in (*bundle.manifest.inputs, *bundle.manifest.outputs)}
    shapes, side = {name: (each.type, each.shape) for name, each in tensors.items()}, bundle.manifest.height
    count = shapes["boxes"][1][1]
    assert shapes == {
        "pixels": ("uint8", (2, 3, side, side)),
        "boxes": ("float32", (2, count, 4)),
        "scores": ("float32", (2, count, len(LABELS))),
    }
    assert "before suppression" in tensors["boxes"].meaning
    candidate, eager = open_candidate(str(bundle.folder), score=0.1), open_candidate(str(weights), score=0.1)
    assert isinstance(candidate, NetworkCandidate) and candidate.facts().runtime == "executorch"
    for images in (IMAGES[:1], IMAGES):
        found, wanted = run(candidate, *images), run(eager, *images)
        torch.testing.assert_close(found.scores, wanted.scores, atol=1e-4, rtol=0)
    (_, network), (_, select) = candidate.stages()
    batch = candidate.prepare(IMAGES[:2])
    assert torch.equal(select(network(batch)).scores, candidate.infer(batch).scores)


def test_a_detector_of_two_stages_is_refused(tmp_path: Path) -> None:
    weights = write_narrow("faster_rcnn-mobilenet_v1-96-s16-p8", tmp_path / "weights.safetensors")
    candidate = open_candidate(str(weights))
    assert isinstance(candidate, NetworkCandidate) and isinstance(detector := candidate.session.module, Detector)
    with pytest.raises(InputError, match=r"ExecuTorch cannot run .*between its 2 stages.* --to onnx \[export-failed\]"):
        ExecuTorchTarget().write(detector, tmp_path, CandidateConfig(name="faster_rcnn-mobilenet_v1-96-s16-p8"))


@pytest.mark.parametrize(
    ("backends", "operators", "message"),
    [
        ({XNNPACK, "QnnBackend"}, {"aten::add"}, r"needs the backend 'QnnBackend'.*\[bundle-unsafe\]"),
        ({XNNPACK}, {"mine::add", "aten::add"}, r"needs operators of 'mine'.*\[bundle-unsafe\]"),
    ],
)
def test_what_needs_code_of_others_is_refused(
    backends: set[str], operators: set[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Executed(Counter(), frozenset(operators), frozenset(backends))
    monkeypatch.setattr(executorch_target, "executed_by", lambda path: found)
    with pytest.raises(InputError, match=message):
        ExecuTorchTarget().inspect(tmp_path, ("detector.pte",), "detector.pte")


def test_a_file_of_another_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "detector.pte").write_bytes(struct.pack("<I4s", 8, b"ET13") + bytes(60))
    with pytest.raises(InputError, match="it is no program of ExecuTorch"):
        ExecuTorchTarget().inspect(tmp_path, ("detector.pte",), "detector.pte")
