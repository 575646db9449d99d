"""Candidates under a runtime, and how detections of two runtimes are compared."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from paretodet.bench.candidate import Candidate
from paretodet.candidate import NetworkCandidate
from paretodet.opening import open_candidate
from paretodet.ops.geometry import iou
from paretodet.types import Detections

IMAGES = [np.random.default_rng(seed).integers(0, 256, (70, 100, 3), dtype=np.uint8) for seed in range(3)]


def opened(path: Path, runtime: str, **options: Any) -> NetworkCandidate:
    candidate = open_candidate(str(path), runtime=runtime, **options)
    assert isinstance(candidate, NetworkCandidate)
    return candidate


def run(candidate: Candidate, images: list[np.ndarray]) -> Detections:
    sizes = torch.tensor([image.shape[:2] for image in images], dtype=torch.float32)
    return candidate.finish(candidate.infer(candidate.prepare(images)), sizes)


def assert_same_boxes(found: Detections, wanted: Detections) -> None:
    """Every detection has one of the same label, box and score; near-equal scores may have another order."""
    for image in range(len(wanted.scores)):
        one, other = _filled(found, image), _filled(wanted, image)
        assert len(one.scores) == len(other.scores) > 3
        same = (iou(one.boxes, other.boxes) > 0.99) & (one.labels[:, None] == other.labels)
        same &= (one.scores[:, None] - other.scores).abs() < 1e-3
        assert same.any(0).all() and same.any(1).all()


def _filled(found: Detections, image: int) -> Detections:
    kept = found.scores[image] > 0
    return Detections(found.boxes[image][kept], found.scores[image][kept], found.labels[image][kept])
