"""LiteRT files of float pixels that end in TFLite's own suppression, which writes boxes, classes, scores and a count.

A converter may put the outputs into another order and give them other names: the operator tells which is which. The
file does not say how float pixels are scaled. Source: detection_postprocess.cc of LiteRT.
"""

from paretodet.layouts.layout import FileLayout, Normalization, OutputLayout, Reading
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence
from paretodet.weights.formats.tflite import POSTPROCESS

USUAL = Normalization(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))  # of TensorFlow's, to be confirmed


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    written = [node.outputs for node in evidence.graph.nodes if node.operator == POSTPROCESS]
    if len(written) != 1 or len(written[0]) != 4 or set(written[0]) != set(evidence.outputs):
        return ()
    boxes, classes, scores, count = written[0]
    outputs = OutputLayout(
        columns=((boxes, ("box",)), (scores, ("score",)), (classes, ("label",)), (count, ("count",))),
        box="yxyx",
        unit="fractions",
        keep=evidence.capacity(boxes),
    )
    layout = FileLayout(family=POSTPROCESS, outputs=outputs, pixels=USUAL, sampling="tf1")
    reason = f"{POSTPROCESS} writes boxes into {boxes}, classes into {classes}, scores into {scores}"
    return (Reading(layout=layout, reasons=(reason,), strength=1, pixels_known=False),)


CONVENTION = Convention(name="tflite-postprocess", readings=_readings)
