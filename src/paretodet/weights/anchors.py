"""In which order a file of another code base has the anchors of a location.

A file that has the detector's anchors as they are shows the order, and their sizes, by comparison. The graph of an SSD
of TensorFlow's detection API may have only what it computes them from: ratios and scales. In graphs of 2017 the square
between two scales is the second anchor of a location, in later ones the last. Weights of all orders and sizes have
equal shapes, and boxes of wrong ones are up to the whole image wrong.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Literal

import torch
from torch import Tensor

from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import DetectorSpec
from paretodet.ops.geometry import center_size
from paretodet.rules.anchors import GridAnchors, MultiGridAnchors
from paretodet.weights.safe import WeightsError

ROUNDING = 1e-5  # of the canvas: what float32 and other formulas of the same anchors differ by
COARSEST = 5e-3  # half a step of anchors that are stored as bytes is below it
GRID = "MultipleGridAnchorGenerator/"  # of constants in graphs of TensorFlow's detection API
REGION_GRID = {  # what constants of the graph of a region detector are, in the order of their numbers
    "GridAnchorGenerator/Meshgrid/Const": ("scales", "ratios"),
    "GridAnchorGenerator/Const": ("size", "stride", "offset"),  # later graphs have them there
}
RATIOS = 6  # of the anchors of a location on all maps but the first
MOST_NUMBERS, MOST_TABLES = 64, 16  # of a list of scales; of tables that may be anchors: hostile files have very many
RATIO_TOLERANCE = 0.02  # quantized anchors are this far off
SCALE_TOLERANCE = 1e-4
XYWH = (1, 0, 3, 2)  # from TensorFlow's y, x, height, width
Orders = tuple[tuple[int, ...], ...]  # of each level
GridOfAnchors = tuple[Tensor, list[int]]  # all of a detector, [N, 4], and how many each level has
SquarePlace = Literal["second", "last"]
LAST: dict[SquarePlace, tuple[int, ...]] = {  # the anchors of a location with the second square last
    "second": (0, 2, 3, 4, 5, 1),
    "last": tuple(range(RATIOS)),
}


def anchor_orders(found: Tensor, detector: Detector, *, corners: bool = False) -> Orders:
    """For each level the place in the file of each of the detector's anchors at a location.

    `found` [N, 4] are centers and sizes (x, y, width, height), or `corners` (x, y, x, y), as fractions of the canvas,
    by level and location.
    Raises WeightsError, which says what differs, if they are not the detector's within half their quantization step.
    """
    return _compared(found, detector.spec, _anchors(detector, corners))


def _compared(found: Tensor, spec: DetectorSpec, known: GridOfAnchors) -> Orders:
    ours, counts = known
    if len(found) != len(ours):
        message = f"it has {len(found):,} anchors, {spec.name} has {len(ours):,}; name a detector of its input size"
        raise WeightsError(message, "weights-other")
    levels = zip(torch.split(found, counts), torch.split(ours, counts), spec.anchors.per_cell, strict=True)
    allowed = _tolerance(found)
    return tuple(
        _order(theirs.view(-1, n, 4), own.view(-1, n, 4), allowed, f"level {i}")
        for i, (theirs, own, n) in enumerate(levels)
    )


def multi_grid_orders(tensors: Mapping[str, Tensor], detector: Detector) -> Orders:
    """For each level of an SSD of TensorFlow's detection API the place in the file of each of the detector's anchors.

    Anchors that the file has are compared as in `anchor_orders`; otherwise the scales of the graph that computes them.
    Raises WeightsError if they are not the detector's, or if the file does not tell their order.
    """
    anchors = detector.spec.anchors
    assert isinstance(anchors, MultiGridAnchors)
    if tables := _tables(tensors, detector):
        return _of_tables(tables, detector)
    if other := _other_scales(_graph_scales(tensors), anchors):
        message = f"its anchors are others: no level of its graph has the scales {other} of {detector.spec.name}"
        raise WeightsError(message, "weights-other")
    if (place := second_square(tensors)) is None:
        raise WeightsError(
            "it does not tell the order of its anchors, which is another one in graphs of 2017; import the "
            "frozen graph (.pb) of the same network, or put the .meta file of the checkpoint beside it",
            "weights-anchors",
        )
    return tuple(LAST[place] if count == RATIOS else tuple(range(count)) for count in anchors.per_cell)


def shows_sizes(tensors: Mapping[str, Tensor], detector: Detector) -> bool:
    """Whether `multi_grid_orders` compares the sizes of anchors."""
    return bool(_tables(tensors, detector) or _graph_scales(tensors))


def check_region_grid(tensors: Mapping[str, Tensor], spec: DetectorSpec) -> None:
    """Raises WeightsError if the graph of a region detector computes other anchors, or the same in another order."""
    ours = _region_numbers(spec)
    for what, found in _region_grid(tensors).items():
        wanted = ours.get(what, ())
        if wanted and (len(found) != len(wanted) or not all(map(_equal, found, wanted))):
            theirs, own = (", ".join(f"{number:g}" for number in numbers) for numbers in (found, wanted))
            message = f"its anchors are others: its graph has the {what} {theirs}, {spec.name} has {own}"
            raise WeightsError(message, "weights-other")


def unknown_of_region_grid(tensors: Mapping[str, Tensor], spec: DetectorSpec) -> tuple[str, ...]:
    """What `check_region_grid` does not compare, because the file does not have it."""
    return tuple(what for what in _region_numbers(spec) if what not in _region_grid(tensors))


def in_order(values: Tensor, order: Sequence[int], inside: Sequence[int] | None = None) -> Tensor:
    """A head's weight or bias with the anchors of a location in `order`, and the rows of each anchor in `inside`.

    Unchanged if its rows are not those of so many anchors.
    """
    if not values.dim() or not len(order):
        return values
    each, left = divmod(len(values), len(order))
    rows = list(range(each) if inside is None else inside)
    if left or len(rows) != each:
        return values
    return values.reshape(len(order), each, *values.shape[1:])[list(order)][:, rows].reshape(values.shape)


def _region_numbers(spec: DetectorSpec) -> dict[str, tuple[float, ...]]:
    """By the words of `REGION_GRID`; none for a detector whose anchors are of another kind."""
    anchors = spec.anchors
    if not isinstance(anchors, GridAnchors):
        return {}
    pairs = {"size": (anchors.base,) * 2, "stride": (anchors.stride,) * 2, "offset": anchors.offset}
    return {"scales": anchors.scales, "ratios": anchors.ratios, **pairs}


def _region_grid(tensors: Mapping[str, Tensor]) -> dict[str, list[float]]:
    """The numbers of a graph by the words of `REGION_GRID`."""
    found: dict[str, list[float]] = {}
    for scope, parts in REGION_GRID.items():
        names = (scope, *(f"{scope}_{number}" for number in range(1, len(parts))))
        constants = [tensors[name] for name in names if name in tensors and _is_list(tensors[name])]
        listed = [each.double().tolist() for each in constants]
        found |= dict(zip(parts, listed, strict=True)) if len(listed) == len(parts) else {}
    return found


def _is_list(constant: Tensor) -> bool:
    return constant.dim() == 1 and len(constant) <= MOST_NUMBERS


def second_square(tensors: Mapping[str, Tensor]) -> SquarePlace | None:
    """Where the second square of a location is; None if the tensors do not tell.

    They tell it as the constant from which a graph computes anchors, their ratios, or as the anchors themselves: rows
    of (y, x, y, x) or (y, x, height, width), of which the last six are those of one location.
    """
    for name, tensor in tensors.items():
        if GRID in name and tensor.shape == (RATIOS,) and (place := _of_ratios(tensor.double().tolist())):
            return place
    return next(filter(None, map(_place_in, _rows_of_four(tensors))), None)


def _rows_of_four(tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """The tensors that have the form of anchors: many rows of four numbers, at most under one more axis."""
    wide = (each for each in tensors.values() if 2 <= each.dim() <= 3 and each.shape[-1] == 4 and each.numel())
    long = (each[0] if each.dim() == 3 else each for each in wide if each.shape[-2] > RATIOS)
    return list(islice(long, MOST_TABLES))


def _place_in(rows: Tensor) -> SquarePlace | None:
    """By the last rows, which are corners or centers and sizes; None if they are not the anchors of a location."""
    last = rows[-RATIOS:].double()
    for sides in (last[:, 2:] - last[:, :2], last[:, 2:]):
        if (sides > 0).all() and (place := _of_ratios((sides[:, 1] / sides[:, 0]).tolist())):
            return place
    return None


def _tables(tensors: Mapping[str, Tensor], detector: Detector) -> list[Tensor]:
    """The anchors in a file: as many rows as the detector has anchors, or rows that end with those of a location."""
    if not (rows := _rows_of_four(tensors)):
        return []
    count = len(_anchors(detector)[0])
    return [each for each in rows if len(each) == count or _place_in(each)]


def _of_tables(tables: Sequence[Tensor], detector: Detector) -> Orders:
    """The orders of the first table that has the detector's anchors. Raises the error of the last one if none has."""
    known = {corners: _anchors(detector, corners) for corners in (False, True)}
    for table in tables[:-1]:
        with suppress(WeightsError):
            return _of_table(table, detector.spec, known)
    return _of_table(tables[-1], detector.spec, known)


