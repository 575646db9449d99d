"""FastestDet: one map [B, 5 + K, H, W] of objectness, a box and K classes for each cell of stride 16.

Source: the repository dog-qiuqiu/FastestDet, example/onnx-runtime.
"""

from paretodet.layouts.layout import FileLayout, Normalization, OutputLayout, Reading
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence

STRIDE = 16


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    names = evidence.rank(4)
    if len(names) != len(evidence.outputs) or len(names) != 1:
        return ()
    (name,) = names
    _, channels, rows, columns = evidence.shapes[name]
    ends = evidence.graph.tail(name)
    if (rows, columns) != (evidence.height // STRIDE, evidence.width // STRIDE) or not {"Sigmoid", "Softmax"} <= ends:
        return ()
    outputs = OutputLayout(
        columns=((name, ("objectness", "box", "classes")),),
        coding="tanh",
        strides=(STRIDE,),
        offset=0.0,
        objectness="powers",
        suppressed=False,
        overlap=0.45,
    )
    layout = FileLayout(family="FastestDet", outputs=outputs, pixels=Normalization(channels="bgr"))
    reason = f"{name} is a map of {channels} channels with a sigmoid and a softmax, {columns}x{rows} cells of stride 16"
    return (Reading(layout=layout, reasons=(reason,), strength=1),)


CONVENTION = Convention(name="fastestdet", readings=_readings)
