"""What Huang et al.'s families share of their feature extractors: pixels, and what a name may ask of one."""

from collections.abc import Mapping
from typing import TypeVar

from paretodet.detectors.names import DetectorName
from paretodet.detectors.spec import Pixels

Row = TypeVar("Row")
UNIT = Pixels(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))  # to -1..1
IMAGENET = Pixels(mean=(123.68, 116.779, 103.939))
PIXELS = {
    "vgg16": IMAGENET,
    "resnet101": IMAGENET,
    "mobilenet_v1": UNIT,
    "inception_v2": UNIT,
    "inception_v3": UNIT,
    "inception_resnet_v2": UNIT,
}


def row_of(table: Mapping[str, Row], name: DetectorName) -> Row:
    """The row of the name's backbone. Raises ValueError for one that is not in the table."""
    row = table.get(name.backbone or "")
    if row is None:
        raise ValueError(f"backbone: {name.backbone!r} is not one of {', '.join(table)}")
    return row


def of_stride(backbones: Mapping[int | None, Row], name: DetectorName) -> Row:
    """What stands at the name's output stride. Raises ValueError for one the extractor does not offer."""
    if name.output_stride not in backbones:
        allowed = " or ".join(str(stride) if stride else "none" for stride in backbones)
        raise ValueError(f"output_stride: {name.output_stride} is not offered by {name.backbone}, use {allowed}")
    return backbones[name.output_stride]


def check_side(name: DetectorName, least: int) -> None:
    """Raises ValueError for a side under `least` px."""
    if min(name.height, name.width) < least:
        side = f"{name.height}x{name.width}"
        raise ValueError(f"size: {side} is too small, {name.architecture}-{name.backbone} takes at least {least}")


def check_proposals(name: DetectorName) -> int:
    """The number of proposals. Raises ValueError outside 1..1000."""
    if name.proposals is None or not 1 <= name.proposals <= 1000:
        raise ValueError(f"proposals: {name.proposals} is outside 1..1000")
    return name.proposals


def check_no_proposals(name: DetectorName) -> None:
    """Raises ValueError for a number of proposals, which a detector of one stage does not have."""
    if name.proposals is not None:
        raise ValueError(f"proposals: got {name.proposals}, but {name.architecture} has one stage; leave -p out")


def check_no_stride(name: DetectorName) -> None:
    """Raises ValueError for an output stride, which an architecture of one network does not leave open."""
    if name.output_stride is not None:
        raise ValueError(f"output_stride: got {name.output_stride}, {name.architecture} has its own; leave -s out")
