"""Programs of torch.export as artifacts: proved, opened by their name, and compared layer by layer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from paretodet.export import parity, pt2
from paretodet.export.proof import ParityError
from paretodet.export.torch_target import TorchTarget
from paretodet.exporting import write_bundle
from paretodet.opening import open_candidate
from paretodet.types import Detections

TINY = "yolo_v3_tiny-96"
OTHERS = (
    "ssd-mobilenet_v1-96", "ssd_liu-vgg16-300", "ssd-inception_v2-128", "ssd-inception_v3-128",
    "ssd-inception_resnet_v2-128", "ssd-resnet101-128-s16", "ssd-vgg16-96", "yolo_v2-darknet19-96",
    "yolo_v3-darknet53-96", "retinanet-resnet50-128", "retinanet_tv-resnet50-128", "fcos-resnet50-128",
)  # fmt: skip
IMAGES = [np.random.default_rng(seed).integers(0, 256, (70, 100, 3), dtype=np.uint8) for seed in range(3)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_narrow(TINY, tmp_path_factory.mktemp("weights") / "tiny.safetensors", fit="letterbox")


def run(candidate: Candidate, *images: np.ndarray) -> Detections:
    return parity.detected(candidate, images)


@pytest.mark.parametrize("name", [TINY, *(pytest.param(name, marks=pytest.mark.full) for name in OTHERS)])
def test_a_bundle_passes_its_proof_and_is_a_name(name: str, photos: Path, tmp_path: Path) -> None:
    weights = write_narrow(name, tmp_path / "weights.safetensors", fit="letterbox")
    bundle = write_bundle(str(weights), out=tmp_path / "bundle", images=photos, to="torch", batch=2)
    assert (bundle.proof.verdict, bundle.proof.criterion) == ("passed", "equal") and bundle.proof.detections > 10
    assert bundle.artifact.name == "detector.pt2" and (bundle.manifest.precision_layers or {}).keys() == {"fp32"}
    tensors = (*bundle.manifest.inputs, *bundle.manifest.outputs)
    shapes, side = {each.name: (each.type, each.shape) for each in tensors}, bundle.manifest.height
    count = shapes["boxes"][1][1]
    assert shapes == {
        "pixels": ("uint8", (2, 3, side, side)),
        "boxes": ("float32", (2, count, 4)),
        "scores": ("float32", (2, count, len(LABELS))),
    }
    candidate, eager = open_candidate(str(bundle.folder), score=0.1), open_candidate(str(weights), score=0.1)
    assert isinstance(candidate, NetworkCandidate) and candidate.facts().runtime == "eager"
    for images in (IMAGES[:1], IMAGES):
        found, wanted = run(candidate, *images), run(eager, *images)
        torch.testing.assert_close(found.scores, wanted.scores, atol=1e-4, rtol=0)
    (_, network), (_, select) = candidate.stages()
    batch = candidate.prepare(IMAGES[:2])
    assert torch.equal(select(network(batch)).scores, candidate.infer(batch).scores)
    with pytest.raises(InputError, match="it is a bundle with a program of torch"):
        open_candidate(str(bundle.folder), runtime="winograd")


@pytest.mark.full
def test_a_bundle_in_bf16_states_that_precision(weights: Path, photos: Path, tmp_path: Path) -> None:
    bundle = write_bundle(str(weights), out=tmp_path / "bundle", images=photos, to="torch", precision="bf16")
    assert bundle.manifest.precision_layers == {"bf16": 13} and bundle.proof.verdict != "failed"
    candidate = open_candidate(str(bundle.folder))
    assert isinstance(candidate, NetworkCandidate) and candidate.facts().precision == "bf16"


@pytest.mark.full
def test_a_failed_proof_names_the_first_layer(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = "backbone.convs.4.conv"
    monkeypatch.setattr(TorchTarget, "write", changed_weights(f"detector.{layer}.weight"))
    with pytest.raises(ParityError, match=rf"The first layer that differs is {layer}, by "):
        write_bundle(str(weights), out=tmp_path / "new", images=photos, to="torch", batch=2)
    assert list(tmp_path.iterdir()) == []


def changed_weights(name: str) -> Callable[..., Any]:
    """`TorchTarget.write` with another weight."""
    write = TorchTarget.write

    def changed(self: TorchTarget, detector: Detector, folder: Path, config: CandidateConfig) -> Any:
        written = write(self, detector, folder, config)
        program = pt2.load(folder / written.artifact)
        program.state_dict[name].mul_(1.5)
        pt2.save(program, folder / written.artifact)
        return written

    return changed


def test_a_detector_of_two_stages_is_refused(tmp_path: Path) -> None:
    weights = write_narrow("faster_rcnn-mobilenet_v1-96-s16-p8", tmp_path / "weights.safetensors")
    candidate = open_candidate(str(weights))
    assert isinstance(candidate, NetworkCandidate) and isinstance(detector := candidate.session.module, Detector)
    with pytest.raises(
        InputError, match=r"torch.export cannot run .*between its 2 stages.* --to onnx \[export-failed\]"
    ):
        TorchTarget().write(detector, tmp_path, CandidateConfig(name="faster_rcnn-mobilenet_v1-96-s16-p8"))
