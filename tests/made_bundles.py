"""Bundles without a detector, for tests of what is read and refused."""

from pathlib import Path
from typing import Any

from paretodet.export.bundle import Counts, Manifest, entries, fit_to_json
from paretodet.export.proof import Proof, SizeRatio
from paretodet.transforms.resize_policy import Letterbox

ARTIFACT, WEIGHTS = "detector.onnx", "parts/weights.bin"
PROOF = Proof(
    verdict="passed",
    criterion="ap-ratio",
    reason="it holds",
    precision="int8",
    runtime="onnxruntime 1.0",
    images=3,
    source="three",
    images_sha256=None,
    detections=40,
    missing=1,
    extra=0,
    at_cutoff=2,
    max_box=1e-4,
    max_score=0.1,
    labels="labels.json",
    labels_sha256="2" * 64,
    boxes=600,
    ap=31.25,
    ratios={"all": SizeRatio(ratio=0.99, lower=0.98, upper=1.0)},
)


def manifest(folder: Path, **changed: Any) -> Manifest:
    fields: dict[str, Any] = {
        "name": "yolo_v3_tiny-96",
        "target": "onnx",
        "artifact": ARTIFACT,
        "files": changed.get("files") or entries(folder, (ARTIFACT, WEIGHTS)),
        "inputs": (),
        "outputs": (),
        "height": 96,
        "width": 128,
        "batch": 2,
        "fit": fit_to_json(Letterbox(height=96, width=128, sampling="opencv")),
        "labels": ("a", None, "naïve"),
        "score": 0.05,
        "nms": 0.45,
        "keep": 100,
        "proposals": None,
        "precision": "int8",
        "precision_layers": {"int8": 20, "fp32": 2},
        "weights": "1" * 64,
        "load": "data",
        "published": False,
        "counts": Counts(parameters=5, uncounted=("aten::roll",)),
        "spec": "{}",
        "versions": {"torch": "2"},
        "proof": PROOF,
    }
    return Manifest(**fields | changed)
