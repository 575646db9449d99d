"""Rows of finished detections whose output states in its name what its columns are: `batchno_classid_score_x1y1x2y2`.

Source: the post-processing that PINTO0309's tools add to detectors. How the detector before it reads pixels is not
stated.
"""

from paretodet.layouts.layout import BoxForm, FileLayout, OutputLayout, Reading
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence

WORDS = {"batchno": "image", "batch": "image", "classid": "label", "class": "label", "score": "score"}
BOXES: dict[str, BoxForm] = {"x1y1x2y2": "xyxy", "y1x1y2x2": "yxyx", "cxcywh": "cxcywh", "xywh": "xywh"}


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    if len(evidence.outputs) != 1:
        return ()
    ((name, shape),) = evidence.shapes.items()
    parts = name.lower().split("_")
    forms = [BOXES[part] for part in parts if part in BOXES]
    words = tuple("box" if part in BOXES else WORDS.get(part, "") for part in parts)
    if len(forms) != 1 or not {"score", "label"} <= set(words) or "" in words or shape[-1] != len(words) + 3:
        return ()
    outputs = OutputLayout(columns=((name, words),), box=forms[0], keep=evidence.capacity(name))
    layout = FileLayout(family="rows stated by name", outputs=outputs, fit="letterbox-corner", sampling="opencv")
    reason = f"{name} states its columns: {', '.join(words)}"
    return (Reading(layout=layout, reasons=(reason,), strength=0, pixels_known=False),)


CONVENTION = Convention(name="stated-rows", readings=_readings)
