"""One output of finished detections: [B, N, 6], [N, 6], [N, 7] with the number of the image, SSD's [1, 1, N, 7]. A
second output may say how many of the rows are detections.

PaddleDetection's files (`scale_factor` is among their inputs) write [N, 6] with such a count. Where N is the number of
cells, or too large for finished detections, rows of 6 are those of all cells, each with its best class.

AutoML's EfficientDet writes [B, N, 7] with the number of the image too. Its boxes were x, y, width and height at first
and are y1, x1, y2, x2 since, which the file does not say: it is refused with the latter as the layout to correct.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from paretodet.layouts.decode import COUNTED
from paretodet.layouts.layout import WIDTHS, FileLayout, OutputLayout, Reading, Unit
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import CAPACITY, MOST, Evidence

PADDLE = ("label", "score", "box")
FACTOR = "scale_factor"  # an input of its files: by how much the image was resized
ORDERS = {
    ("box", "score", "label"): "end-to-end YOLO",
    ("box", "label", "score"): "rows with the label before the score",
    PADDLE: "PaddleDetection",
}
NUMBERED = {
    ("image", "box", "label", "score"): "YOLOv7 end-to-end",
    ("image", "box", "score", "label"): "YOLO-NAS in flat form",
}
UNITS: tuple[Unit, ...] = ("pixels", "fractions")


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    for name in evidence.outputs:
        others = [each for each in evidence.outputs if each != name]
        if not others:
            return tuple(_of_output(evidence, name))
        if len(others) == 1 and evidence.is_count(others[0], name):
            return tuple(_counted(each, others[0]) for each in _of_output(evidence, name))
    return ()


def _counted(reading: Reading, count: str) -> Reading:
    outputs = reading.layout.outputs
    outputs = replace(outputs, columns=(*outputs.columns, (count, COUNTED)))
    return replace(reading, layout=replace(reading.layout, outputs=outputs))


def _of_output(evidence: Evidence, name: str) -> Iterator[Reading]:
    shape = evidence.shapes[name]
    if len(shape) in (2, 3) and shape[-1] == 6:
        yield from _rows(evidence, name, shape[-2])
    elif len(shape) == 3 and shape[2] == 7 and shape[1] <= MOST and _numbers_images(evidence, name):
        yield _automl(name, evidence.capacity(name))
    elif len(shape) == 2 and shape[1] == 7:
        yield from (_numbered(name, order, family) for order, family in NUMBERED.items())
    elif len(shape) == 4 and shape[1] == 1 and shape[3] == 7:
        yield _ssd(name, evidence.capacity(name))


def _rows(evidence: Evidence, name: str, count: int) -> Iterator[Reading]:
    """Every order and unit: the numbers tell which one it is. PaddleDetection has one, in pixels of the canvas."""
    paddle, choices = FACTOR in evidence.others, evidence.finished(count, name)
    orders = [PADDLE] if paddle else [order for order in ORDERS if choices == (True,) or _fits(evidence, name, order)]
    for finished, order, unit in product(choices, orders, UNITS[:1] if paddle else UNITS):
        keep = evidence.capacity(name) if finished else CAPACITY
        outputs = OutputLayout(columns=((name, order),), unit=unit, suppressed=finished, keep=keep)
        fit = "stretch" if order == PADDLE else "letterbox"
        family = ORDERS[order] if finished else f"{ORDERS[order]}, all cells"
        layout = FileLayout(family=family, outputs=outputs, fit=fit, sampling="opencv")
        reasons = [f"{name} has {count} rows of 6 in the order {', '.join(order)}"]
        reasons += [f"{FACTOR} is an input, as of PaddleDetection"] if paddle else []
        strength = 3 if not finished else 1 if paddle else 2
        usual = order != PADDLE
        yield Reading(
            layout=layout,
            reasons=tuple(reasons),
            strength=strength,
            pixels_known=False,
            pixels_usual=usual,
            fit_known=paddle,
        )


def _fits(evidence: Evidence, name: str, order: tuple[str, ...]) -> bool:
    """Whether as many rows as cells hold labels and scores in this order, which most heads with so many do not."""
    rows = evidence.outputs[name].float()
    places = [sum(WIDTHS[each] for each in order[: order.index(word)]) for word in ("label", "score")]
    labels, scores = (rows[..., place] for place in places)
    return bool((labels == labels.round()).all() and (scores >= 0).all() and (scores <= 1).all())


def _numbers_images(evidence: Evidence, name: str) -> bool:
    """Whether the first column is one number in all rows of an image, and the last has whole ones."""
    rows = evidence.outputs[name].float()
    last = rows[..., 6]
    return bool((rows[..., 0] == rows[:, :1, 0]).all()) and bool((last == last.round()).all())


def _automl(name: str, count: int) -> Reading:
    order = ("image", "box", "score", "label")
    outputs = OutputLayout(columns=((name, order),), box="yxyx", first_label=1, keep=count)
    layout = FileLayout(family="EfficientDet of AutoML", outputs=outputs)
    reasons = (f"{name} has {count} rows of 7: {', '.join(order)}", "its boxes may be yxyx, or xywh in older files")
    lacks = "rows of AutoML's EfficientDet, and the file does not say whether boxes are yxyx or xywh"
    return Reading(layout=layout, reasons=reasons, lacks=lacks, pixels_known=False)


def _numbered(name: str, order: tuple[str, ...], family: str) -> Reading:
    outputs = OutputLayout(columns=((name, order),))
    layout = FileLayout(family=family, outputs=outputs, fit="letterbox", sampling="opencv")
    return Reading(layout=layout, reasons=(f"{name} has rows of 7: {', '.join(order)}",), strength=1)


def _ssd(name: str, count: int) -> Reading:
    order = ("image", "label", "score", "box")
    outputs = OutputLayout(columns=((name, order),), unit="fractions", first_label=1, keep=count)
    layout = FileLayout(family="SSD detection output", outputs=outputs, sampling="opencv")
    reason = f"{name} is [1, 1, {count}, 7]: {', '.join(order)}"
    return Reading(layout=layout, reasons=(reason,), strength=1, pixels_known=False)


CONVENTION = Convention(name="finished-rows", readings=_readings)
