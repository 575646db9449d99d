"""Finished detections as three outputs: boxes [B, N, 4], scores [B, N] and labels [B, N], whatever their names.

TensorFlow's object detection API (`detection_boxes`: y first, fractions, labels from 1), SSD of the ONNX model zoo
(`bboxes`: fractions, labels from 1), end-to-end YOLO (`det_boxes`), torchvision, D-FINE and RT-DETR as deployed
(`orig_target_sizes`), and any other with these three. Masks and keypoints beside them are not read.

Those as deployed take pixels of 0..1, as RT-DETR, D-FINE, DEIM and the sizes Atto to N of DEIMv2, or normalized with
mean and std, as DEIMv2's sizes S to X (`tools/inference/onnx_inf.py` of DEIMv2). The latter are on DINOv3, whose first
layer takes patches of 16x16 pixels; a convolutional backbone begins with a small kernel.
"""

from dataclasses import dataclass, replace

from paretodet.layouts.layout import IMAGENET, UNIT_RANGE, FileLayout, Normalization, OutputLayout, Reading, Unit
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence

UNITS: tuple[Unit, ...] = ("pixels", "fractions")
TARGET = "orig_target_sizes"
PATCH, STEM = 14, 7  # px: the least side of a patch, and the largest kernel that a convolutional backbone begins with
LETTERBOXED = ("det_boxes", "pred_boxes")  # names of end-to-end YOLO and YOLO-NAS


@dataclass(frozen=True)
class Names:
    """The three outputs, and how many detections they hold."""

    boxes: str
    scores: str
    labels: str
    count: int


def find(evidence: Evidence) -> Names | None:
    """The three outputs; None unless there is one of each."""
    shapes = evidence.shapes
    boxes = [name for name in evidence.rank(2, 3) if shapes[name][-1] == 4]
    if len(boxes) != 1:
        return None
    flat = [name for name in shapes if shapes[name] == shapes[boxes[0]][:-1]]
    labels = [name for name in flat if not evidence.outputs[name].is_floating_point() or _names_labels(name)]
    scores = [name for name in flat if name not in labels]
    if len(labels) != 1 or len(scores) != 1:
        return None
    return Names(boxes[0], scores[0], labels[0], evidence.capacity(boxes[0]))


def _names_labels(name: str) -> bool:
    return "label" in name.lower() or "class" in name.lower()


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    names = find(evidence)
    if names is None:
        return ()
    columns = ((names.boxes, ("box",)), (names.scores, ("score",)), (names.labels, ("label",)))
    outputs = OutputLayout(columns=columns, keep=names.count)
    reason = f"{names.boxes}, {names.scores}, {names.labels}: boxes, scores and labels of {names.count} detections"
    if "detection_boxes" in names.boxes:
        outputs = replace(outputs, box="yxyx", unit="fractions", first_label=1)
        layout = FileLayout(family="TensorFlow object detection", outputs=outputs, sampling="tf1")
        return (Reading(layout=layout, reasons=(reason,), strength=1, pixels_known=False),)
    return (*_zoo(names, outputs, reason), *_others(evidence, names, outputs, reason))


def _zoo(names: Names, outputs: OutputLayout, reason: str) -> tuple[Reading, ...]:
    if names.boxes != "bboxes":
        return ()
    outputs = replace(outputs, unit="fractions", first_label=1)
    layout = FileLayout(family="SSD of the ONNX model zoo", outputs=outputs, pixels=IMAGENET)
    return (Reading(layout=layout, reasons=(reason,), strength=1),)


def _others(evidence: Evidence, names: Names, outputs: OutputLayout, reason: str) -> list[Reading]:
    lettered = any(part in names.boxes for part in LETTERBOXED)
    target = TARGET in evidence.others
    family = "end-to-end YOLO" if lettered else "DETR as deployed" if target else "boxes, scores and labels"
    if _of_torchvision(evidence, names):
        family, outputs = "torchvision", replace(outputs, first_label=1)
    stem = _pixels(evidence) if target else None
    layout = FileLayout(
        family=family,
        outputs=outputs,
        pixels=evidence.inner_pixels() or stem or UNIT_RANGE,
        fit="letterbox" if lettered else "stretch",
        sampling="opencv" if lettered else "antialiased",
    )
    known = lettered or stem is not None or evidence.inner_pixels() is not None
    found = [replace(layout, outputs=replace(outputs, unit=unit)) for unit in UNITS]
    return [Reading(layout=each, reasons=(reason,), pixels_known=known) for each in found]


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
