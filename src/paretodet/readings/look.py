"""A look at the numbers: what the outputs for a photograph say against a layout."""

from collections.abc import Mapping

import torch
from torch import Tensor

from paretodet.errors import InputError, words
from paretodet.layouts.decode import Decoded, decode, split
from paretodet.layouts.layout import FileLayout, OutputLayout
from paretodet.ops.geometry import iou

LOOKED = 100  # rows of the best scores
FAINT = 0.05  # a score that a detection on a photograph has
SURE, UNSURE = 0.5, 0.2  # scores of a clear object, and of none
COCO = 80  # classes, which are no accident of a number of columns
EDGE = 1e-3  # by which a score may leave 0..1, and a label a whole number
FEW = 0.05  # of the rows that are looked at
TINY = 2.0  # px: no detector finds only boxes that are smaller
AROUND = 0.25  # of the canvas, by which the center of a box may lie outside of it
HUGE = 4.0  # times the canvas
ROUNDED, COARSE = 4096, 0.02  # numbers of an output that show its steps, and the largest step of scores
MANY = 50  # rows that make a property of all of them no accident
SAME, SEVERAL = 0.9, 3  # the overlap of two boxes of one object, and so many of them that are no accident


def contradiction(outputs: Mapping[str, Tensor], layout: FileLayout, canvas: tuple[int, int]) -> str | None:
    """What is impossible if the outputs mean what the layout says; None if nothing is."""
    try:
        decoded = decode(outputs, layout.outputs, canvas)
    except InputError as error:
        return words(error)
    if not decoded.boxes.isfinite().all() or not decoded.scores.isfinite().all():
        return "boxes or scores are not finite"
    if not decoded.scores.numel():
        return None
    rows = _best(decoded)
    return (
        _scores(outputs, layout.outputs)
        or _labels(decoded, outputs, layout.outputs)
        or _corners(decoded, rows, layout.outputs)
        or _form(outputs, layout.outputs)
        or _background(outputs, layout.outputs)
        or _everywhere(decoded, layout.outputs)
        or _places(decoded.boxes[0][rows], canvas)
    )


def repeated(outputs: Mapping[str, Tensor], layout: FileLayout, canvas: tuple[int, int]) -> str | None:
    """What speaks against a suppression inside: clear objects with several boxes. Equal rows are of more images of a
    batch, or fill a file up.
    """
    decoded = decode(outputs, layout.outputs, canvas)
    scores, rows = decoded.scores[0], _best(decoded)
    clear = rows[top_scores(scores)[rows] > SURE]
    if layout.outputs.needs_suppression or len(clear) <= SEVERAL:
        return None
    labels = scores.argmax(dim=1) if decoded.labels is None else decoded.labels[0]
    found = torch.cat((decoded.boxes[0], labels[:, None].float()), dim=1)[clear]
    found = torch.unique(found.round(decimals=1), dim=0)
    same = (iou(found[:, :4], found[:, :4]) > SAME) & (found[:, None, 4] == found[:, 4])
    count = int(same.triu(1).any(dim=0).sum())
    if count < SEVERAL:
        return None
    return f"{count} of {len(clear)} clear rows repeat a box of their label, so suppression is not inside"


def detected(outputs: Mapping[str, Tensor], layout: FileLayout, canvas: tuple[int, int]) -> int:
    """How many rows score as detections do."""
    scores = decode(outputs, layout.outputs, canvas).scores[0]
    return int((top_scores(scores) > FAINT).sum()) if scores.numel() else 0


def doubt(outputs: Mapping[str, Tensor], layout: OutputLayout) -> str | None:
    """What speaks against a head with or without objectness, or rows of all cells, if only shapes speak for it."""
    parts = split(outputs, layout)
    if layout.needs_suppression and "score" in parts:
        return _in_order(parts["score"][0, :, 0])
    if layout.activation != "none" or not layout.needs_suppression or "classes" not in parts:
        return None
    classes = parts["classes"][0]
    if classes.shape[1] == COCO:
        return None
    if "objectness" in parts:
        objectness = parts["objectness"][0, :, 0]
        best, sure = classes.amax(dim=1), objectness > SURE
        if sure.any() and not sure.all() and float(best[sure].max()) < UNSURE:
            return f"in all {int(sure.sum())} rows with an objectness above {SURE} no class is above {UNSURE}"
    elif classes.shape[1] > 1 and layout.background == "none":
        sure = classes[:, 1:].amax(dim=1) > SURE
        if sure.any() and bool((classes[sure, 0] > SURE).all()):
            return f"the first class is high in all {int(sure.sum())} rows in which another is, as objectness would be"
    return None


def top_scores(scores: Tensor) -> Tensor:
    """The best score of every row [N]."""
    return scores.amax(dim=1) if scores.ndim == 2 else scores


def _best(decoded: Decoded) -> Tensor:
    """Indices of the rows of the first image that are looked at: of finished detections, those that are any."""
    scores = top_scores(decoded.scores[0])
    order = scores.argsort(descending=True)[:LOOKED]
    if (scores > FAINT).any() or decoded.labels is not None:
        return order[scores[order] > (FAINT if (scores > FAINT).any() else 0)]
    return order


