"""Detections as three outputs: boxes [B, N, 4], scores [B, N] and labels [B, N], whatever their names.

TensorFlow's object detection API (`detection_boxes`: y first, fractions, labels from 1), SSD of the ONNX model zoo
(`bboxes`: fractions, labels from 1), end-to-end YOLO (`det_boxes`), torchvision, D-FINE and RT-DETR as deployed
(`orig_target_sizes`), and any other with these three. A fourth output may say how many of the rows are detections
(`num_dets`): those behind may be of an earlier call. What else stands beside them is not read: masks, keypoints, and
the boxes before their suppression that TensorFlow 2 returns too. Where N is the number of cells, or too large for
finished detections, they are those of all cells, not suppressed: so Qualcomm's AI Hub exports YOLO.

Those as deployed take pixels of 0..1, as RT-DETR, D-FINE, DEIM and the sizes Atto to N of DEIMv2, or normalized with
mean and std, as DEIMv2's sizes S to X (`tools/inference/onnx_inf.py` of DEIMv2). The latter are on DINOv3, whose first
layer takes patches of 16x16 pixels; a convolutional backbone begins with a small kernel.

An export of ours that lost its metadata (a converter kept the graph alone) reads the true sizes of images: how they are
fitted, which decides its boxes, is nowhere in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from paretodet.layouts.decode import COUNTED
from paretodet.layouts.layout import (
    IMAGENET,
    UNIT_RANGE,
    BoxForm,
    FileLayout,
    Normalization,
    OutputLayout,
    Reading,
    Unit,
)
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import CAPACITY, Evidence

UNITS: tuple[Unit, ...] = ("pixels", "fractions")
FORMS: tuple[BoxForm, ...] = ("xyxy", "cxcywh")  # of boxes that are not suppressed
TARGET = "orig_target_sizes"
PATCH, STEM = 14, 7  # px: the least side of a patch, and the largest kernel that a convolutional backbone begins with
TENSORFLOW, RAW = "detection_boxes", "raw_"  # names of its boxes, and how those before the suppression begin
LETTERBOXED = (("det_boxes", "score"), ("pred_boxes", "pred_scores"))  # of end-to-end YOLO and YOLO-NAS; the boxes of
# Detectron2 have the name of the latter
LABELS, SCORES, COUNTS = ("label", "class"), ("score",), ("num", "count")  # in the names of outputs
LACKS_FIT = (
    "finished detections of a file that reads how much of its canvas an image fills, as exports of paretodet do, and "
    "says nowhere how an image is fitted: name the folder of its bundle, or add --fit"
)


@dataclass(frozen=True)
class Names:
    """The three outputs, how many rows they have and how many detections they hold."""

    boxes: str
    scores: str
    labels: str
    rows: int
    count: int


def find(evidence: Evidence) -> Names | None:
    """The three outputs: by the names of TensorFlow, else the only ones of equally many rows; None if there are none,
    or several.
    """
    boxes = [name for name in evidence.rank(2, 3) if evidence.shapes[name][-1] == 4]
    found = [names for each in boxes if (names := _beside(evidence, each))]
    found = [names for names in found if _is_tensorflow(names.boxes)] or found
    return found[0] if len(found) == 1 else None


def _beside(evidence: Evidence, boxes: str) -> Names | None:
    """Boxes with the scores and the labels of their rows; None unless there is one output of each."""
    shape = evidence.shapes[boxes]
    flat = [name for name in evidence.shapes if evidence.shapes[name] == shape[:-1]]
    labels = [name for name in flat if not evidence.outputs[name].is_floating_point() or _named([name], LABELS)]
    scores = [name for name in flat if name not in labels]
    labels, scores = _named(labels, LABELS) or labels, _named(scores, SCORES) or scores
    if len(labels) != 1 or len(scores) != 1:
        return None
    return Names(boxes, scores[0], labels[0], shape[-2], evidence.capacity(boxes))


def _named(names: Sequence[str], parts: Sequence[str]) -> list[str]:
    """Those with one of these parts."""
    return [name for name in names if any(part in name.lower() for part in parts)]


def _is_tensorflow(boxes: str) -> bool:
    return TENSORFLOW in boxes and RAW not in boxes


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    names = find(evidence)
    if names is None:
        return ()
    counts = [each for each in _named(list(evidence.shapes), COUNTS) if evidence.is_count(each, names.boxes)]
    columns = ((names.boxes, ("box",)), (names.scores, ("score",)), (names.labels, ("label",)))
    outputs = OutputLayout(columns=(*columns, *((each, COUNTED) for each in counts[:1])), keep=names.count)
    reason = f"{names.boxes}, {names.scores}, {names.labels}: boxes, scores and labels of {names.rows} rows"
    if _is_tensorflow(names.boxes):
        outputs = replace(outputs, box="yxyx", unit="fractions", first_label=1)
        layout = FileLayout(family="TensorFlow object detection", outputs=outputs, sampling="tf1")
        return (Reading(layout=layout, reasons=(reason,), strength=1, pixels_known=False),)
    found: list[Reading] = []
    for finished in evidence.finished(names.rows, names.boxes):
        if finished:
            found += [*_zoo(names, outputs, reason), *_others(evidence, names, outputs, reason)]
        else:
            found += _of_cells(outputs, reason)
    return tuple(found)


def _zoo(names: Names, outputs: OutputLayout, reason: str) -> tuple[Reading, ...]:
    if names.boxes != "bboxes":
        return ()
    outputs = replace(outputs, unit="fractions", first_label=1)
    layout = FileLayout(family="SSD of the ONNX model zoo", outputs=outputs, pixels=IMAGENET)
    return (Reading(layout=layout, reasons=(reason,), strength=1),)


def _others(evidence: Evidence, names: Names, outputs: OutputLayout, reason: str) -> list[Reading]:
    lettered = any(boxes in names.boxes and scores in names.scores for boxes, scores in LETTERBOXED)
    target = TARGET in evidence.others
    family = "end-to-end YOLO" if lettered else "DETR as deployed" if target else "boxes, scores and labels"
    if _of_torchvision(evidence, names):
        family, outputs = "torchvision", replace(outputs, first_label=1)
    elif evidence.layers_have_coco_ids:
        outputs, reason = replace(outputs, first_label=1), f"{reason}; its head has places for COCO's ids, from 1"
    stem = _pixels(evidence) if target else None
    lacks = LACKS_FIT if evidence.sized and not evidence.fitted else ""
    layout = FileLayout(
        family=family,
        outputs=outputs,
        pixels=stem or UNIT_RANGE,
        fit="letterbox" if lettered else "stretch",
        sampling="opencv" if lettered else "antialiased",
    )
    found = [replace(layout, outputs=replace(outputs, unit=unit)) for unit in UNITS]
    known, fitted = lettered or stem is not None, lettered or target
    return [
        Reading(layout=each, reasons=(reason,), pixels_known=known, fit_known=fitted, lacks=lacks) for each in found
    ]


def _of_cells(outputs: OutputLayout, reason: str) -> list[Reading]:
    outputs = replace(outputs, suppressed=False, keep=CAPACITY)
    layout = FileLayout(family="dense boxes, scores and labels", outputs=outputs, fit="letterbox", sampling="opencv")
    choices = [replace(outputs, unit=unit, box=form) for unit in UNITS for form in FORMS]
    reasons = (reason, "as many as cells, or more than finished detections")
    layouts = [replace(layout, outputs=each) for each in choices]
    return [Reading(layout=each, reasons=reasons, pixels_known=False, fit_known=False) for each in layouts]


def _of_torchvision(evidence: Evidence, names: Names) -> bool:
    """Whether it normalizes pixels itself and returns any number of detections of one image, labels from 1."""
    count = next(iter(evidence.declared.get(names.boxes, ())), None)
    alone = len(evidence.shapes[names.boxes]) == 2 and not isinstance(count, int)
    return alone and evidence.inner_pixels() == UNIT_RANGE


def _pixels(evidence: Evidence) -> Normalization | None:
    """The scaling for a backbone, by the kernels that read the image; None if the graph does not state them."""
    largest = max((side for node in evidence.graph.first_layers(evidence.image) for side in node.kernel), default=0)
    if largest >= PATCH:
        return IMAGENET
    return UNIT_RANGE if 0 < largest <= STEM else None


CONVENTION = Convention(name="boxes-scores-labels", readings=_readings)
