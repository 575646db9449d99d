"""Weights of narrow detectors whose maps have about unit scale, so that scores differ, for tests of runtimes."""

from pathlib import Path
from typing import Any

import torch

from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.types import Images
from paretodet.weights import files
from paretodet.weights.files import WeightsMetadata
from unit_scale import with_unit_scale

LABELS = ("a", "b", "c")


def write_narrow(name: str, path: Path, *, fit: str | None = "stretch", **changed: Any) -> Path:
    """`changed` are other fields of their metadata."""
    stated: dict[str, Any] = {"labels": LABELS, "width": 0.25, "fit": fit, "score": 0.02}
    metadata = WeightsMetadata(name=name, **stated | changed)
    detector = build(metadata.apply_to(spec(name, Override(labels=metadata.labels))))
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (1, 3, detector.spec.height, detector.spec.width), generator=generator).byte()
    with_unit_scale(detector, Images(pixels, torch.tensor([[*map(float, pixels.shape[2:])]])))
    files.save(detector.state_dict(), path, metadata)
    return path
