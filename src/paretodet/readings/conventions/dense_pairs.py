"""Boxes [B, N, 4] and scores [B, N, K] of every cell as two outputs: YOLO-NAS, and the face detector Ultra-Light.

Ultra-Light's scores add to 1, the first is of background; its boxes are fractions, or codes of priors in the files
without post-processing.
"""

from dataclasses import replace

from paretodet.layouts.layout import BoxForm, FileLayout, Normalization, OutputLayout, Reading, Unit
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence

LEAST = 301  # rows: those of detectors with queries are fewer
ULTRA_LIGHT = Normalization(mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))
STRIDES = (8, 16, 32, 64)
PRIORS = ((10.0, 16.0, 24.0), (32.0, 48.0), (64.0, 96.0), (128.0, 192.0, 256.0))  # of Ultra-Light, px
UNITS: tuple[Unit, ...] = ("pixels", "fractions")


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    shapes, names = evidence.shapes, evidence.rank(3)
    boxes = [name for name in names if shapes[name][2] == 4]
    if len(boxes) != 1 or len(names) != 2 or shapes[boxes[0]][1] < LEAST:
        return ()
    (scores,) = (name for name in names if name != boxes[0])
    if shapes[scores][1] != shapes[boxes[0]][1]:
        return ()
    columns = ((boxes[0], ("box",)), (scores, ("classes",)))
    outputs = OutputLayout(columns=columns, suppressed=False)
    reason = f"{boxes[0]} and {scores} are boxes and {shapes[scores][2]} scores of {shapes[scores][1]} cells"
    if shapes[scores][2] in (2, 3) and _shares(evidence, scores):
        return _faces(evidence, outputs, f"{reason}, which add to 1")
    return tuple(_yolo_nas(outputs, reason, known="graph" in boxes[0]))


def _shares(evidence: Evidence, scores: str) -> bool:
    """Whether the scores of each row add to 1."""
    total = evidence.outputs[scores].float().sum(dim=2)
    return bool(((total - 1).abs() < 1e-3).float().mean() > 0.99)


def _faces(evidence: Evidence, outputs: OutputLayout, reason: str) -> tuple[Reading, ...]:
    boxes, scores = (name for name, _ in outputs.columns)
    outputs = replace(outputs, background="first", overlap=0.3)
    decoded = replace(outputs, unit="fractions")
    coded = replace(outputs, coding="priors", strides=STRIDES, priors=PRIORS)
    layout = FileLayout(family="Ultra-Light face detector", outputs=outputs, pixels=ULTRA_LIGHT, sampling="opencv")
    choices, tail = [decoded, coded], evidence.graph.tail(boxes)
    if evidence.graph.has_layers:
        choices, reason = ([decoded], f"{reason}; decoded (Exp)") if "Exp" in tail else ([coded], f"{reason}; no Exp")
    labels = ("face",) if evidence.shapes[scores][2] == 2 else ()
    return tuple(
        Reading(layout=replace(layout, outputs=each), reasons=(reason,), strength=1, labels=labels) for each in choices
    )


def _yolo_nas(outputs: OutputLayout, reason: str, *, known: bool) -> list[Reading]:
    layout = FileLayout(family="YOLO-NAS" if known else "dense boxes and scores", outputs=outputs, fit="letterbox")
    forms: tuple[BoxForm, ...] = ("xyxy",) if known else ("xyxy", "cxcywh")
    return [
        Reading(
            layout=replace(layout, outputs=replace(outputs, unit=unit, box=form)),
            reasons=(reason,),
            strength=1 if known else 2,
            pixels_known=known,
        )
        for unit in UNITS
        for form in forms
    ]


CONVENTION = Convention(name="dense-pairs", readings=_readings)
