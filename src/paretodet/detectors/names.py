"""Detector names, which can be parsed: `<architecture>-<backbone>-<side|HxW>[-s8|16|32][-pN]`."""

import re
from dataclasses import dataclass

from paretodet.errors import InputError

_FORM = re.compile(
    r"(?P<architecture>[a-z][a-z0-9_]*?)(?:-(?P<backbone>[a-z][a-z0-9_]*))?-(?P<height>\d+)(?:x(?P<width>\d+))?"
    r"(?:-s(?P<output_stride>\d+))?(?:-p(?P<proposals>\d+))?"
)
# The default number of proposals of an architecture, which its names omit.
PYRAMIDS = (
    "faster_rcnn_fpn", "mask_rcnn", "cascade_rcnn", "faster_rcnn_d2", "mask_rcnn_d2", "faster_rcnn_tv", "mask_rcnn_tv",
)  # fmt: skip
PROPOSALS = dict.fromkeys(PYRAMIDS, 1000) | {"mask_rcnn_zoo": 100}


@dataclass(frozen=True, kw_only=True)
class DetectorName:
    """The parts of a catalogue name; None if the family does not have the part."""

    architecture: str
    backbone: str | None = None
    height: int
    width: int
    output_stride: int | None = None
    proposals: int | None = None

    def __str__(self) -> str:
        side = str(self.height) if self.height == self.width else f"{self.height}x{self.width}"
        stride = f"s{self.output_stride}" if self.output_stride else None
        is_default = self.proposals in (None, 0, PROPOSALS.get(self.architecture))
        proposals = None if is_default else f"p{self.proposals}"
        return "-".join(filter(None, (self.architecture, self.backbone, side, stride, proposals)))


def parse(name: str) -> DetectorName:
    """Parse a name. Raises ValueError if it does not have the form."""
    match = _FORM.fullmatch(name)
    if match is None:
        raise InputError(
            f"name: got {name!r}, allowed names of the form <architecture>-<backbone>-<side|HxW>[-s8|16|32][-pN], "
            "such as ssd-mobilenet_v1-300 or faster_rcnn-resnet101-600-s16-p100",
            "name-unknown",
        )
    part = match.groupdict()
    number = {key: int(part[key]) if part[key] else None for key in ("height", "width", "output_stride", "proposals")}
    height = number["height"] or 0
    return DetectorName(
        architecture=part["architecture"],
        backbone=part["backbone"],
        height=height,
        width=height if number["width"] is None else number["width"],
        output_stride=number["output_stride"],
        proposals=PROPOSALS.get(part["architecture"]) if number["proposals"] is None else number["proposals"],
    )
