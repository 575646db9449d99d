"""One output of finished detections: [B, N, 6], [N, 7] with the number of the image, SSD's [1, 1, N, 7].

AutoML's EfficientDet writes [B, N, 7] with the number of the image too. Its boxes were x, y, width and height at first
and are y1, x1, y2, x2 since, which the file does not say: it is refused with the latter as the layout to correct.
"""

from paretodet.layouts.layout import FileLayout, OutputLayout, Reading, Unit
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence

MOST = 1000  # rows of finished detections
ORDERS = {
    ("box", "score", "label"): "end-to-end YOLO",
    ("box", "label", "score"): "rows with the label before the score",
    ("label", "score", "box"): "PaddleDetection",
}
NUMBERED = {
    ("image", "box", "label", "score"): "YOLOv7 end-to-end",
    ("image", "box", "score", "label"): "YOLO-NAS in flat form",
}
UNITS: tuple[Unit, ...] = ("pixels", "fractions")


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    if len(evidence.outputs) != 1:
        return ()
    ((name, shape),) = evidence.shapes.items()
    if len(shape) == 3 and shape[2] == 6 and shape[1] <= MOST and evidence.cells(shape[1]) is None:
        return tuple(_rows(name, shape[1], evidence.capacity(name)))
    if len(shape) == 3 and shape[2] == 7 and shape[1] <= MOST and _numbers_images(evidence, name):
        return (_automl(name, evidence.capacity(name)),)
    if len(shape) == 2 and shape[1] == 7:
        return tuple(_numbered(name, order, family) for order, family in NUMBERED.items())
    if len(shape) == 4 and shape[1] == 1 and shape[3] == 7:
        return (_ssd(name, evidence.capacity(name)),)
    return ()


def _rows(name: str, count: int, keep: int) -> list[Reading]:
    """Every order and unit: the numbers tell which one it is."""
    found = []
    for order, family in ORDERS.items():
        for unit in UNITS:
            outputs = OutputLayout(columns=((name, order),), unit=unit, keep=keep)
            layout = FileLayout(family=family, outputs=outputs, fit="letterbox", sampling="opencv")
            reasons = (f"{name} has {count} rows of 6, fewer than cells", f"in the order {', '.join(order)}")
            known = family != "PaddleDetection"
            found.append(Reading(layout=layout, reasons=reasons, pixels_known=known))
    return found


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
