"""The backbones as data, without torch: their sizes, and the published accuracy.

`counts.json` beside this file has the numbers that need a built network; `scripts/counts.py` writes it, and a test
checks it.
"""

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PublishedTop1:
    """The published accuracy of a classifier."""

    top1: float  # percent of ImageNet's validation images, one crop
    parameters: int | None = None  # as the source counts them, which may differ from `BackboneEntry.parameters`
    source: str


TABLE_2 = "Huang et al. 2017 (arXiv 1611.10012) Table 2"
YOLO_V3 = "Redmon and Farhadi 2018 (arXiv 1804.02767) Table 2"
SIDES = {
    "inception_v3": 299,
    "inception_resnet_v2": 299,
    "darknet53": 256,
    "darknet_tiny": 416,
}  # px; 224 for the others
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

    `parameters` and `buffers` are the counts of trainable and of other stored numbers. `parameters_paper` is the count
    of Huang et al.'s Table 2, which includes running statistics, though not the same ones for every network. `macs` are
    for one square image of `side` px.
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
    """The side of the image, px, with which the network was published."""
    return SIDES.get(name, 224)


@cache
def entries() -> tuple[BackboneEntry, ...]:
    """All backbones except those of timm, which are in timm's own list."""
    counts = json.loads(files("paretodet.backbones").joinpath("counts.json").read_text())
    return tuple(_entry(name, counted) for name, counted in counts.items())


def _entry(name: str, counted: dict[str, Any]) -> BackboneEntry:
    published = PUBLISHED.get(name)
    return BackboneEntry(
        name=name,
        parameters=counted["parameters"],
        buffers=counted["buffers"],
        parameters_paper=published.parameters if published else None,
        macs=counted["macs"],
        side=side(name),
        channels=tuple(counted["channels"]),
        strides=tuple(counted["strides"]),
        top1_published=published.top1 if published else None,
        top1_source=published.source if published else None,
    )
