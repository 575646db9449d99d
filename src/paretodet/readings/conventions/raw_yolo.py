"""Raw maps of a YOLO with anchors: one output for each stride, [B, A, H, W, 5 + K] or [B, A * (5 + K), H, W].

So Ultralytics' YOLOv5 and YOLOv7 return them where the decoding is left out, and conversions of darknet's YOLOv3 and
v4. YOLOv2, and Custom Vision's compact domain, which is one, have one map of stride 32 with five anchors. The anchors,
which decide every box, are not in such a file, and its numbers look alike whatever they are: it is refused with a
layout that has a place for them.
"""

from dataclasses import dataclass

from paretodet.layouts.layout import FileLayout, OutputLayout, Reading
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence

USUAL = 3  # anchors of a cell
OF_V2, STRIDE_OF_V2 = 5, 32
LOW = 0.9  # of the cells hold no object, so that their objectness is below 0
LEAST = 6  # columns: a box, objectness and one class
TO_FILL_IN = (0.0, 0.0)
KNOWN = (  # anchors trained on COCO, for whoever has such a file
    "YOLOv5 at 640: [[[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], "
    "[[116, 90], [156, 198], [373, 326]]]",
    "YOLOv7 at 640: [[[12, 16], [19, 36], [40, 28]], [[36, 75], [76, 55], [72, 146]], "
    "[[142, 110], [192, 243], [459, 401]]]",
    "YOLOv4 at 608: those of YOLOv7",
)
KNOWN_OF_V2 = (
    "YOLOv2 of COCO, and Custom Vision: [[[18.33, 21.68], [59.98, 66.0], [106.83, 175.18], [252.25, 112.89], "
    "[312.66, 293.38]]]",
    "YOLOv2-tiny of Pascal VOC: [[[34.56, 38.08], [109.44, 141.12], [212.16, 364.16], [301.44, 163.52], "
    "[531.84, 336.64]]]",
)


@dataclass(frozen=True)
class _Map:
    """An output: its stride, how many anchors a cell has, and how many columns an anchor."""

    name: str
    stride: int
    anchors: int
    columns: int


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    if (only := _map_of_v2(evidence)) is not None:
        return (_of_v2(only),)
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
        'coding = "darknet" is for YOLOv3 and v4, whose boxes are e to the power of a number times an anchor; with it',
        "scale_xy = [1.2, 1.1, 1.05] is for YOLOv4: the scale_x_y of its cfg for strides 8, 16 and 32",
    )
    lacks = f"raw maps of strides {strides}, whose anchors are not in the file"
    return (Reading(layout=layout, reasons=reasons, lacks=lacks),)


def _map_of_v2(evidence: Evidence) -> _Map | None:
    """The only output, if it is a map of five anchors, most of which have a low objectness."""
    if len(evidence.outputs) != 1:
        return None
    ((name, shape),) = evidence.shapes.items()
    if len(shape) != 4 or shape[1] % OF_V2 or shape[1] < OF_V2 * LEAST or evidence.stride(shape[2:]) != STRIDE_OF_V2:
        return None
    columns = shape[1] // OF_V2
    low = evidence.outputs[name].float()[:, 4::columns] < 0
    return _Map(name, STRIDE_OF_V2, OF_V2, columns) if float(low.float().mean()) >= LOW else None


def _of_v2(only: _Map) -> Reading:
    outputs = OutputLayout(
        columns=((only.name, ("box", "objectness", "classes")),),
        coding="darknet",
        strides=(only.stride,),
        anchors=((TO_FILL_IN,) * only.anchors,),
        offset=0.0,
        activation="softmax",
        suppressed=False,
        overlap=0.45,
    )
    reasons = (
        f"{only.name} is a map of stride {only.stride}, with {only.anchors} anchors a cell if each has "
        f"{only.columns} columns: a box, objectness and {only.columns - 5} classes",
        "put width and height of every anchor, in px, into `anchors` below: those of a cfg times 32",
        *KNOWN_OF_V2,
    )
    lacks = f"a raw map of YOLOv2 of stride {only.stride}, whose anchors are not in the file"
    return Reading(layout=FileLayout(family="YOLOv2, raw", outputs=outputs), reasons=reasons, lacks=lacks)


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
