"""Exports of Ultralytics (YOLOv5, v8 to 26, RT-DETR): the metadata has `names`, `stride` and, since v8, `task`.

YOLOv5's has no `task`, and that of YOLOv9's own code, which was made of it, may have both of its branches as outputs.
Others write `names` too: these alone say nothing of pixels and outputs.
Source: the documentation of its exports and of `autobackend`'s metadata; YOLOv5's `export.py --include onnx`; of YOLOv9
`DualDDetect` in models/yolo.py, and detect_dual.py, which takes the second branch.
"""

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from paretodet.layouts.layout import FileLayout, OutputLayout, Reading, Unit
from paretodet.readings.convention import Convention
from paretodet.readings.conventions.other_tasks import NO_WAY, boxes_alone, check_task, other_task
from paretodet.readings.evidence import MOST, Evidence
from paretodet.readings.onnx_graph import INFO
from paretodet.readings.tflite_graph import LITERT

TASKS = {
    "segment": "instance segmentation",
    "pose": "pose estimation",
    "obb": "oriented boxes",
    "classify": "classification",
}
MARKS = ("stride", "imgsz", "end2end", f"{INFO}.model_type")  # beside `names`
DETECTION = ("detect", "detection", "object detection")
WITH_BOXES = ("segment", "pose")
QUERIES = 300  # of its RT-DETR
UNITS: tuple[Unit, ...] = ("pixels", "fractions")  # the latter in most LiteRT files


def is_its_own(metadata: Mapping[str, str]) -> bool:
    """Whether metadata are those of an export of Ultralytics."""
    own_task = metadata.get("task") in (DETECTION[0], *TASKS)
    return "names" in metadata and (own_task or any(mark in metadata for mark in MARKS))


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    if not is_its_own(evidence.metadata):
        return ()
    task = evidence.metadata.get("task", "detect")
    if re.sub("[-_]", " ", task.lower()) not in DETECTION:
        what = f"{TASKS.get(task, task)} as its metadata states (task: {task})"
        raise other_task(evidence, what, boxes_alone(evidence) if task in WITH_BOXES else NO_WAY)
    labels = _labels(evidence)
    name = next(iter(evidence.rank(3)), None)
    if name is None:
        return ()
    choices = _choices(evidence, name, len(labels))
    if not choices:
        check_task(evidence)  # YOLOv5 does not state it
    if not choices and "stride" in evidence.metadata:
        why = f"its metadata names {len(labels)} classes, and {name} {list(evidence.shapes[name])} has not as many"
        raise evidence.refusal(why, "onnx-contradicted")
    keys = ", ".join(key for key in ("description", "task", "names", "stride", "end2end") if key in evidence.metadata)
    reason = f"its metadata has {keys}; {name} has {list(evidence.shapes[name])} for {len(labels)} classes"
    lacks = _twice(evidence, name)
    return tuple(
        Reading(layout=_layout(evidence, outputs), reasons=(reason,), labels=labels, strength=0, lacks=lacks)
        for outputs in choices
    )


def _twice(evidence: Evidence, name: str) -> str:
    """What is left open if outputs of one shape may each be the detections; empty if there is one."""
    same = [each for each in evidence.rank(3) if evidence.shapes[each] == evidence.shapes[name]]
    if len(same) == 1:
        return ""
    branches = f"detections of {len(same)} branches, {' and '.join(same)}"
    return f"{branches}: state one of them in a layout (of YOLOv9, the last was made to be used)"


def _layout(evidence: Evidence, outputs: OutputLayout) -> FileLayout:
    fit = "stretch" if outputs.suppressed and "classes" in outputs.words else "letterbox"
    return FileLayout(family=_family(evidence, outputs), outputs=outputs, fit=fit, sampling="opencv")


def _choices(evidence: Evidence, name: str, classes: int) -> list[OutputLayout]:
    """Finished rows have the shape of RT-DETR's if there are two classes, and may have that of YOLOv5's if there is
    one: the numbers tell them apart.
    """
    _, first, second = evidence.shapes[name]
    finished = evidence.metadata.get("end2end") == "True" or evidence.suppresses()
    dense = evidence.cells(first, name) is not None and not finished
    plain, with_objectness = ((name, ("box", "classes")),), ((name, ("box", "objectness", "classes")),)
    found, queries = list[OutputLayout](), (first, second) == (QUERIES, 4 + classes)
    if second == 6 and (first <= MOST or not dense):
        found.append(OutputLayout(columns=((name, ("box", "score", "label")),), keep=evidence.capacity(name)))
    if first == 4 + classes:
        found.append(OutputLayout(columns=plain, transposed=True, box="cxcywh", suppressed=False))
    if second == 5 + classes and (dense or not (found or queries)):
        found.append(OutputLayout(columns=with_objectness, box="cxcywh", suppressed=False))
    units = UNITS if evidence.graph.producer == LITERT else UNITS[:1]
    detr = OutputLayout(columns=plain, box="cxcywh", unit="fractions", keep=first)
    return [*(replace(each, unit=unit) for each in found for unit in units), *([detr] if queries else [])]


def _family(evidence: Evidence, outputs: OutputLayout) -> str:
    description = evidence.metadata.get("description", "")
    named = next((word for word in description.split() if "yolo" in word.lower() or "detr" in word.lower()), "")
    return f"Ultralytics {named or ('YOLOv5' if 'objectness' in outputs.words else 'YOLO')}"


def canvas(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """The (height, width) that metadata state; None if they state none."""
    try:
        sides = ast.literal_eval(metadata.get("imgsz", ""))
        height, width = (sides, sides) if isinstance(sides, int) else sides
        return (int(height), int(width)) if min(height, width) > 0 else None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _labels(evidence: Evidence) -> tuple[str, ...]:
    if not (names := stated_names(evidence.metadata)):
        raise evidence.refusal("metadata names: is not a list of class names", "onnx-layout")
    return names


def stated_names(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the classes that metadata state; none if they cannot be read."""
    try:
        names = ast.literal_eval(metadata.get("names", ""))
        pairs: Iterable[tuple[Any, Any]] = names.items() if isinstance(names, dict) else enumerate(names)
        by_number = {int(number): str(name) for number, name in pairs}
        return tuple(by_number[number] for number in range(len(by_number)))
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
        return ()


CONVENTION = Convention(name="ultralytics", readings=_readings)
