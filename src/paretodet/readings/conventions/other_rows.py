"""Rows of other tasks, recognized by what their columns hold on a photograph: poses and oriented boxes.

YOLO's poses have behind a box and its scores the points x, y, and mostly how visible each is: [B, 4 + K + P * 3, N] of
Ultralytics, [B, N, 6 + P * 3] of YOLOv7 and of finished rows, [B, N, 5 + P * 2 + 1] of YOLOv5-Face. The points of a row
lie near its box, which scores do not.
Oriented boxes have an angle in radians: behind the scores (Ultralytics), behind score and label of finished rows, or
behind the box (MMRotate's dets [B, N, 6] with labels); PP-YOLOE-R has four corners [B, N, 8] with scores [B, K, N].
"""

import math
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from paretodet.layouts.layout import Reading
from paretodet.readings.convention import Convention
from paretodet.readings.conventions import ultralytics
from paretodet.readings.conventions.other_tasks import boxes_alone, finite, other_task
from paretodet.readings.evidence import MOST, Evidence

BOX = 4  # columns
ROWS = 20  # that are needed to tell what a column holds
NEAR = 3.0  # half sides of a box, within which its points lie
SHARE = 0.9  # of the rows
APART = 0.2  # between the shares of the one axis and of the other
MOST_SCORES = 100  # columns between a box and its points
POINTS = 2  # at least
FORMS = ("center", "corners")  # a box is a center with sides, or two corners
EDGE = 0.01  # by which a score may leave 0..1
TURN = math.pi + EDGE


@dataclass(frozen=True)
class _Rows:
    """Rows [N, columns] of one output: `dense` if there may be one for every cell, `finished` if they are so few."""

    name: str
    values: Tensor
    dense: bool
    finished: bool


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    if ultralytics.is_its_own(evidence.metadata):
        return ()
    if oriented := _pairs(evidence):
        raise other_task(evidence, oriented)
    rows = _rows(evidence)
    if rows is None or len(rows.values) < ROWS or not finite(rows.values):
        return ()
    if pose := _pose(rows):
        raise other_task(evidence, pose, boxes_alone(evidence))
    if oriented := _oriented(rows):
        raise other_task(evidence, oriented)
    return ()


def _rows(evidence: Evidence) -> _Rows | None:
    """Those of the only output, without empty ones; None if it has no rows that are known."""
    if len(evidence.outputs) != 1:
        return None
    ((name, output),) = evidence.outputs.items()
    if output.ndim != 3 or not output.is_floating_point():
        return None
    values = output[0].float()
    if evidence.cells(values.shape[1], name) is not None and values.shape[0] > BOX:
        return _Rows(name, values.T, dense=True, finished=False)
    dense, finished = evidence.cells(len(values), name) is not None, len(values) <= MOST
    if values.shape[1] <= BOX + 1 or not (dense or finished):
        return None
    return _Rows(name, values[(values != 0).any(dim=1)], dense, finished)


def _pose(rows: _Rows) -> str | None:
    """Columns behind the scores that lie near the box on the axes x and y in turn, to the end or the one before it."""
    total = rows.values.shape[1]
    for form in FORMS:
        shares = [_near(rows.values, axis, form) for axis in (0, 1)]
        for step, first, last in product((3, 2), range(BOX + 1, BOX + 1 + MOST_SCORES), (total, total - 1)):
            if last - first >= POINTS * step and (last - first) % step == 0 and _in_turn(shares, first, last, step):
                what = "x, y and a score" if step == 3 else "x and y"
                columns = f"{rows.name} has from column {first} on {(last - first) // step} points of {what}"
                return f"it looks like poses or landmarks ({columns}, which lie near the box of their row)"
    return None


def _near(values: Tensor, axis: int, form: str) -> Tensor:
    """The share of rows in which every column lies near the box on an axis."""
    first, second = values[:, axis], values[:, axis + 2]
    middle, half = (first, second.abs() / 2) if form == "center" else ((first + second) / 2, (second - first).abs() / 2)
    return ((values - middle[:, None]).abs() <= NEAR * half[:, None]).float().mean(dim=0)


def _in_turn(shares: list[Tensor], first: int, last: int, step: int) -> bool:
    """Whether columns are near on x and y in turn, and less so on the other axis, as numbers of no axis would be."""
    x, y = slice(first, last, step), slice(first + 1, last, step)
    own, other = torch.cat((shares[0][x], shares[1][y])), torch.cat((shares[1][x], shares[0][y]))
    return float(own.min()) >= SHARE and float(own.mean() - other.mean()) >= APART


def _oriented(rows: _Rows) -> str | None:
    """The last column is an angle, and those between it and the box are scores, or a score and a label."""
    scores, angle = rows.values[:, BOX:-1], rows.values[:, -1]
    if not scores.shape[1] or not _is_angle(angle):
        return None
    finished = rows.finished and scores.shape[1] == 2 and _is_score(scores[:, 0]) and _is_whole(scores[:, 1])
    known = finished or (rows.dense and _is_score(scores))
    low, high = (float(end) for end in angle.aminmax())
    seen = f"the last of {rows.values.shape[1]} columns of {rows.name} is {low:.2f} to {high:.2f}, as angles in radians"
    return f"it looks like oriented boxes ({seen})" if known else None


def _is_score(values: Tensor) -> bool:
    return bool((values >= -EDGE).all()) and bool((values <= 1 + EDGE).all())


def _is_whole(values: Tensor) -> bool:
    return bool((values == values.round()).all())


def _is_angle(values: Tensor) -> bool:
    """Whether they differ, lie within half a turn of 0, and some are no scores, and no labels."""
    varied = bool(values.max() - values.min() > EDGE)
    return varied and not _is_score(values) and not _is_whole(values) and bool((values.abs() <= TURN).all())


def _pairs(evidence: Evidence) -> str | None:
    """Oriented boxes of two outputs."""
    if len(evidence.outputs) != 2:
        return None
    (first, boxes), (second, other) = sorted(evidence.outputs.items(), key=lambda item: -item[1].ndim)
    shape = tuple(boxes.shape)
    if boxes.ndim != 3 or not finite(boxes.float()):
        return None
    if shape[2] == 6 and tuple(other.shape) == shape[:2]:
        values = boxes.float().flatten(0, 1)
        values = values[(values != 0).any(dim=1)]
        if len(values) and _is_score(values[:, 5]) and _is_angle(values[:, 4]):
            return f"it looks like oriented boxes ({first} has a center, sides, an angle and a score, {second} labels)"
    for name, corners, scores in ((first, boxes, other), (second, other, boxes)):
        if corners.ndim == 3 and corners.shape[2] == 8 and scores.ndim == 3 and scores.shape[2] == corners.shape[1]:
            return f"it looks like oriented boxes ({name} has four corners x, y in every row)"
    return None


CONVENTION = Convention(name="other-rows", readings=_readings)
