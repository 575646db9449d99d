"""DETR and its kin without their selection: boxes [B, Q, 4] as fractions and logits [B, Q, K] of Q queries.

RF-DETR names them `dets` and `labels`, Hugging Face `pred_boxes` and `logits`. Logits pass a sigmoid, or of DETR
itself a softmax whose last class is no object. Heads of 91 classes have COCO's ids.
"""

from dataclasses import replace

from paretodet.detectors.labels import COCO_91
from paretodet.layouts.layout import IMAGENET, FileLayout, OutputLayout, Reading
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import MOST, Evidence


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    shapes = evidence.shapes
    boxes = [name for name in evidence.rank(3) if shapes[name][-1] == 4]
    if len(boxes) != 1 or (queries := shapes[boxes[0]][1]) > MOST:
        return ()
    if evidence.cells(queries, boxes[0]) and evidence.graph.from_maps(boxes[0]):
        return ()
    logits = [name for name in evidence.rank(3) if name != boxes[0] and shapes[name][:2] == shapes[boxes[0]][:2]]
    if len(logits) != 1 or float(evidence.outputs[logits[0]].min()) >= 0:
        return ()
    found = _choices(boxes[0], logits[0], queries)
    return tuple(replace(each, labels=_names(each.layout.outputs, shapes[logits[0]][2])) for each in found)


def _choices(boxes: str, logits: str, queries: int) -> list[Reading]:
    outputs = OutputLayout(
        columns=((boxes, ("box",)), (logits, ("classes",))),
        box="cxcywh",
        unit="fractions",
        activation="sigmoid",
        keep=300,
    )
    rf = (boxes, logits) == ("dets", "labels")
    layout = FileLayout(family="RF-DETR" if rf else "DETR with a sigmoid", outputs=outputs, pixels=IMAGENET)
    reasons = (f"{boxes} and {logits} are boxes and logits of {queries} queries", f"{logits} has numbers below 0")
    softmax = replace(outputs, activation="softmax", background="last")
    found = [Reading(layout=layout, reasons=reasons, pixels_known=rf, fit_known=rf, strength=1 if rf else 2)]
    if not rf:
        family = replace(layout, family="DETR with a softmax", outputs=softmax)
        found.append(Reading(layout=family, reasons=reasons, pixels_known=False, fit_known=False))
    return found


def _names(outputs: OutputLayout, columns: int) -> tuple[str | None, ...]:
    """COCO's, of a head of its ids from 0 to 90."""
    classes = columns - (outputs.background != "none")
    return COCO_91 if classes == len(COCO_91) else ()


CONVENTION = Convention(name="detr", readings=_readings)
