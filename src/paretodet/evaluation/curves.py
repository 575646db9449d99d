"""Precision against recall: the curve, the areas under it, the score that serves best."""

from typing import NamedTuple

import numpy as np

RECALLS = np.linspace(0.0, 1.0, 101)  # COCO's


class Curve(NamedTuple):
    """One category at one overlap, D detections by falling score."""

    scores: np.ndarray  # [D]
    precision: np.ndarray  # [D] of this detection and all before it
    recall: np.ndarray  # [D]; of no ground truth, NaN


class Threshold(NamedTuple):
    """Where the harmonic mean of precision and recall is highest; all but `score` in percent."""

    score: float  # keep what scores more: half-way between the last that is kept and the next
    f1: float
    precision: float
    recall: float


def curve(scores: np.ndarray, hits: np.ndarray, truths: int) -> Curve:
    """scores [D], hits [D] bool, in any order (ties keep theirs) -> the curve over `truths` ground truths."""
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(hits[order])
    recall = right / truths if truths else np.full(len(order), np.nan)
    return Curve(scores[order], right / np.arange(1, len(order) + 1), recall)


def sampled(curve: Curve, recalls: np.ndarray = RECALLS) -> np.ndarray:
    """The highest precision at each of `recalls` [R] or beyond it; 0 beyond the end of the curve."""
    envelope = _envelope(curve.precision)
    return np.append(envelope, 0.0)[np.searchsorted(curve.recall, recalls, side="left")]


def area(curve: Curve) -> float:
    """The exact area under the highest precision at each recall or beyond it, 0..1: VOC 2010's AP."""
    steps = np.diff(curve.recall, prepend=0.0)
    return float((steps * _envelope(curve.precision)).sum())


def best_threshold(curve: Curve) -> Threshold | None:
    """None if there is no hit at all. Detections of one score are kept or dropped together."""
    if len(curve.scores) == 0 or not curve.recall[-1] > 0:
        return None
    last = np.flatnonzero(np.append(curve.scores[1:] != curve.scores[:-1], True))
    precision, recall = curve.precision[last], curve.recall[last]
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    best = int(f1.argmax())
    kept = curve.scores[last[best]]
    below = curve.scores[last[best] + 1] if last[best] + 1 < len(curve.scores) else min(0.0, 2 * kept)
    return Threshold(float(kept + below) / 2, *(100 * float(each[best]) for each in (f1, precision, recall)))


def _envelope(precision: np.ndarray) -> np.ndarray:
    return np.maximum.accumulate(precision[::-1])[::-1]
