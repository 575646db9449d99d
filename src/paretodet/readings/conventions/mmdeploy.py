"""MMDeploy: `dets` [B, N, 5] of a box and its score, and `labels` [B, N].

The file does not say how pixels are scaled, nor how images are fitted.
"""

from dataclasses import replace

from paretodet.layouts.layout import FileLayout, OutputLayout, Reading
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import CAPACITY, Evidence


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
    choices = {True: outputs, False: replace(outputs, suppressed=False, keep=CAPACITY)}
    layout = FileLayout(family="MMDeploy", outputs=outputs, fit="letterbox-corner")
    reason = f"{rows[0]} has a box and a score for each of {count} detections, {labels[0]} their labels"
    strength = 1 if {rows[0], labels[0]} == {"dets", "labels"} else 2
    return tuple(
        Reading(
            layout=replace(layout, outputs=choices[finished]),
            reasons=(reason,),
            strength=strength,
            pixels_known=False,
            fit_known=False,
        )
        for finished in evidence.finished(shapes[rows[0]][-2], rows[0])
    )


CONVENTION = Convention(name="mmdeploy", readings=_readings)
