"""From a name to a spec: the table of architectures, and the fields that a user may override."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from paretodet.detectors.cascade_rcnn import cascade_rcnn
from paretodet.detectors.catalogue import nearest
from paretodet.detectors.faster_rcnn import faster_rcnn
from paretodet.detectors.faster_rcnn_ren import faster_rcnn_ren
from paretodet.detectors.fcos import fcos
from paretodet.detectors.labels import COCO_80, COCO_90, COCO_91
from paretodet.detectors.mask_rcnn import (
    faster_rcnn_d2,
    faster_rcnn_fpn,
    faster_rcnn_tv,
    mask_rcnn,
    mask_rcnn_d2,
    mask_rcnn_tv,
)
from paretodet.detectors.mask_rcnn_zoo import mask_rcnn_zoo
from paretodet.detectors.names import DetectorName, parse
from paretodet.detectors.retinanet import retinanet, retinanet_d2, retinanet_tv
from paretodet.detectors.rfcn import rfcn
from paretodet.detectors.spec import DetectorSpec
from paretodet.detectors.ssd import ssd, ssd_liu, ssd_tv, ssdlite
from paretodet.detectors.yolo import yolo_v2, yolo_v2_2016, yolo_v3, yolo_v3_tiny
from paretodet.errors import ErrorId, InputError

Labels = tuple[str | None, ...]
FAMILIES: dict[str, tuple[Callable[[DetectorName, Labels], DetectorSpec], Labels]] = {
    "ssd": (ssd, COCO_90),
    "ssd_liu": (ssd_liu, COCO_80),
    "ssd_tv": (ssd_tv, COCO_90),
    "ssdlite": (ssdlite, COCO_90),
    "yolo_v2": (yolo_v2, COCO_80),
    "yolo_v2_2016": (yolo_v2_2016, COCO_80),
    "yolo_v3": (yolo_v3, COCO_80),
    "yolo_v3_tiny": (yolo_v3_tiny, COCO_80),
    "faster_rcnn": (faster_rcnn, COCO_90),
    "faster_rcnn_ren": (faster_rcnn_ren, COCO_80),
    "faster_rcnn_fpn": (faster_rcnn_fpn, COCO_80),
    "faster_rcnn_d2": (faster_rcnn_d2, COCO_80),
    "faster_rcnn_tv": (faster_rcnn_tv, COCO_90),
    "mask_rcnn": (mask_rcnn, COCO_80),
    "cascade_rcnn": (cascade_rcnn, COCO_80),
    "mask_rcnn_d2": (mask_rcnn_d2, COCO_80),
    "mask_rcnn_zoo": (mask_rcnn_zoo, COCO_90),
    "mask_rcnn_tv": (mask_rcnn_tv, COCO_90),
    "retinanet": (retinanet, COCO_80),
    "fcos": (fcos, COCO_80),
    "retinanet_d2": (retinanet_d2, COCO_80),
    "retinanet_tv": (retinanet_tv, COCO_91),
    "rfcn": (rfcn, COCO_90),
}


class UnknownName(InputError):
    """A name of no known architecture; the message has the most similar names."""

    def __init__(self, message: str, id: ErrorId = "name-unknown") -> None:
        super().__init__(message, id)


@dataclass(frozen=True, kw_only=True)
class Override:
    """What a user may change in a catalogue entry. Except for `labels` the weights still fit. None: unchanged."""

    height: int | None = None
    width: int | None = None
    proposals: int | None = None
    labels: Labels | None = None
    score: float | None = None  # score threshold of the final post-processing
    overlap: float | None = None  # its IoU threshold

    def __post_init__(self) -> None:
        for field in ("score", "overlap"):
            if (value := getattr(self, field)) is not None and not 0 <= value <= 1:
                raise InputError(f"{field}: got {value}, allowed 0..1", "option-range")


def spec(name: str, override: Override | None = None) -> DetectorSpec:
    """The spec of a catalogue name, or of another name of the same form.

    Raises UnknownName with the most similar names, ValueError for a field that the family does not support.
    """
    part, change = _parsed(name), override or Override()
    width = change.height if change.width is None else change.width
    sides: dict[str, Any] = {"height": change.height, "width": width, "proposals": change.proposals}
    part = replace(part, **{field: value for field, value in sides.items() if value is not None})
    family, labels = FAMILIES[part.architecture]
    return with_selection(family(part, labels if change.labels is None else change.labels), change)


def _parsed(name: str) -> DetectorName:
    try:
        part = parse(name)
        is_known = part.architecture in FAMILIES
    except ValueError:
        is_known = False
    if not is_known:
        similar = nearest(name)
        hint = f"; did you mean {', '.join(similar)}?" if similar else ""
        raise UnknownName(f"{name!r} is not a detector of the catalogue{hint} (`paretodet list` shows all)")
    return part


def with_selection(made: DetectorSpec, change: Override) -> DetectorSpec:
    """The spec with the thresholds of the override in its final post-processing."""
    wanted: dict[str, Any] = {} if change.overlap is None else {"overlap": change.overlap}
    if change.score is not None:
        wanted |= {"threshold": change.score, "threshold_last": None}
    last = made.stages[-1]
    select = replace(last.select, **wanted)  # type: ignore[type-var]
    return replace(made, stages=(*made.stages[:-1], replace(last, select=select)))
