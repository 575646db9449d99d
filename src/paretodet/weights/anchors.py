"""Compares the anchors in a file of another code base with a detector's own, and finds their order."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from paretodet.detectors.detector import Detector
from paretodet.ops.geometry import center_size
from paretodet.weights.safe import WeightsError

ROUNDING = 1e-5  # of the canvas: what float32 and other formulas of the same anchors differ by
COARSEST = 5e-3  # half a step of anchors that are stored as bytes is below it
Orders = tuple[tuple[int, ...], ...]  # of each level


def anchor_orders(found: Tensor, detector: Detector) -> Orders:
    """For each level the place in the file of each of the detector's anchors at a location.

    `found` [N, 4] are centers and sizes (x, y, width, height) as fractions of the canvas, by level and location.
    Raises WeightsError, which says what differs, if they are not the detector's within half their quantization step.
    """
    spec = detector.spec
    ours, counts = _anchors(detector)
    if len(found) != len(ours):
        message = f"it has {len(found):,} anchors, {spec.name} has {len(ours):,}; name a detector of its input size"
        raise WeightsError(message, "weights-other")
    levels = zip(torch.split(found, counts), torch.split(ours, counts), spec.anchors.per_cell, strict=True)
    allowed = _tolerance(found)
    return tuple(
        _order(theirs.view(-1, n, 4), own.view(-1, n, 4), allowed, f"level {i}")
        for i, (theirs, own, n) in enumerate(levels)
    )


def in_order(values: Tensor, order: Sequence[int], inside: Sequence[int] | None = None) -> Tensor:
    """A head's weight or bias with the anchors of a location in `order`, and the rows of each anchor in `inside`.

    Unchanged if its rows are not those of so many anchors.
    """
    each, left = divmod(len(values), len(order))
    rows = list(range(each) if inside is None else inside)
    if left or len(rows) != each:
        return values
    return values.reshape(len(order), each, *values.shape[1:])[list(order)][:, rows].reshape(values.shape)


def _anchors(detector: Detector) -> tuple[Tensor, list[int]]:
    """Centers and sizes [N, 4] as fractions of the canvas, and how many each level has."""
    height, width = detector.spec.height, detector.spec.width
    with torch.no_grad():
        maps = detector.maps(torch.zeros(1, 3, height, width))
    references = detector.spec.anchors(maps, (height, width))
    return torch.cat(center_size(references.boxes), -1) / torch.tensor((width, height) * 2), list(references.counts)


def _tolerance(found: Tensor) -> float:
    """Half the step between stored values, if these are quantized."""
    steps = torch.unique(found).diff()
    half = float(steps.min()) / 2 if len(steps) else 0.0
    return min(half + ROUNDING, COARSEST)


def _order(theirs: Tensor, ours: Tensor, allowed: float, level: str) -> tuple[int, ...]:
    """theirs and ours [cells, A, 4] -> the place of each of ours among theirs."""
    differences = torch.stack([(theirs - ours[:, i : i + 1]).abs().amax((0, 2)) for i in range(ours.shape[1])])
    order = tuple(differences.argmin(1).tolist())
    worst, anchor = differences.amin(1).max(0)
    if not math.isfinite(worst) or worst > allowed:
        message = (
            f"its anchors are others: at {level}, the nearest to anchor {int(anchor)} of a location differs by "
            f"{float(worst):.4f} of the canvas, allowed {allowed:.4f}"
        )
        raise WeightsError(message, "weights-other")
    if len(set(order)) != len(order):
        raise WeightsError(f"its anchors are others: at {level}, two of a location are equal", "weights-other")
    return order