def _scores(outputs: Mapping[str, Tensor], layout: OutputLayout) -> str | None:
    if layout.activation != "none":
        return None
    parts = split(outputs, layout)
    clamped, edge = layout.objectness == "geometric-mean", EDGE + _rounding(outputs, layout)
    for word in ("score", "classes") if clamped else ("score", "objectness", "classes"):
        low, high = (float(parts[word].min()), float(parts[word].max())) if word in parts else (0.0, 1.0)
        if low < -edge or high > 1 + edge:
            return f"{word}: numbers from {low:.3g} to {high:.3g}, not in 0..1"
    return None


def _rounding(outputs: Mapping[str, Tensor], layout: OutputLayout) -> float:
    """Half the step of outputs that were rounded to 8 bits, which a score of 1 may be above it; 0 for others."""
    levels = [torch.unique(outputs[name]) for name, _ in layout.columns if outputs[name].numel() >= ROUNDED]
    steps = [float(torch.diff(each).min()) for each in levels if 1 < len(each) <= 256]
    return max((step / 2 for step in steps if step <= COARSE), default=0.0)


def _labels(decoded: Decoded, outputs: Mapping[str, Tensor], layout: OutputLayout) -> str | None:
    if decoded.labels is None:
        return None
    labels = decoded.labels[decoded.scores > 0] + layout.first_label
    if not len(labels):
        return None
    if (broken := labels[(labels - labels.round()).abs() > EDGE]).numel():
        return f"labels are not whole numbers, such as {float(broken[0]):.3g}"
    if labels.min() < layout.first_label:
        return f"the lowest label is {int(labels.min())}, and labels would count from {layout.first_label}"
    return None


def _corners(decoded: Decoded, rows: Tensor, layout: OutputLayout) -> str | None:
    """Swapped corners among the best rows, or many of them among those of all cells."""
    every = decoded.boxes[0] if decoded.labels is None or layout.needs_suppression else decoded.boxes[0][:0]
    for boxes in (decoded.boxes[0][rows], every):
        swapped = (boxes[:, 2:] < boxes[:, :2] - EDGE).any(dim=1)
        if len(boxes) and swapped.float().mean() > FEW:
            return f"x2 < x1 or y2 < y1 in {int(swapped.sum())} of {len(boxes)} boxes"
    return None


def _form(outputs: Mapping[str, Tensor], layout: OutputLayout) -> str | None:
    """Corners are taken for a center and a size if in every row the third number is above the first, and the fourth
    above the second; boxes for offsets and log sizes if all are in 0..1.
    """
    if layout.coding == "grid":
        codes = split(outputs, layout)["box"][0]
        inside = bool((codes >= 0).all()) and bool((codes <= 1).all())
        return "all offsets and log sizes are in 0..1, as of fractions" if inside else None
    if layout.coding != "boxes" or layout.box not in ("cxcywh", "xywh"):
        return None
    rows = split(outputs, layout)["box"][0]
    rows = rows[(rows != 0).any(dim=1)]
    if len(rows) >= MANY and bool((rows[:, 2:] > rows[:, :2]).all()):
        return f"in all {len(rows)} rows the size would be larger than the center, as of corners"
    return None


def _background(outputs: Mapping[str, Tensor], layout: OutputLayout) -> str | None:
    """Most rows of a head with a background class hold background; where a sigmoid is applied, few classes are high."""
    if layout.activation == "none":
        return None
    classes = split(outputs, layout)["classes"][0]
    last = classes.argmax(dim=1) == classes.shape[1] - 1
    share = float(last.float().mean())
    if layout.activation == "softmax" and layout.background == "last" and share < 0.5:
        return f"the last class is the highest in {share:.0%} of the rows, and no object would be the most frequent"
    high = float(classes.sigmoid().amax(dim=1).median()) > 0.5
    if layout.activation == "sigmoid" and layout.background == "none" and share > 0.5 and high:
        return f"the last class is the highest in {share:.0%} of the rows, as if it were no object"
    return None


def _everywhere(decoded: Decoded, layout: OutputLayout) -> str | None:
    """Detections in all rows of a dense head."""
    scores = top_scores(decoded.scores[0])
    if layout.needs_suppression and len(scores) >= MANY and bool((scores > FAINT).all()):
        return f"all {len(scores)} rows score above {FAINT}, and few cells of a photograph hold an object"
    return None


def _places(boxes: Tensor, canvas: tuple[int, int]) -> str | None:
    """Whether boxes are of the size of a canvas, and on it."""
    if not len(boxes):
        return None
    sides = boxes.new_tensor([canvas[1], canvas[0]])
    extent = boxes[:, 2:] - boxes[:, :2]
    if float(extent.max()) <= TINY:
        return f"no box is larger than {float(extent.max()):.3g} px, as if they were fractions of the canvas"
    if float((extent / sides).median()) > HUGE:
        return f"boxes are {float((extent / sides).median()):.3g} times as large as the canvas"
    center = (boxes[:, :2] + boxes[:, 2:]) / 2 / sides
    outside = ((center < -AROUND) | (center > 1 + AROUND)).any(dim=1)
    if float(outside.float().mean()) > 2 * FEW:
        return f"the centers of {int(outside.sum())} of {len(boxes)} boxes lie outside of the canvas"
    return None


def _in_order(scores: Tensor) -> str | None:
    """Whether the rows of a photograph fall from the first to the last."""
    steps = scores.diff()
    if len(scores) >= MANY and bool((steps <= 0).all()) and bool((steps < 0).any()):
        return f"its {len(scores)} rows are sorted by score, as finished detections are, and cells are not"
    return None
