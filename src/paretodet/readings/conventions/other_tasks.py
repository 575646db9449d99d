"""Files of another task, which are named as such: classification, segmentation, text and heat maps."""

from paretodet.errors import InputError
from paretodet.layouts.layout import Reading
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence

MASKS = 32  # channels of the prototypes of YOLO's masks


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    if task := _task(evidence):
        raise InputError(f"{evidence.path}: is of another task, {task} (outputs: {evidence.described})", "onnx-task")
    return ()


def _task(evidence: Evidence) -> str | None:
    shapes = list(evidence.shapes.values())
    if any(len(shape) == 4 and shape[1] == MASKS for shape in shapes) and any(len(shape) == 3 for shape in shapes):
        return "instance segmentation: one output has prototypes of masks"
    if len(shapes) != 1:
        return None
    (shape,) = shapes
    if len(shape) == 2 and shape[0] == 1 and shape[1] > 7:
        return f"classification or embedding: one row of {shape[1]} numbers for an image"
    if len(shape) != 4:
        return None
    sides = (evidence.height, evidence.width)
    maps = (sides, (-(-sides[0] // 4), -(-sides[1] // 4)))
    channels = shape[1] if shape[2:] in maps else shape[3] if shape[1:3] in maps else None
    known = {1: "segmentation: a map of one channel, as of text detection", 3: "an image in place of boxes"}
    return None if channels is None else known.get(channels, f"segmentation: a map of {channels} channels")


CONVENTION = Convention(name="other-tasks", readings=_readings)
