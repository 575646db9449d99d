"""Narrow detectors whose scores differ, and how detections of two runtimes are compared."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from narrow_weights import LABELS, write_narrow
from paretodet.bench.candidate import Candidate
from paretodet.candidate import NetworkCandidate
from paretodet.opening import open_candidate
from paretodet.ops.geometry import iou
from paretodet.types import Detections

__all__ = ["LABELS"]
IMAGES = [np.random.default_rng(seed).integers(0, 256, (70, 100, 3), dtype=np.uint8) for seed in range(3)]

FAMILIES = (  # one of each, small
    "ssd-mobilenet_v1-96",
    "ssd-vgg16-96",
    "yolo_v2-darknet19-96",
    "yolo_v3-darknet53-96",
    "retinanet-resnet50-128",
    "fcos-resnet50-128",
    "faster_rcnn-mobilenet_v1-96-s16-p8",
    "faster_rcnn_ren-vgg16-96-p8",
    "faster_rcnn_tv-resnet50-128",
    "rfcn-resnet101-96-s16-p8",
    "cascade_rcnn-resnet50-128",
    "mask_rcnn-resnet50-128",
    "mask_rcnn_d2-resnet50-128",
    "mask_rcnn_zoo-inception_v2-96-s16-p8",
)


def narrow_weights(name: str, folder: Path) -> Path:
    """Weights of a narrow detector, in a file of `folder`."""
    return write_narrow(name, folder / f"{name}.safetensors")


def opened(path: Path, runtime: str, **options: Any) -> NetworkCandidate:
    candidate = open_candidate(str(path), runtime=runtime, **options)
    assert isinstance(candidate, NetworkCandidate)
    return candidate


def run(candidate: Candidate, images: list[np.ndarray]) -> Detections:
    sizes = torch.tensor([image.shape[:2] for image in images], dtype=torch.float32)
    return candidate.finish(candidate.infer(candidate.prepare(images)), sizes)


def assert_finds_what_eager_finds(path: Path, runtime: str) -> None:
    """Both on a canvas of one size."""
    candidate, eager = opened(path, runtime, fit="stretch"), opened(path, "eager", fit="stretch")
    assert_same_boxes(run(candidate, IMAGES[:2]), run(eager, IMAGES[:2]))


def assert_same_boxes(found: Detections, wanted: Detections) -> None:
    """Each has its match of the same label, place and score: near-equal scores may stand in another order."""
    for image in range(len(wanted.scores)):
        floor = _floor(wanted.scores[image])
        one, other = _above(floor, found, image), _above(floor, wanted, image)
        assert len(one.scores) == len(other.scores) > 3
        apart = (one.boxes[:, None] - other.boxes).abs().amax(-1)
        near = (iou(one.boxes, other.boxes) > 0.99) | (apart < 0.01)  # boxes without area overlap nothing
        same = near & (one.labels[:, None] == other.labels)
        same &= (one.scores[:, None] - other.scores).abs() < 1e-3
        assert same.any(0).all() and same.any(1).all()


def _floor(scores: torch.Tensor) -> float:
    """Where all slots are filled, which of the boxes with nearly the lowest score got one is chance."""
    lowest = float(scores.min())
    return lowest + 1e-3 if lowest > 0 else 0.0


def _above(score: float, detections: Detections, image: int) -> Detections:
    kept = detections.scores[image] > score
    return Detections(*(part[image][kept] for part in detections[:3]))


def assert_stages_are_the_call(candidate: NetworkCandidate) -> None:
    """With fewer and with more images than the session's batch of two."""
    for count in (1, 2, 3):
        batch = candidate.prepare(IMAGES[:count])
        state: Any = batch
        for _, stage in candidate.stages():
            state = stage(state)
        for found, wanted in zip(state, candidate.infer(batch), strict=True):
            assert found is wanted is None or torch.allclose(found, wanted, atol=1e-4)
