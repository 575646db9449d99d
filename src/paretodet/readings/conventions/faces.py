"""Face detectors with landmarks, which are not read.

YuNet has a set of outputs for each stride, and in its first version `loc`, `conf` and `iou` of priors; RetinaFace has
boxes, scores and landmarks of priors of three strides: the boxes are decoded, or codes of priors whose sides are not in
the file; SCRFD has scores and distances of two anchors a cell.
"""

from dataclasses import replace

from paretodet.layouts.layout import BGR_BYTES, FileLayout, Normalization, OutputLayout, Reading, Unit
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence

YUNET_STRIDES = (8, 16, 32)
YUNET_WORDS = {"cls": "classes", "obj": "objectness", "bbox": "box"}
RETINAFACE_STRIDES = (8, 16, 32)
RETINAFACE_PRIORS = ((16.0, 32.0), (64.0, 128.0), (256.0, 512.0))
UNITS: tuple[Unit, ...] = ("fractions", "pixels")
ALL_STRIDES = (8, 16, 32, 64)
YUNET_PRIORS = ((10.0, 16.0, 24.0), (32.0, 48.0), (64.0, 96.0), (128.0, 192.0, 256.0))
YUNET_VARIANCES = (0.1, 0.1, 0.2)  # OpenCV's decoding has one for widths and one for heights
SCRFD_PIXELS = Normalization(mean=(127.5, 127.5, 127.5), std=(128.0, 128.0, 128.0))
RETINAFACE_PIXELS = Normalization(channels="bgr", mean=(104.0, 117.0, 123.0), std=(1.0, 1.0, 1.0))


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    return _yunet(evidence) or _first_yunet(evidence) or _retinaface(evidence) or _scrfd(evidence)


def _yunet(evidence: Evidence) -> tuple[Reading, ...]:
    names = [f"{kind}_{stride}" for kind in YUNET_WORDS for stride in YUNET_STRIDES]
    if not set(names) <= evidence.outputs.keys():
        return ()
    columns = tuple((name, (YUNET_WORDS[name.partition("_")[0]],)) for name in names)
    outputs = OutputLayout(
        columns=columns,
        coding="grid",
        strides=YUNET_STRIDES,
        offset=0.0,
        objectness="geometric-mean",
        suppressed=False,
        overlap=0.3,
    )
    layout = FileLayout(
        family="YuNet face detector",
        outputs=outputs,
        pixels=BGR_BYTES,
        fit="letterbox-corner",
        fill=0,
        sampling="opencv",
    )
    reason = f"it has the outputs {', '.join(names)}"
    return (Reading(layout=layout, reasons=(reason,), strength=1, labels=("face",)),)


def _retinaface(evidence: Evidence) -> tuple[Reading, ...]:
    by_width = {shape[2]: name for name, shape in evidence.shapes.items() if len(shape) == 3}
    if len(evidence.outputs) != 3 or set(by_width) != {4, 2, 10}:
        return ()
    rows = evidence.shapes[by_width[4]][1]
    cells = sum(-(-evidence.height // s) * -(-evidence.width // s) for s in RETINAFACE_STRIDES)
    if rows != 2 * cells:
        return ()
    reason = f"outputs of 4, 2 and 10 columns have {rows} rows, 2 priors for each cell of strides {RETINAFACE_STRIDES}"
    columns = ((by_width[4], ("box",)), (by_width[2], ("classes",)))
    boxes = OutputLayout(columns=columns, background="first", suppressed=False, overlap=0.4)
    choices = [replace(boxes, coding="priors", strides=RETINAFACE_STRIDES, priors=RETINAFACE_PRIORS)]
    if "Exp" in evidence.graph.tail(by_width[4]):
        choices, reason = [replace(boxes, unit=unit) for unit in UNITS], f"{reason}; decoded (Exp)"
    return tuple(_of_retinaface(each, reason) for each in choices)


def _of_retinaface(outputs: OutputLayout, reason: str) -> Reading:
    layout = FileLayout(
        family="RetinaFace",
        outputs=outputs,
        pixels=RETINAFACE_PIXELS,
        fit="letterbox-corner",
        fill=0,
        sampling="opencv",
    )
    return Reading(layout=layout, reasons=(reason,), strength=1, labels=("face",), finds_faces=True)


def _first_yunet(evidence: Evidence) -> tuple[Reading, ...]:
    if {name: shape[-1] for name, shape in evidence.shapes.items()} != {"loc": 14, "conf": 2, "iou": 1}:
        return ()
    outputs = OutputLayout(
        columns=(("loc", ("box", "other")), ("conf", ("classes",)), ("iou", ("objectness",))),
        coding="priors",
        strides=ALL_STRIDES,
        priors=YUNET_PRIORS,
        cells="down",
        variances=YUNET_VARIANCES,
        background="first",
        objectness="geometric-mean",
        suppressed=False,
        overlap=0.3,
    )
    layout = FileLayout(
        family="YuNet face detector, first version", outputs=outputs, pixels=BGR_BYTES, sampling="opencv"
    )
    reason = "it has the outputs loc, conf and iou, of 14, 2 and 1 columns"
    return (Reading(layout=layout, reasons=(reason,), strength=1, labels=("face",)),)


def _scrfd(evidence: Evidence) -> tuple[Reading, ...]:
    """Outputs without a batch, the scores of all strides before their distances."""
    cells = [-(-evidence.height // s) * -(-evidence.width // s) for s in RETINAFACE_STRIDES]
    shapes = {name: shape[-2:] for name, shape in evidence.shapes.items()}
    scores, boxes = ([name for name, shape in shapes.items() if shape[-1] == width] for width in (1, 4))
    wanted = [2 * count for count in cells]
    if any([shapes[name][0] for name in names] != wanted for names in (scores, boxes)):
        return ()
    outputs = OutputLayout(
        columns=(*((name, ("classes",)) for name in scores), *((name, ("box",)) for name in boxes)),
        coding="distances",
        strides=RETINAFACE_STRIDES,
        offset=0.0,
        per_cell=2,
        suppressed=False,
        overlap=0.4,
    )
    layout = FileLayout(
        family="SCRFD", outputs=outputs, pixels=SCRFD_PIXELS, fit="letterbox-corner", fill=0, sampling="opencv"
    )
    reason = f"scores and distances of 2 anchors for each cell of strides {RETINAFACE_STRIDES}"
    return (Reading(layout=layout, reasons=(reason,), strength=1, labels=("face",)),)


CONVENTION = Convention(name="faces", readings=_readings)
