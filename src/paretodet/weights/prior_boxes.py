"""The default boxes that a Caffe file of an SSD states, compared with those of a detector of ours.

A layer PriorBox has a size, a larger one, aspect ratios and a step for one map. Ours have the sizes of all maps in
percent of the side; Caffe truncates sizes to whole pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from paretodet.detectors.spec import DetectorSpec
from paretodet.rules.anchors import PriorBoxes
from paretodet.rules.coders import DeltaCoder
from paretodet.weights.naming import Tensors
from paretodet.weights.safe import WeightsError

MARK = "_mbox_priorbox."
DEFAULTS = {"flip": (1.0,), "clip": (0.0,), "variance": (0.1,), "offset": (0.5,)}  # of the message PriorBoxParameter
TOLERANCE = 1e-3


def numbers(tensors: Tensors) -> frozenset[str]:
    """The names of the tensors that are numbers of layers PriorBox, not weights."""
    return frozenset(name for name in tensors if MARK in name)


def percents(tensors: Tensors, sources: Sequence[str], spec: DetectorSpec) -> tuple[int, ...] | None:
    """The sizes of the maps `sources` as `PriorBoxes.percents`; None if the file does not have them."""
    bounds = _bounds(tensors, sources)
    return tuple(round(100 * bound / min(spec.height, spec.width)) for bound in bounds) if bounds else None


def with_percents(spec: DetectorSpec, sizes: tuple[int, ...]) -> DetectorSpec:
    """The spec with other sizes of its default boxes. Raises WeightsError if it has no such boxes, or more or fewer."""
    anchors = spec.anchors
    if not isinstance(anchors, PriorBoxes) or len(sizes) != len(anchors.percents):
        raise WeightsError(f"{spec.name} has no {len(sizes) - 1} maps with sizes of default boxes", "weights-metadata")
    return replace(spec, anchors=replace(anchors, percents=sizes))


def check(tensors: Tensors, sources: Sequence[str], spec: DetectorSpec) -> None:
    """Raises WeightsError, which says what differs, unless the file states the default boxes of the detector `spec`."""
    anchors, coder, side = spec.anchors, spec.stages[0].coder, min(spec.height, spec.width)
    assert isinstance(anchors, PriorBoxes) and isinstance(coder, DeltaCoder)
    if coder.clamp is not None:
        raise WeightsError(f"the boxes of its network have no bound, those of {spec.name} have one", "weights-other")
    bounds = _bounds(tensors, sources)
    if bounds is None:
        message = f"it does not state one size of default boxes for each of the maps {', '.join(sources)}"
        raise WeightsError(message, "weights-other")
    ours = [side * percent // 100 for percent in anchors.percents]
    if [int(bound) for bound in bounds] != ours:
        listed = ", ".join(f"{bound:g}" for bound in bounds)
        message = (
            f"its default boxes have {listed} px, those of {spec.name} {', '.join(map(str, ours))}: import the file"
        )
        raise WeightsError(message, "weights-other")
    for source, ratios, step in zip(sources, anchors.ratios, anchors.steps, strict=True):
        _check_map(tensors, source, _wanted(ratios, coder))
        _check_step(tensors, source, step, side)


def _bounds(tensors: Tensors, sources: Sequence[str]) -> list[float] | None:
    """The size of each map, px, then the larger size of the last one, if each map ends where the next one begins."""
    small, large = ([_values(tensors, source, key) for source in sources] for key in ("min_size", "max_size"))
    if not all(len(values) == 1 and 0 < values[0] < math.inf for values in (*small, *large)):
        return None
    if any(abs(end[0] - start[0]) > TOLERANCE for end, start in zip(large, small[1:], strict=False)):
        return None
    return [*(values[0] for values in small), large[-1][0]]


def _wanted(ratios: Sequence[float], coder: DeltaCoder) -> dict[str, tuple[float, ...]]:
    variance = tuple(1 / weight for weight in coder.weights)
    return {"aspect_ratio": tuple(ratios), "flip": (1.0,), "clip": (0.0,), "variance": variance, "offset": (0.5,)}


def _check_map(tensors: Tensors, source: str, wanted: dict[str, tuple[float, ...]]) -> None:
    for key, ours in wanted.items():
        theirs = _values(tensors, source, key) or DEFAULTS.get(key, ())
        if len(theirs) != len(ours) or any(
            not math.isclose(a, b, rel_tol=1e-5) for a, b in zip(theirs, ours, strict=True)
        ):
            raise _other(source, key, theirs, ours)


def _check_step(tensors: Tensors, source: str, step: int | None, side: int) -> None:
    """A map without a step of ours divides the side evenly, as Caffe does where no step is given."""
    theirs = _values(tensors, source, "step")
    even = step is None and (not theirs or (theirs[0] > 0 and side % theirs[0] == 0))
    if not even and theirs != (step,):
        raise _other(source, "step", theirs, (step or f"a divisor of {side}",))


def _values(tensors: Tensors, source: str, key: str) -> tuple[float, ...]:
    found: Tensor | None = tensors.get(f"{source}{MARK}{key}")
    return () if found is None else tuple(found.flatten().tolist())


def _other(source: str, key: str, theirs: Sequence[object], ours: Sequence[object]) -> WeightsError:
    found, wanted = (", ".join(map(str, values)) or "nothing" for values in (theirs, ours))
    message = f"the default boxes at {source} have another {key}: it has {found}, the detector {wanted}"
    return WeightsError(message, "weights-other")
