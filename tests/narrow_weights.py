"""Weights of narrow detectors whose maps have about unit scale, so that scores differ, for tests of runtimes."""

from pathlib import Path

import torch
from torch import nn

from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.weights import files
from paretodet.weights.files import WeightsMetadata

LABELS = ("a", "b", "c")


def write_narrow(name: str, path: Path, *, fit: str | None = "stretch") -> Path:
    metadata = WeightsMetadata(name=name, labels=LABELS, width=0.25, fit=fit, score=0.05)
    detector = build(metadata.apply_to(spec(name, Override(labels=LABELS))))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [each for each in detector.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight)
    with torch.no_grad():
        layers[0].weight *= detector.deviation.mean() / 100
    files.save(detector.state_dict(), path, metadata)
    return path
