"""The backbones as data, torch-free: what they count and what was published of them.

`counts.json` beside this file holds what only a built network can tell: `scripts/counts.py` writes it, a test checks.
"""

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PublishedTop1:
    """What a source says of a classifier."""

    top1: float  # percent of ImageNet's validation images, one crop
    parameters: int | None = None  # as its author counts them, which is not always `BackboneEntry.parameters`
    source: str


TABLE_2 = "Huang et al. 2017 (arXiv 1611.10012) Table 2"
YOLO_V3 = "Redmon and Farhadi 2018 (arXiv 1804.02767) Table 2"
SIDES = {"inception_v3": 299, "inception_resnet_v2": 299, "darknet53": 256, "darknet_tiny": 416}  # px, else 224
PUBLISHED = {
    "vgg16": PublishedTop1(top1=71.0, parameters=14_714_688, source=TABLE_2),
    "mobilenet_v1": PublishedTop1(top1=71.1, parameters=3_191_072, source=TABLE_2),
    "inception_v2": PublishedTop1(top1=73.9, parameters=10_173_112, source=TABLE_2),
    "resnet101": PublishedTop1(top1=76.4, parameters=42_605_504, source=TABLE_2),
    "inception_v3": PublishedTop1(top1=78.0, parameters=21_802_784, source=TABLE_2),
    "inception_resnet_v2": PublishedTop1(top1=80.4, parameters=54_336_736, source=TABLE_2),
    "darknet53": PublishedTop1(top1=77.2, source=YOLO_V3),
}


@dataclass(frozen=True, kw_only=True)
class BackboneEntry:
    """One line of `paretodet list --backbones`: the network up to its last map, without a classifier.

    `parameters` and `buffers` are learned and stored numbers. `parameters_paper` counts as Huang et al.'s Table 2 does:
    running statistics are in it, and not for each network the same ones. `macs` are for one square image of `side`.
    """

    name: str
    parameters: int
    buffers: int
    parameters_paper: int | None
    macs: int
    side: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    top1_published: float | None
    top1_source: str | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def side(name: str) -> int:
    """Pixels a side of the image that the network was published with: 224 but for those of `SIDES`."""
    return SIDES.get(name, 224)


@cache
def entries() -> tuple[BackboneEntry, ...]:
    """Every backbone; a network of timm's stands in timm's own list."""
    counts = json.loads(files("paretodet.backbones").joinpath("counts.json").read_text())
    return tuple(_entry(name, counted) for name, counted in counts.items())


def _entry(name: str, counted: dict[str, Any]) -> BackboneEntry:
    known = PUBLISHED.get(name)
    return BackboneEntry(
        name=name,
        parameters=counted["parameters"],
        buffers=counted["buffers"],
        parameters_paper=known.parameters if known else None,
        macs=counted["macs"],
        side=side(name),
        channels=tuple(counted["channels"]),
        strides=tuple(counted["strides"]),
        top1_published=known.top1 if known else None,
        top1_source=known.source if known else None,
    )
