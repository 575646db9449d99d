"""Boxes [B, N, 4] and scores [B, N, K] of every cell as two outputs: YOLO-NAS, and the face detector Ultra-Light.

Ultra-Light's scores add to 1, the first is of background; its boxes are fractions, or codes of priors in the files
without post-processing. pytorch-ssd, which it is based on and jetson-inference trains, has such scores of any classes,
for the priors of an SSD on a MobileNet: six for each cell of strides 16 to 512.

Others have no B (YOLOv3 of ultralytics in 2020), scores [B, K, N] (PaddleDetection without its suppression), or boxes
[B, N, 1, 4]: so pytorch-YOLOv4 writes `boxes`, corners as fractions of a canvas to which its demos stretch images of
0..1, and `confs`. Sources: tool/yolo_layer.py of Tianxiaomo/pytorch-YOLOv4; of qfgaohao/pytorch-ssd
vision/ssd/config/mobilenetv1_ssd_config.py and vision/ssd/ssd.py.
"""

from dataclasses import dataclass, replace

from paretodet.layouts.layout import BoxForm, FileLayout, Normalization, OutputLayout, Reading, Unit
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence

LEAST = 301  # rows: those of detectors with queries are fewer
ULTRA_LIGHT = Normalization(mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))
STRIDES = (8, 16, 32, 64)
PRIORS = ((10.0, 16.0, 24.0), (32.0, 48.0), (64.0, 96.0), (128.0, 192.0, 256.0))  # of Ultra-Light, px
SSD_STRIDES, SSD_PRIORS = (16, 32, 64, 128, 256, 512), 6  # of pytorch-ssd on a MobileNet
UNITS: tuple[Unit, ...] = ("pixels", "fractions")


@dataclass(frozen=True)
class _Pair:
    """The two outputs; `turned` if the scores are [B, K, N]; `single` if the boxes are [B, N, 1, 4]."""

    boxes: str
    scores: str
    rows: int
    classes: int
    turned: bool
    single: bool


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    pair = _pair(evidence)
    if pair is None:
        return ()
    columns = ((pair.boxes, ("box",)), (pair.scores, ("classes",)))
    outputs = OutputLayout(columns=columns, transposed=pair.turned, suppressed=False)
    reason = f"{pair.boxes} and {pair.scores} are boxes and {pair.classes} scores of {pair.rows} cells"
    if not pair.turned and pair.classes > 1 and _shares(evidence, pair.scores):
        if pair.rows == _ssd_rows(evidence):
            return (_ssd(outputs, f"{reason}, which add to 1, as many as the priors of pytorch-ssd"),)
        if pair.classes in (2, 3):
            return _faces(evidence, outputs, f"{reason}, which add to 1")
    if pair.single:
        return (_yolo_v4(outputs, f"{reason}; each box stands alone in a dimension, as of pytorch-YOLOv4"),)
    return tuple(_yolo_nas(outputs, reason, known="graph" in pair.boxes))


def _pair(evidence: Evidence) -> _Pair | None:
    """The only boxes and the only scores of as many rows; None if there are others."""
    shapes = evidence.shapes
    single = [name for name in evidence.rank(4) if shapes[name][1] >= LEAST and shapes[name][2:] == (1, 4)]
    plain = [name for name in evidence.rank(2, 3) if shapes[name][-1] == 4 and shapes[name][-2] >= LEAST]
    if len(boxes := [*single, *plain]) != 1:
        return None
    rows = shapes[boxes[0]][1 if single else -2]
    rank = 2 if len(shapes[boxes[0]]) == 2 else 3
    scores = [name for name in evidence.rank(rank) if name != boxes[0]]
    if len(scores) != 1 or rows not in shapes[scores[0]][-2:]:
        return None
    first, second = shapes[scores[0]][-2:]
    turned = first != rows
    if turned and rank == 2:
        return None
    return _Pair(boxes[0], scores[0], rows, first if turned else second, turned, bool(single))


def _shares(evidence: Evidence, scores: str) -> bool:
    """Whether the scores of each row add to 1."""
    total = evidence.outputs[scores].float().sum(dim=-1)
    return bool(((total - 1).abs() < 1e-3).float().mean() > 0.99)


def _ssd_rows(evidence: Evidence) -> int:
    cells = (-(-evidence.height // stride) * -(-evidence.width // stride) for stride in SSD_STRIDES)
    return SSD_PRIORS * sum(cells)


def _ssd(outputs: OutputLayout, reason: str) -> Reading:
    outputs = replace(outputs, unit="fractions", background="first", overlap=0.45)
    layout = FileLayout(family="SSD of pytorch-ssd", outputs=outputs, pixels=ULTRA_LIGHT, sampling="opencv")
    return Reading(layout=layout, reasons=(reason,), strength=1)


def _yolo_v4(outputs: OutputLayout, reason: str) -> Reading:
    outputs = replace(outputs, unit="fractions", overlap=0.6)
    layout = FileLayout(family="pytorch-YOLOv4", outputs=outputs, sampling="opencv")
    return Reading(layout=layout, reasons=(reason,))


def _faces(evidence: Evidence, outputs: OutputLayout, reason: str) -> tuple[Reading, ...]:
    boxes, scores = (name for name, _ in outputs.columns)
    outputs = replace(outputs, background="first", overlap=0.3)
    decoded = replace(outputs, unit="fractions")
    coded = replace(outputs, coding="priors", strides=STRIDES, priors=PRIORS)
    layout = FileLayout(family="Ultra-Light face detector", outputs=outputs, pixels=ULTRA_LIGHT, sampling="opencv")
    choices, tail = [decoded, coded], evidence.graph.tail(boxes)
    if evidence.graph.has_layers:
        choices, reason = ([decoded], f"{reason}; decoded (Exp)") if "Exp" in tail else ([coded], f"{reason}; no Exp")
    labels = ("face",) if evidence.shapes[scores][-1] == 2 else ()
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
            fit_known=known,
        )
        for unit in UNITS
        for form in forms
    ]


CONVENTION = Convention(name="dense-pairs", readings=_readings)
