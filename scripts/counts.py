"""Writes every `counts.json`: what only a built network can tell of a backbone, catalogue entry or hub model."""

import json
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
from paretodet.sources.hub_models import MODELS
from paretodet.sources.hub_network import hub_network
from paretodet.sources.published import PUBLISHED

PACKAGE = Path(__file__).resolve().parents[1] / "src/paretodet"


class Trunk(nn.Module):
    """A backbone without its tail, as a module that can be called."""

    def __init__(self, choice: Any):
        super().__init__()
        self.net = choice.build()

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return self.net.trunk(pixels)


def counted_backbone(name: str) -> dict[str, object]:
    with torch.device("meta"):
        trunk = Trunk(NETWORKS[name]).eval()
        work = count(trunk, torch.zeros(1, 3, side(name), side(name)))
    counts: dict[str, object] = {"parameters": work.parameters, "buffers": work.buffers, "macs": work.macs}
    return counts | {field: list(value) for field, value in trunk.net.info._asdict().items()}


def counted(name: str) -> dict[str, object]:
    made, found = spec(name), operations(spec(name))
    return {
        "classes": made.classes,
        "parameters": found.parameters,
        "buffers": found.buffers,
        "macs": found.macs,
        "assumption": made.assumption,
    }


def counted_guest(name: str) -> dict[str, object]:
    facts = hub_network(name, MODELS[name.removeprefix("hf:")]).describe()
    return {"parameters": facts.parameters, "buffers": facts.buffers, "macs": facts.macs}


def write(room: str, counts: dict[str, dict[str, object]]) -> None:
    (PACKAGE / room / "counts.json").write_text(json.dumps(counts, indent=1) + "\n")


if __name__ == "__main__":
    write("backbones", {name: counted_backbone(name) for name in NETWORKS})
    write("detectors", {name: counted(name) for name in names()})
    write("sources", {name: counted_guest(name) for name in PUBLISHED})
