"""YOLO's rows without metadata: [B, N, 5 + K] with objectness (v5, v6, v7, YOLOX) or [B, 4 + K, N] (v8 and later).

Some exporters turn the latter into [B, N, 4 + K]. A file whose graph has a softmax, as the distributions of v8's boxes
need, or has no layers, is read as either, and the numbers tell which it is; the 80 classes of COCO tell it too.
Anchors, of which a cell has three, come with an objectness as a rule: such rows have one unless the numbers contradict.
The maps that rows are decoded from may stand beside them.

N is the number of cells, or of anchors. The box is center and size in pixels, or, of a YOLOX exported without its
decoding, offsets from the cells. YOLOX reads BGR 0..255 since its version 0.1.1, before it RGB with mean and std: a
file that finds objects on pixels of 0..1 was trained on normalized ones. YOLOv6 reads RGB 0..1 and always decodes: its
head of 2022 has YOLOX's rows and an objectness, later ones have 1 there. Its files call their input "image_arrays".
"""

from dataclasses import replace

from paretodet.layouts.layout import BGR_BYTES, IMAGENET, FileLayout, OutputLayout, Reading, Unit
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence, Pyramid

UNITS: tuple[Unit, ...] = ("pixels", "fractions")
COCO = 80  # classes, so that 84 columns are a box and classes, and 85 have an objectness too
YOLOV6 = "image_arrays"  # the input of its files
NORMALIZED = 0.3  # a score on pixels of 0..1: of files for BGR 0..255 it is below 0.1


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    names = evidence.rank(3)
    if len(names) != 1:
        return ()
    (name,) = names
    _, first, second = evidence.shapes[name]
    if second >= 5 and (pyramid := evidence.cells(first, name)) and _maps_are_its(evidence, pyramid):
        turned = _without(evidence, name, pyramid, transposed=False) if _may_lack_objectness(evidence, name) else []
        plain = second == 4 + COCO and pyramid.per_cell == 1
        found = _with_objectness(evidence, name, pyramid) if second >= 6 and not plain else []
        return (*found, *turned)
    if first >= 5 and (pyramid := evidence.cells(second, name)) and _maps_are_its(evidence, pyramid):
        anchored = first >= 6 and pyramid.per_cell > 1
        found = _with_objectness(evidence, name, pyramid, transposed=True) if anchored else []
        return (*found, *_without(evidence, name, pyramid, transposed=True))
    return ()


def _maps_are_its(evidence: Evidence, pyramid: Pyramid) -> bool:
    """Whether the maps beside the rows are those that the rows are decoded from, one for each stride."""
    strides = [evidence.stride(evidence.shapes[name][2:]) for name in evidence.rank(4)]
    return not strides or sorted(strides) == sorted(pyramid.strides)


def _may_lack_objectness(evidence: Evidence, name: str) -> bool:
    """Whether the columns behind the box may all be classes."""
    columns = evidence.shapes[name][2]
    if columns in (4 + COCO, 5 + COCO):
        return columns == 4 + COCO
    plain = not bool((evidence.outputs[name][..., 4] == 1).all())
    return plain and ("Softmax" in evidence.graph.operators or not evidence.graph.has_layers)


def _with_objectness(evidence: Evidence, name: str, pyramid: Pyramid, *, transposed: bool = False) -> list[Reading]:
    first, second = evidence.shapes[name][1:]
    rows, columns = (second, first) if transposed else (first, second)
    reasons = [f"{name} has {rows} rows, {pyramid.per_cell} for each cell of strides {pyramid.strides}"]
    reasons.append(f"{columns} columns are a box, objectness and {columns - 5} classes")
    free = pyramid.per_cell == 1
    v6 = free and (evidence.image == YOLOV6 or bool((evidence.outputs[name][..., 4] == 1).all()))
    outputs = OutputLayout(
        columns=((name, ("box", "objectness", "classes")),),
        transposed=transposed,
        box="cxcywh",
        strides=pyramid.strides,
        suppressed=False,
    )
    if free and not v6:
        before = _normalized(evidence, name)
        layout = FileLayout(
            family="YOLOX before 0.1.1" if before else "YOLOX",
            outputs=outputs,
            pixels=IMAGENET if before else BGR_BYTES,
            fit="letterbox-corner",
            sampling="opencv",
        )
    else:
        layout = FileLayout(
            family="YOLOv6" if v6 else "YOLOv5 or v7", outputs=outputs, fit="letterbox", sampling="opencv"
        )
    codable = free and not v6
    decodes = "Exp" in evidence.graph.tail(name) or not evidence.graph.has_layers or not codable
    raw = replace(outputs, coding="grid", offset=0.0)
    choices = [replace(outputs, unit=unit) for unit in UNITS] if decodes else []
    choices += [raw] if codable and not (decodes and evidence.graph.has_layers) else []
    if evidence.graph.has_layers and codable:
        reasons.append("the graph decodes boxes (Exp)" if decodes else "the graph does not decode boxes (no Exp)")
    return [Reading(layout=replace(layout, outputs=choice), reasons=tuple(reasons)) for choice in choices]


def _normalized(evidence: Evidence, name: str) -> bool:
    """Whether objects are found on the pixels that the outputs were made from, 0..1."""
    rows = evidence.outputs[name].float()
    scores = rows[..., 4] * rows[..., 5:].amax(dim=2)
    inside = bool((rows[..., 4:] >= 0).all()) and bool((rows[..., 4:] <= 1).all())
    return not evidence.bytes_in and inside and float(scores.max()) > NORMALIZED


def _without(evidence: Evidence, name: str, pyramid: Pyramid, *, transposed: bool) -> list[Reading]:
    _, first, second = evidence.shapes[name]
    columns, rows = (first, second) if transposed else (second, first)
    reasons = (
        f"{name} has {rows} rows, {pyramid.per_cell} for each cell of strides {pyramid.strides}",
        f"{columns} columns are a box and {columns - 4} classes",
    )
    outputs = OutputLayout(
        columns=((name, ("box", "classes")),),
        transposed=transposed,
        box="cxcywh",
        strides=pyramid.strides,
        suppressed=False,
    )
    layout = FileLayout(family="YOLOv8 or later", outputs=outputs, fit="letterbox", sampling="opencv")
    units = UNITS if transposed or columns == 4 + COCO else UNITS[:1]
    layouts = [replace(layout, outputs=replace(outputs, unit=unit)) for unit in units]
    usual = transposed and pyramid.per_cell == 1
    return [Reading(layout=each, reasons=reasons, strength=2 if usual else 3) for each in layouts]


CONVENTION = Convention(name="yolo-rows", readings=_readings)