def _of_table(table: Tensor, spec: DetectorSpec, known: Mapping[bool, GridOfAnchors]) -> Orders:
    """Small anchors at the lower right are smaller than their centers; corners of x2 and y2 are larger than x1, y1."""
    return _compared(table[:, XYWH], spec, known[bool((table[:, 2:] > table[:, :2]).all())])


def _graph_scales(tensors: Mapping[str, Tensor]) -> list[list[float]]:
    """The scales of the anchors of a location, which a graph has for each level: all but one are equal."""
    named = (each for name, each in tensors.items() if GRID in name)
    constants = (each for each in named if _is_list(each) and len(each) > 2)
    sorted_values = [sorted(each.double().tolist()) for each in constants if each.is_floating_point()]
    return [values for values in sorted_values if max(map(values.count, values)) == len(values) - 1]


def _other_scales(found: Sequence[Sequence[float]], anchors: MultiGridAnchors) -> str:
    """The scales of the first level for which there are others; "" if there are none."""
    for level in map(sorted, anchors.scales):
        alike = [values for values in found if len(values) == len(level)]
        if alike and not any(all(map(_equal, values, level)) for values in alike):
            return " and ".join(f"{scale:.4g}" for scale in sorted(set(level)))
    return ""


def _equal(found: float, wanted: float) -> bool:
    return math.isclose(found, wanted, rel_tol=SCALE_TOLERANCE)


def _of_ratios(ratios: list[float]) -> SquarePlace | None:
    """The place by width / height of the anchors of a location; None if they are no location's."""
    for place, wanted in (("second", (1, 1, 2, 1 / 2, 3, 1 / 3)), ("last", (1, 2, 1 / 2, 3, 1 / 3, 1))):
        if len(ratios) == RATIOS and all(map(_near, ratios, wanted)):
            return place  # type: ignore[return-value]
    return None


def _near(found: float, wanted: float) -> bool:
    return math.isclose(found, wanted, rel_tol=RATIO_TOLERANCE)


def _anchors(detector: Detector, corners: bool = False) -> GridOfAnchors:
    """Centers and sizes [N, 4], or corners, as fractions of the canvas, and how many each level has."""
    height, width = detector.spec.height, detector.spec.width
    with torch.no_grad():
        maps = detector.maps(torch.zeros(1, 3, height, width, device=next(detector.parameters()).device))
    shapes = tuple(torch.zeros(1).expand(each.shape) for each in maps)  # only their shapes matter
    references = detector.spec.anchors(shapes, (height, width))
    boxes = references.boxes if corners else torch.cat(center_size(references.boxes), -1)
    return boxes / torch.tensor((width, height) * 2), list(references.counts)


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
