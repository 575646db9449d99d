"""Writes every `counts.json`: parameters, multiply-adds and other facts of a built backbone, detector or model."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paretodet.backbones.catalogue import side
from paretodet.backbones.named import NETWORKS
from paretodet.bench.flops import count
from paretodet.detectors.catalogue import names
from paretodet.detectors.families import spec
from paretodet.network import operations
from paretodet.opening import open_candidate
from paretodet.records.roofline import LayerWork
from paretodet.sources.published import PUBLISHED, TORCHVISION

PACKAGE = Path(__file__).resolve().parents[1] / "src/paretodet"


class Trunk(nn.Module):
    """A backbone without its tail, as a module that can be called."""

    def __init__(self, choice: Any):
        super().__init__()
        self.net = choice.build()

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return self.net.trunk(pixels)


def counted_backbone(name: str) -> dict[str, object]:
    """The counts, channels and strides of a named backbone at its input size."""
    with torch.device("meta"):
        trunk = Trunk(NETWORKS[name]).eval()
        work = count(trunk, torch.zeros(1, 3, side(name), side(name)))
    counts: dict[str, object] = {"parameters": work.parameters, "buffers": work.buffers, "macs": work.macs}
    return counts | {field: list(value) for field, value in trunk.net.info._asdict().items()}


def counted(name: str) -> dict[str, object]:
    """The counts of a catalogue entry."""
    detector, work = spec(name), operations(spec(name))
    return {
        "classes": detector.classes,
        "parameters": work.parameters,
        "buffers": work.buffers,
        "macs": work.macs,
        **layer_counts(work.layers),
        "assumption": detector.assumption,
    }


def layer_counts(layers: Iterable[LayerWork]) -> dict[str, object]:
    """How many layers there are, and how many values they read and write."""
    known = tuple(layers)
    return {"layers": len(known), "moved": sum(each.inputs + each.outputs for each in known)}


def counted_model(name: str) -> dict[str, object]:
    """The counts of a third-party model as its rows have them: some operators depend on the layout in memory."""
    facts = open_candidate(name).facts()  # type: ignore[attr-defined] # a candidate may lack them; these do not
    counts = {"parameters": facts.parameters, "buffers": facts.buffers, "macs": facts.macs}
    return counts | layer_counts(facts.layers)


def counted_torchvision(name: str) -> dict[str, object]:
    """The same of a model of torchvision, and what its name does not say."""
    facts = open_candidate(name).facts()  # type: ignore[attr-defined] # as above
    shape = {field: getattr(facts, field) for field in ("height", "width", "proposals", "classes")}
    return shape | counted_model(name)


def write(folder: str, counts: dict[str, dict[str, object]]) -> None:
    (PACKAGE / folder / "counts.json").write_text(json.dumps(counts, indent=1) + "\n")


if __name__ == "__main__":
    write("backbones", {name: counted_backbone(name) for name in NETWORKS})
    write("detectors", {name: counted(name) for name in names()})
    models = {name: counted_model(name) for name in PUBLISHED}
    write("sources", models | {name: counted_torchvision(name) for name in TORCHVISION})
