"""BlazeFace of MediaPipe: codes [B, 896, 16] and scores [B, 896, 1] of priors, or one of each for a stride.

The first 4 numbers of a code are the box, the others landmarks. The priors are not in the file: 2 for each of 16x16
cells and 6 for each of 8x8, and 1 for each of 48x48 in the full-range models; their sides are those of the canvas.
Source: MediaPipe, mediapipe/modules/face_detection/face_detection_short_range.pbtxt and face_detection_full_range.pbtxt
(ssd_anchors_calculator with fixed_anchor_size, sigmoid of scores, NonMaxSuppressionCalculator WEIGHTED with 0.3); input
-1..1, fitted with borders.
"""

from paretodet.layouts.layout import FileLayout, Normalization, OutputLayout, Reading
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence

LEVELS = {128: ((8, 2), (16, 6)), 256: ((16, 2), (32, 6)), 192: ((4, 1),)}  # by the canvas, px: stride, priors a cell
WIDTH = 16  # of a code: a box and 6 landmarks
SIGNED_UNIT = Normalization(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    side = evidence.width
    codes, scores = _with_width(evidence, WIDTH), _with_width(evidence, 1)
    if evidence.height != side or side not in LEVELS or len(codes) + len(scores) != len(evidence.outputs):
        return ()
    expected = [(side // stride) ** 2 * count for stride, count in LEVELS[side]]
    rows = [[evidence.shapes[name][1] for name in names] for names in (codes, scores)]
    if rows not in ([[sum(expected)]] * 2, [expected] * 2):
        return ()
    outputs = OutputLayout(
        columns=(*((name, ("box", "other")) for name in codes), *((name, ("classes",)) for name in scores)),
        coding="linear",
        strides=tuple(stride for stride, _ in LEVELS[side]),
        priors=tuple((float(side),) * count for _, count in LEVELS[side]),
        variances=(1 / side, 1 / side),
        activation="sigmoid",
        suppressed=False,
        threshold=0.5,
        overlap=0.3,
        merge="weighted",
    )
    layout = FileLayout(
        family="BlazeFace", outputs=outputs, pixels=SIGNED_UNIT, fit="letterbox", fill=0, sampling="opencv"
    )
    reason = f"codes of {WIDTH} numbers and scores of {sum(expected)} priors on a canvas of {side}x{side}"
    return (Reading(layout=layout, reasons=(reason,), strength=1, labels=("face",)),)


def _with_width(evidence: Evidence, width: int) -> list[str]:
    """The outputs [B, N, width], those of most rows first."""
    names = [name for name in evidence.rank(3) if evidence.shapes[name][2] == width]
    return sorted(names, key=lambda name: -evidence.shapes[name][1])


CONVENTION = Convention(name="blazeface", readings=_readings)
