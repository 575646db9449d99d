"""What a source hands to a runtime: a network that maps canvases to detections, and what is known of it."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from paretodet.bench.candidate import ModelInfo
from paretodet.bench.flops import Operations, count
from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import DetectorSpec, stored_type, to_json
from paretodet.detectors.worst_case import is_at_capacity
from paretodet.errors import InputError
from paretodet.layouts.layout import FileLayout
from paretodet.transforms.resize import Sampling
from paretodet.transforms.resize_policy import ResizePolicy
from paretodet.types import Detections, Images

Labels = tuple[str | None, ...]
Triple = tuple[Any, Any, Any]  # boxes [B, N, 4], scores [B, N], labels [B, N]; arrays or tensors


@dataclass(frozen=True, kw_only=True, eq=False)
class TorchNetwork:
    """A torch module `Images` -> `Detections` in pixels of the canvas.

    The module holds its networks in children, which take the runtime's precision, and has `stages()`: named functions
    whose composition is `forward`.
    """

    form: ClassVar[str] = "torch"
    name: str
    labels: Labels
    fit: ResizePolicy
    module: nn.Module  # in inference mode; the runtime may change it
    describe: Callable[[], ModelInfo]  # every fact that does not depend on the runtime
    identity: Mapping[str, Any]  # what decides its results: hashed into `artefact` with the runtime's part
    spec: DetectorSpec | None = None  # of our own detectors
    fold: bool = True  # whether batch norms may be folded into convolutions
    is_trained: bool = True  # else its weights are random, and what it detects means nothing


@dataclass(frozen=True, kw_only=True, eq=False)
class OnnxNetwork:
    """An ONNX file, or a file of another `form` that is read by the same conventions.

    Its inputs and outputs, and so its canvas, are recognized when it is loaded.
    """

    form: str = "onnx"
    name: str
    labels: Labels
    path: Path
    describe: Callable[[], ModelInfo]
    identity: Mapping[str, Any]
    size: tuple[int, int] | None = None  # (height, width) of the canvas where the file leaves it open
    fit: Callable[..., ResizePolicy] | None = None  # from `height` and `width`; None: as of the layout
    sampling: Sampling | None = None  # of the fit; None: as of `fit`
    layout: FileLayout | None = None  # what inputs and outputs mean; None: it is recognized
    score: float | None = None  # detections that score no more are dropped
    overlap: float | None = None  # of the suppression, for files that leave it to us
    trusted: bool = False  # whether opening it may run code of its author
    spec: ClassVar[None] = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ArtifactNetwork:
    """A detector as a file; a detector of ours returns the fields of Detections."""

    form: str  # of its target, as "onnx-bundle", or of its file
    name: str
    labels: Labels
    fit: ResizePolicy
    path: Path
    batch: int | None  # images a call; None: any number
    describe: Callable[[], ModelInfo]
    identity: Mapping[str, Any]
    score: float | None = None  # detections that score no more are dropped, beside those that the artifact drops
    spec: DetectorSpec | None = None
    any_size: bool = False  # whether its canvas may have other sides than that of `fit`
    is_selected: bool = True  # of a graph: whether it ends with detections; else before suppression, as `spec` has it


Network = TorchNetwork | OnnxNetwork | ArtifactNetwork


def detector_network(detector: Detector, *, weights: str = "random", seed: int = 0) -> TorchNetwork:
    """One of our detectors. `weights` is the SHA-256 of their file, or "random": those of `seed`."""
    spec = detector.spec
    return TorchNetwork(
        name=spec.name,
        labels=spec.labels,
        fit=spec.fit,
        module=detector,
        describe=partial(_describe, spec, weights),
        identity={"spec": to_json(spec), "weights": weights, "seed": seed, "runtime": "eager"},
        spec=spec,
        is_trained=weights != "random",
    )


def operations(spec: DetectorSpec) -> Operations:
    """Parameters, buffers and multiply-adds of the spec at its own canvas, without allocating its weights."""
    with torch.device("meta"):
        detector = Detector(spec).eval()
        pixels = torch.zeros(1, 3, spec.height, spec.width, dtype=torch.uint8)
        sizes = torch.tensor([[float(spec.height), float(spec.width)]])
    return count(detector, Images(pixels, sizes))


def sorted_detections(outputs: Triple, threshold: float | None = None) -> Detections:
    """Boxes, scores and labels in any order -> detections in host memory, sorted by falling score.

    Slots that score no more than `threshold` become empty. Raises ValueError if the shapes do not belong together.
    """
    boxes, scores, labels = (torch.as_tensor(part).cpu() for part in outputs)
    if scores.ndim != 2 or boxes.shape != (*scores.shape, 4) or labels.shape != scores.shape:
        shapes = ", ".join(str(list(part.shape)) for part in (boxes, scores, labels))
        raise InputError(
            f"outputs: boxes, scores, labels have shapes {shapes}, they must be [B, N, 4], [B, N], [B, N]",
            "contract-broken",
        )
    scores, order = scores.float().sort(dim=1, descending=True, stable=True)
    if threshold is not None:
        scores = scores.masked_fill(scores <= threshold, 0)
    boxes = boxes.float().gather(1, order[..., None].expand(-1, -1, 4))
    return Detections(boxes, scores, labels.long().gather(1, order))


def digest(parts: Mapping[str, Any]) -> str:
    """SHA-256 over everything that decides what is computed."""
    return hashlib.sha256(json.dumps(dict(parts), sort_keys=True, default=_stored).encode()).hexdigest()


def _stored(part: Any) -> str:
    """A frozen choice as text, by the name that it has in stored specs."""
    kind = type(part)
    return repr(part).replace(kind.__name__, stored_type(kind).rpartition(".")[2], 1)


def _describe(spec: DetectorSpec, weights: str) -> ModelInfo:
    """Counts are of the model as published, before norms are folded."""
    return ModelInfo(
        **operations(spec)._asdict(),
        height=spec.height,
        width=spec.width,
        proposals=spec.proposals,
        classes=spec.classes,
        weights=weights,
        load="capacity" if is_at_capacity(spec) else "data",
        spec=to_json(spec),
    )
