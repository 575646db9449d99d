"""Eager PyTorch: norms folded, channels-last, fp32 or bf16, on CPU or CUDA."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from paretodet.bench.candidate import Image, ModelInfo
from paretodet.bench.flops import Operations, count
from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import DetectorSpec, to_json
from paretodet.detectors.worst_case import is_at_capacity
from paretodet.layers.device import known_device
from paretodet.layers.fold import fold_norms
from paretodet.layers.precision import dtype
from paretodet.transforms.resize_policy import to_batch, to_originals
from paretodet.types import Detections, Images


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How the network executes."""

    device: str = "cpu"
    precision: str = "fp32"
    seed: int = 0  # of untrained weights

    def __post_init__(self) -> None:
        dtype(self.precision)
        known_device(self.device)


class EagerCandidate:
    """One of our detectors as a Candidate. `weights` is "random" or the SHA-256 of the file they came from."""

    def __init__(self, detector: Detector, *, weights: str = "random", setting: Setting | None = None):
        self.setting = setting or Setting()
        self.name, self.spec, self.weights = detector.spec.name, detector.spec, weights
        self.detector = fast(detector, self.setting)

    @property
    def labels(self) -> tuple[str | None, ...]:
        return self.spec.labels

    def prepare(self, images: Sequence[Image]) -> Images:
        """Decoded images -> one channels-last batch in host memory."""
        pixels, sizes = to_batch(images, self.spec.fit)
        return Images(pixels.contiguous(memory_format=torch.channels_last), sizes)

    @torch.inference_mode()
    def infer(self, batch: Images) -> Detections:
        return self.detector(batch.to(self.setting.device))

    def finish(self, outputs: Detections, sizes: Tensor) -> Detections:
        """To host memory and back to pixels of the original images."""
        return to_originals(outputs.to("cpu"), self.spec.fit, sizes)

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        (first, features), *rest = self.detector.stages()
        steps = ((first, lambda batch: features(batch.to(self.setting.device))), *rest)
        return tuple((name, torch.inference_mode()(step)) for name, step in steps)

    def facts(self) -> ModelInfo:
        """Counts are of the model as published, before norms are folded."""
        spec, setting = self.spec, self.setting
        return ModelInfo(
            **work(spec)._asdict(),
            height=spec.height,
            width=spec.width,
            proposals=spec.proposals,
            classes=spec.classes,
            weights=self.weights,
            device=setting.device,
            runtime="eager",
            precision=setting.precision,
            load="capacity" if is_at_capacity(spec) else "data",
            artefact=artefact(spec, self.weights, setting),
            spec=to_json(spec),
        )


def build(spec: DetectorSpec, seed: int = 0) -> Detector:
    """A detector with seeded random weights, in inference mode; the caller's random state is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Detector(spec).eval()


def fast(detector: Detector, setting: Setting) -> Detector:
    """Norms folded, channels-last, the wanted precision (boxes stay float32), on the wanted device."""
    detector = cast(Detector, fold_norms(detector)).to(setting.device)
    for part in detector.children():
        part.to(dtype(setting.precision)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return detector.requires_grad_(False)


def work(spec: DetectorSpec) -> Operations:
    """Parameters, buffers and multiply-adds of the spec at its own canvas, without allocating its weights."""
    with torch.device("meta"):
        detector = Detector(spec).eval()
        pixels = torch.zeros(1, 3, spec.height, spec.width, dtype=torch.uint8)
        sizes = torch.tensor([[float(spec.height), float(spec.width)]])
    return count(detector, Images(pixels, sizes))


def artefact(spec: DetectorSpec, weights: str, setting: Setting) -> str:
    """SHA-256 over everything that decides what is computed."""
    parts = {"spec": to_json(spec), "weights": weights, "runtime": "eager", "precision": setting.precision}
    return hashlib.sha256(json.dumps(parts | {"seed": setting.seed}, sort_keys=True).encode()).hexdigest()
