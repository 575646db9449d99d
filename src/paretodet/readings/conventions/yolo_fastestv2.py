"""YOLO-FastestV2: boxes and objectness of 3 anchors, and classes that they share, for each cell of strides 16 and 32.

Three maps [B, 12, H, W], [B, 3, H, W] and [B, K, H, W] a stride, or one output [cells, 15 + K] to which sigmoid and
softmax are applied. The anchors are not in the file. For 80 classes they are those of COCO that the repository
publishes; a file of other classes was trained with its own, and is refused with a layout file to put them in.
Source: the repository dog-qiuqiu/Yolo-FastestV2, data/coco.data, utils/utils.py (handel_preds) and test.py.
"""

from dataclasses import dataclass

from paretodet.layouts.layout import Activation, FileLayout, Normalization, OutputLayout, Reading
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence

STRIDES = (16, 32)
ANCHORS = (
    ((12.64, 19.39), (37.88, 51.48), (55.71, 138.31)),
    ((126.91, 78.23), (131.57, 214.55), (279.92, 258.87)),
)
COUNT = 3  # anchors of a cell
CLASSES = 80  # of COCO
JOINED = (f"box*{4 * COUNT}", f"objectness*{COUNT}", "classes")
SIDE = 352  # px, of the canvas that the anchors are published for


@dataclass(frozen=True)
class _Head:
    """The columns of the outputs, how many classes there are, and what is left to apply."""

    columns: tuple[tuple[str, tuple[str, ...]], ...]
    classes: int
    activation: Activation


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    head = _maps(evidence) or _joined(evidence)
    if head is None:
        return ()
    if head.classes != CLASSES or (evidence.height, evidence.width) != (SIDE, SIDE):
        what = f"as of YOLO-FastestV2 of {head.classes} classes, whose anchors are not in the file"
        why = f"outputs: got {evidence.described}, {what}: state them in a layout (docs/layouts/yolo_fastestv2.toml)"
        raise evidence.refusal(why, "onnx-layout")
    outputs = OutputLayout(
        columns=head.columns,
        coding="anchors",
        strides=STRIDES,
        anchors=ANCHORS,
        offset=0.0,
        activation=head.activation,
        suppressed=False,
        overlap=0.4,
    )
    pixels = Normalization(channels="bgr")
    layout = FileLayout(family="YOLO-FastestV2", outputs=outputs, pixels=pixels, sampling="opencv")
    reason = f"{COUNT} boxes and {head.classes} classes for each cell of strides {STRIDES}, with the anchors of COCO"
    return (Reading(layout=layout, reasons=(reason,), strength=1),)


def _maps(evidence: Evidence) -> _Head | None:
    """Three maps a stride."""
    maps = evidence.rank(4)
    if len(maps) != 3 * len(STRIDES) or len(maps) != len(evidence.outputs):
        return None
    classes = {evidence.shapes[name][1] for name in maps[2::3]}
    expected = [
        (channels, evidence.height // stride, evidence.width // stride)
        for stride in STRIDES
        for channels in (4 * COUNT, COUNT, *classes)
    ]
    if len(classes) != 1 or [evidence.shapes[name][1:] for name in maps] != expected:
        return None
    columns = tuple((name, (JOINED[index % 3],)) for index, name in enumerate(maps))
    return _Head(columns, classes.pop(), "softmax")


def _joined(evidence: Evidence) -> _Head | None:
    """One output without a batch, with the sigmoid and the softmax in the graph."""
    names = evidence.rank(2)
    cells = sum((evidence.height // stride) * (evidence.width // stride) for stride in STRIDES)
    if len(names) != 1 or len(evidence.outputs) != 1 or evidence.shapes[names[0]][0] != cells:
        return None
    classes = evidence.shapes[names[0]][1] - 5 * COUNT
    if classes < 1 or not {"Sigmoid", "Softmax"} <= evidence.graph.tail(names[0]):
        return None
    return _Head(((names[0], JOINED),), classes, "none")


CONVENTION = Convention(name="yolo-fastestv2", readings=_readings)
