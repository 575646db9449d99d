"""Raw maps of a YOLO with anchors: one output for each stride, [B, A, H, W, 5 + K] or [B, A * (5 + K), H, W].

So Ultralytics' YOLOv5 and YOLOv7 return them where the decoding is left out. The anchors, which decide every box, are
not in such a file, and its numbers look alike whatever they are: it is refused with a layout that has a place for them.
"""

from dataclasses import dataclass

from paretodet.layouts.layout import FileLayout, OutputLayout, Reading
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence

USUAL = 3  # anchors of a cell
LEAST = 6  # columns: a box, objectness and one class
TO_FILL_IN = (0.0, 0.0)
KNOWN = (  # anchors trained on COCO, for whoever has such a file
    "YOLOv5 at 640: [[[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], "
    "[[116, 90], [156, 198], [373, 326]]]",
    "YOLOv7 at 640: [[[12, 16], [19, 36], [40, 28]], [[36, 75], [76, 55], [72, 146]], "
    "[[142, 110], [192, 243], [459, 401]]]",
)


@dataclass(frozen=True)
class _Map:
    """An output: its stride, how many anchors a cell has, and how many columns an anchor."""

    name: str
    stride: int
    anchors: int
    columns: int


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    maps = [_map(evidence, name) for name in evidence.outputs]
    found = [each for each in maps if each is not None]
    if len(found) < len(maps) or len({each.stride for each in found}) < max(2, len(found)):
        return ()
    if len({(each.anchors, each.columns) for each in found}) > 1:
        return ()
    anchors, columns = found[0].anchors, found[0].columns
    strides = tuple(each.stride for each in found)
    outputs = OutputLayout(
        columns=tuple((each.name, ("box", "objectness", "classes")) for each in found),
        coding="anchors",
        strides=strides,
        anchors=((TO_FILL_IN,) * anchors,) * len(found),
        offset=0.0,
        activation="none" if _activated(evidence) else "sigmoid",
        suppressed=False,
    )
    layout = FileLayout(family="YOLOv5 or v7, raw", outputs=outputs, fit="letterbox", sampling="opencv")
    reasons = (
        f"its outputs are maps of strides {strides}, with {anchors} anchors a cell if each has {columns} columns: "
        f"a box, objectness and {columns - 5} classes",
        "put width and height of every anchor, in px and in the order of strides, into `anchors` below: the model's "
        ".yaml has them",
        *KNOWN,
        'coding = "darknet" is for YOLOv2 and v3, whose boxes are e to the power of a number times an anchor',
    )
    lacks = f"raw maps of strides {strides}, whose anchors are not in the file"
    return (Reading(layout=layout, reasons=reasons, lacks=lacks),)


def _map(evidence: Evidence, name: str) -> _Map | None:
    """None if an output is no such map."""
    shape = evidence.shapes[name]
    if len(shape) == 4 and shape[1] % USUAL == 0 and shape[1] >= USUAL * LEAST:
        stride = evidence.stride(shape[2:])
        return _Map(name, stride, USUAL, shape[1] // USUAL) if stride else None
    if len(shape) != 5 or shape[4] < LEAST:
        return None
    for cells, anchors in ((shape[2:4], shape[1]), (shape[1:3], shape[3])):
        if stride := evidence.stride(cells):
            return _Map(name, stride, anchors, shape[4])
    return None


def _activated(evidence: Evidence) -> bool:
    """Whether the sigmoid is in the file."""
    return all(bool((output >= 0).all()) and bool((output <= 1).all()) for output in evidence.outputs.values())


CONVENTION = Convention(name="raw-yolo", readings=_readings)
