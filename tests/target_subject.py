"""What the tests of artifacts without suppression share: photographs, and what a bundle of them has to be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from narrow_weights import LABELS, write_narrow
from paretodet.candidate import NetworkCandidate
from paretodet.config import CandidateConfig
from paretodet.detectors.detector import Detector
from paretodet.errors import InputError
from paretodet.export import parity
from paretodet.export.bundle import Bundle
from paretodet.export.target import Suppression, Target
from paretodet.exporting import write_bundle
from paretodet.opening import open_candidate

TINY, TWO_STAGES = "yolo_v3_tiny-96", "faster_rcnn-mobilenet_v1-96-s16-p8"
IMAGES = [np.random.default_rng(seed).integers(0, 256, (70, 100, 3), dtype=np.uint8) for seed in range(3)]


def write_photos(folder: Path) -> Path:
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def assert_proved_bundle(
    name: str, folder: Path, *, photos: Path, to: str, runtime: str, suppression: Suppression | None = None
) -> Bundle:
    """Writes a bundle, which passes its proof and detects, opened by its name, what the detector does."""
    weights = write_narrow(name, folder / "weights.safetensors", fit="letterbox")
    options: dict[str, Any] = {"to": to, "suppression": suppression, "batch": 2}
    bundle = write_bundle(str(weights), out=folder / "bundle", images=photos, **options)
    assert (bundle.manifest.target, bundle.manifest.suppression) == (to, "out")
    assert (bundle.proof.verdict, bundle.proof.criterion) == ("passed", "equal") and bundle.proof.detections > 10
    assert (bundle.manifest.precision_layers or {}).keys() == {"fp32"}
    tensors = (*bundle.manifest.inputs, *bundle.manifest.outputs)
    shapes, side = {each.name: (each.type, each.shape) for each in tensors}, bundle.manifest.height
    count = shapes["boxes"][1][1]
    assert shapes == {
        "pixels": ("uint8", (2, 3, side, side)),
        "boxes": ("float32", (2, count, 4)),
        "scores": ("float32", (2, count, len(LABELS))),
    }
    candidate, eager = open_candidate(str(bundle.folder), score=0.1), open_candidate(str(weights), score=0.1)
    assert isinstance(candidate, NetworkCandidate) and candidate.facts().runtime == runtime
    for images in (IMAGES[:1], IMAGES):
        found, wanted = parity.detected(candidate, images), parity.detected(eager, images)
        torch.testing.assert_close(found.scores, wanted.scores, atol=1e-4, rtol=0)
    (_, network), (_, select) = candidate.stages()
    for count in (1, 2, 3):
        batch = candidate.prepare(IMAGES[:count])
        assert torch.equal(select(network(batch)).scores, candidate.infer(batch).scores)
    return bundle


def assert_two_stages_refused(target: Target, folder: Path, title: str) -> None:
    """No form without suppression can hold a detector of two stages."""
    candidate = open_candidate(str(write_narrow(TWO_STAGES, folder / "weights.safetensors")))
    assert isinstance(candidate, NetworkCandidate) and isinstance(detector := candidate.session.module, Detector)
    with pytest.raises(InputError, match=rf"{title} cannot run .*between its 2 stages.* --to onnx \[export-failed\]"):
        target.write(detector, folder, CandidateConfig(name=TWO_STAGES), 1)
