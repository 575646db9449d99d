"""The configuration in a pickle of Detectron (`cfg`, a YAML text): the numbers on which detections depend.

They are tensors beside the weights, named cfg/SECTION.FIELD, and are compared with the detector here. Nothing is made
of the text but lists, mappings and texts: its tags, which name classes of Python, are passed over. Of an array of
numpy, as the means of the pixels are, the text has the type, the sides and the bytes in base64: they are read as data.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from paretodet.detectors.spec import DetectorSpec
from paretodet.transforms.resize_policy import ShortSide
from paretodet.weights.fitting_name import advice
from paretodet.weights.naming import Tensors
from paretodet.weights.safe import WeightsError

MARK = "cfg/"  # in front of the fields
ITEMS = "dictitems"  # of a mapping that is an object of Detectron's class AttrDict
SHORT, LONG, OVERLAP = "TEST.SCALE", "TEST.MAX_SIZE", "TEST.NMS"
EARLIER = "TEST.SCALES"  # of SHORT: a list of one
PROPOSALS, PROPOSED, CANDIDATES = "TEST.RPN_POST_NMS_TOP_N", "TEST.RPN_NMS_THRESH", "TEST.RPN_PRE_NMS_TOP_N"
DENSE, CODES, MEANS = "RETINANET.PRE_NMS_TOP_N", "MODEL.BBOX_REG_WEIGHTS", "PIXEL_MEANS"  # means are BGR
FIELDS = (SHORT, EARLIER, LONG, OVERLAP, PROPOSALS, PROPOSED, CANDIDATES, DENSE, CODES, MEANS)
MOST = 2**16  # characters of a text, of which Detectron's has about 8,000
MOST_NUMBERS = 8
TOLERANCE = 1e-4
TYPES = {  # of numbers of numpy, by their order of bytes and code
    (order, code): np.dtype(f"{order}{code}") for order in "<>" for code in ("f4", "f8", "i4", "i8")
}

Numbers = tuple[float, ...]


def numbers(text: str) -> dict[str, Tensor]:
    """The fields that a configuration has, as float64; none of a text that is no YAML or is too long."""
    cfg: Any = None
    with suppress(yaml.YAMLError, RecursionError, ValueError):
        cfg = yaml.load(text, yaml.BaseLoader) if len(text) <= MOST else None
    found = {field: _flat(_at(cfg, field.split("."))) for field in FIELDS}
    return {f"{MARK}{field}": torch.tensor(each, dtype=torch.float64) for field, each in found.items() if each}


def check(tensors: Tensors, spec: DetectorSpec) -> None:
    """Raises WeightsError, with the name that fits if there is one, if the configuration is that of another detector.

    The overlap of the final suppression is not compared but taken over (`taken_over`).
    """
    found, ours = _stated(tensors), _compared(spec)
    if other := _other(found, ours):
        theirs, own = (", ".join(_texts(values, other)) for values in (found, ours))
        message = f"its configuration has other rules: {theirs}; {spec.name} has {own}; {_advice(found, spec)}"
        raise WeightsError(message, "weights-other")


def taken_over(tensors: Tensors, spec: DetectorSpec) -> dict[str, Any]:
    """The overlap of the final suppression as a field of WeightsMetadata, if it differs from that of the catalogue."""
    found = _stated(tensors).get(OVERLAP)
    ours = getattr(spec.stages[-1].select, "overlap", math.nan)
    return {"nms": found[0]} if found and not _equal(found, (ours,)) else {}


def assumed(tensors: Tensors, spec: DetectorSpec) -> tuple[str, ...]:
    """A sentence about what the configuration does not state."""
    unknown = [field for field in (*_compared(spec), OVERLAP) if field not in _stated(tensors)]
    if not unknown:
        return ()
    return (f"The file does not state {', '.join(unknown)}: taken to be those of {spec.name}.",)


def _compared(spec: DetectorSpec) -> dict[str, Numbers]:
    """What the configuration of a detector has. A cascade has other codes in each stage."""
    first: Any = spec.stages[0].select
    last: Any = spec.stages[-1].coder
    assert isinstance(spec.fit, ShortSide)
    sides = {SHORT: (spec.fit.short,), LONG: (spec.fit.long,)}
    means = {MEANS: tuple(reversed(spec.pixels.mean))}
    if len(spec.stages) == 1:
        return sides | {DENSE: (first.candidates_per_level,)} | means
    region = {PROPOSALS: (first.keep,), PROPOSED: (first.overlap,), CANDIDATES: (first.candidates_per_level,)}
    return sides | region | ({CODES: last.weights} if len(spec.stages) == 2 else {}) | means


def _advice(found: Mapping[str, Numbers], spec: DetectorSpec) -> str:
    ours = _compared(spec)
    count = {"proposals": int(found[PROPOSALS][0])} if found.keys() & ours.keys() & {PROPOSALS} else {}
    short, long = (int(found.get(side, ours[side])[0]) for side in (SHORT, LONG))
    sides = [(spec.height, spec.width), (short, short), (short, long)]

    def others(made: DetectorSpec) -> list[str]:
        own = _compared(made)
        return _texts(own, _other(found, own))

    return advice(
        spec,
        [{"height": height, "width": width} | count for height, width in sides],
        others,
        otherwise="these are weights of another detector, export it to ONNX from its own code and use that file",
    )


def _other(found: Mapping[str, Numbers], ours: Mapping[str, Numbers]) -> list[str]:
    """The fields that are stated and not ours."""
    return [field for field, own in ours.items() if field in found and not _equal(found[field], own)]


def _stated(tensors: Tensors) -> dict[str, Numbers]:
    """The numbers by their fields, those of earlier configurations by the fields of later ones."""
    given = {name.removeprefix(MARK): tensor for name, tensor in tensors.items() if name.startswith(MARK)}
    found = {field: tuple(given[field].flatten().tolist()) for field in FIELDS if field in given}
    earlier = found.pop(EARLIER, None)
    return ({SHORT: earlier} if earlier else {}) | found


def _equal(found: Numbers, own: Sequence[float]) -> bool:
    return len(found) == len(own) and all(
        math.isclose(a, b, rel_tol=TOLERANCE) for a, b in zip(found, own, strict=True)
    )


def _texts(values: Mapping[str, Numbers], fields: Sequence[str]) -> list[str]:
    return [" ".join([field, *(f"{value:g}" for value in values[field])]) for field in fields]


def _at(cfg: Any, path: Sequence[str]) -> Any:
    """The value of a field; None if there is none."""
    for part in path:
        inner = cfg.get(ITEMS, cfg) if isinstance(cfg, dict) else None
        cfg = inner.get(part) if isinstance(inner, dict) else None
    return cfg


def _flat(value: Any) -> Numbers:
    """A few numbers, as a text, a list or numpy has them; empty for anything else."""
    found: Numbers = ()
    with suppress(ValueError):
        found = _of_numpy(value) or _listed(value)
    return found if len(found) <= MOST_NUMBERS and all(map(math.isfinite, found)) else ()


def _listed(value: Any) -> Numbers:
    """A number, or a list of some, in however many lists of one item. Raises ValueError for other texts."""
    while isinstance(value, list) and len(value) == 1:
        (value,) = value
    texts = value if isinstance(value, list) else [value]
    return tuple(float(each) for each in texts) if all(isinstance(each, str) for each in texts) else ()


def _of_numpy(value: Any) -> Numbers:
    """The numbers of an array or a scalar of numpy, by the type, sides and bytes in the text; empty for anything else.

    Raises ValueError for bytes that are not whole numbers.
    """
    match value:
        case {"state": [_, [*sides], {"args": [code, *_], "state": [_, order, *_]}, "false", str(data)]}:
            count = math.prod(_listed(sides))
        case [{"args": [code, *_], "state": [_, order, *_]}, str(data)]:
            count = 1
        case _:
            return ()
    kind = TYPES.get((order, code)) if isinstance(order, str) and isinstance(code, str) else None
    found = [] if kind is None else np.frombuffer(base64.b64decode(data), kind).tolist()
    return tuple(map(float, found)) if len(found) == count else ()
