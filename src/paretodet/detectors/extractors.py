"""What Huang et al.'s families share: pixel normalization by backbone, and checks of the parts of a name."""

from collections.abc import Mapping
from typing import TypeVar

from paretodet.detectors.names import DetectorName
from paretodet.detectors.spec import Pixels
from paretodet.errors import InputError

Row = TypeVar("Row")
UNIT = Pixels(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))  # to -1..1
IMAGENET = Pixels(mean=(123.68, 116.779, 103.939))
PIXELS = {
    "vgg16": IMAGENET,
    "resnet101": IMAGENET,
    "resnet50": IMAGENET,
    "mobilenet_v1": UNIT,
    "mobilenet_v2": UNIT,
    "inception_v2": UNIT,
    "inception_v3": UNIT,
    "inception_resnet_v2": UNIT,
}


def backbone_row(table: Mapping[str, Row], name: DetectorName) -> Row:
    """The row of the name's backbone. Raises ValueError if the table does not have it."""
    row = table.get(name.backbone or "")
    if row is None:
        raise InputError(f"backbone: got {name.backbone!r}, allowed {', '.join(table)}", "name-unknown")
    return row


def of_stride(backbones: Mapping[int | None, Row], name: DetectorName) -> Row:
    """The entry of the name's output stride. Raises ValueError if the backbone does not have it."""
    if name.output_stride not in backbones:
        allowed = " or ".join(str(stride) if stride else "none" for stride in backbones)
        raise InputError(
            f"output_stride: got {name.output_stride} with {name.backbone}, allowed {allowed}", "name-unknown"
        )
    return backbones[name.output_stride]


def check_side(name: DetectorName, min_side: int) -> None:
    """Raises ValueError for a side below `min_side` px."""
    if min(name.height, name.width) < min_side:
        side = f"{name.height}x{name.width}"
        raise InputError(
            f"size: got {side}, allowed {min_side} or more for {name.architecture}-{name.backbone}", "name-unknown"
        )


def check_proposals(name: DetectorName) -> int:
    """The number of proposals. Raises ValueError outside 1..1000."""
    if name.proposals is None or not 1 <= name.proposals <= 1000:
        raise InputError(f"proposals: got {name.proposals}, allowed 1..1000", "name-unknown")
    return name.proposals


def check_no_proposals(name: DetectorName) -> None:
    """Raises ValueError for a number of proposals, which a one-stage detector does not have."""
    if name.proposals is not None:
        raise InputError(
            f"proposals: got {name.proposals}, but {name.architecture} has one stage; remove -p from the name",
            "name-unknown",
        )


def check_no_stride(name: DetectorName) -> None:
    """Raises ValueError for an output stride, for an architecture in which it is fixed."""
    if name.output_stride is not None:
        raise InputError(
            f"output_stride: got {name.output_stride}, but {name.architecture} has a fixed one; remove -s",
            "name-unknown",
        )


def check_one_stage(name: DetectorName, min_side: int) -> None:
    """Raises ValueError for a side below `min_side` px, an output stride or a number of proposals."""
    check_side(name, min_side)
    check_no_stride(name)
    check_no_proposals(name)
