"""MMDeploy: `dets` [B, N, 5] of a box and its score, and `labels` [B, N].

The file does not say how pixels are scaled.
"""

from paretodet.layouts.layout import UNIT_RANGE, FileLayout, OutputLayout, Reading
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    shapes = evidence.shapes
    rows = [name for name in evidence.rank(2, 3) if shapes[name][-1] == 5]
    if len(rows) != 1:
        return ()
    labels = [name for name in shapes if shapes[name] == shapes[rows[0]][:-1]]
    if len(labels) != 1:
        return ()
    count = evidence.capacity(rows[0])
    outputs = OutputLayout(columns=((rows[0], ("box", "score")), (labels[0], ("label",))), keep=count)
    inner = evidence.inner_pixels()
    layout = FileLayout(family="MMDeploy", outputs=outputs, pixels=inner or UNIT_RANGE, fit="letterbox-corner")
    reason = f"{rows[0]} has a box and a score for each of {count} detections, {labels[0]} their labels"
    strength = 1 if {rows[0], labels[0]} == {"dets", "labels"} else 2
    return (Reading(layout=layout, reasons=(reason,), strength=strength, pixels_known=inner is not None),)


CONVENTION = Convention(name="mmdeploy", readings=_readings)
