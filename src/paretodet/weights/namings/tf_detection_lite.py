"""SSD MobileNet v1 of the TF Object Detection API as TOCO converted it to LiteRT, norms folded into convolutions.

A convolution is a scope, as `FeatureExtractor/MobilenetV1/MobilenetV1/Conv2d_0`, with a tensor of four dimensions, its
weight, and one of one dimension, its bias. Boxes are coded as (y, x, height, width), scores have a background first.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

from paretodet.backbones.mobilenet_v1 import BODY, MobileNetV1
from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import DetectorSpec
from paretodet.necks.extra import ExtraLayers
from paretodet.rules.coders import DeltaCoder
from paretodet.weights import graph_rules
from paretodet.weights.anchors import XYWH, Orders, anchor_orders, in_order
from paretodet.weights.folded import folded
from paretodet.weights.formats.tflite import POSTPROCESS
from paretodet.weights.naming import Naming, Tensors
from paretodet.weights.safe import WeightsError

BIAS = "BoxPredictor_0/BoxEncodingPredictor/Conv2D_bias"  # only TOCO ends a name so
ANCHORS = "anchors"  # [N, 4]: center y and x, height and width, as fractions of the canvas
SCALES = tuple(f"{POSTPROCESS}/{side}_scale" for side in "xywh")  # the units of the codes
BACKBONE = "FeatureExtractor/MobilenetV1"
LAST, BOXES, SCORES = f"backbone.body.{len(BODY) - 1}.pointwise", "heads.0.boxes.0", "heads.0.scores.0"
PLACES = (  # of a scope; the path of a convolution or of the block that has it; the number in the scope that is our 0
    (rf"{BACKBONE}/MobilenetV1/Conv2d_(0)", "backbone.stem", 0),
    (rf"{BACKBONE}/MobilenetV1/Conv2d_(\d+)_depthwise", "backbone.body.{}.depthwise", 1),
    (rf"{BACKBONE}/MobilenetV1/Conv2d_(\d+)_pointwise", "backbone.body.{}.pointwise", 1),
    (rf"{BACKBONE}/Conv2d_13_pointwise_1_Conv2d_(\d+)_1x1_\d+", "neck.steps.{}.squeeze", 2),
    (rf"{BACKBONE}/Conv2d_13_pointwise_2_Conv2d_(\d+)_3x3_s2_\d+", "neck.steps.{}.grow", 2),
    (r"BoxPredictor_(\d+)/BoxEncodingPredictor", "heads.0.boxes.{}", 0),
    (r"BoxPredictor_(\d+)/ClassPredictor", "heads.0.scores.{}", 0),
)


def _matches(names: Collection[str]) -> bool:
    return BIAS in names


def _metadata(tensors: Tensors, spec: DetectorSpec) -> dict[str, Any]:
    """The width, by the channels of the last map of the backbone, the number of classes, and the overlap that the graph
    states in place of the catalogue's."""
    _check(tensors, spec)
    rows, factor = _rows(tensors), _width(tensors)
    found: dict[str, Any] = {} if factor is None else {"width": factor}
    if rows.get(BOXES) and rows.get(SCORES):
        found["classes"] = 4 * rows[SCORES] // rows[BOXES] - 1
    return found | graph_rules.taken_over(tensors, spec)


def _width(tensors: Tensors) -> float | None:
    rows = _rows(tensors)
    return rows[LAST] / BODY[-1][1] if rows.get(LAST) else None


def _rows(tensors: Tensors) -> dict[str | None, int]:
    """The channels that each convolution computes, by its path."""
    return {_path(name): len(values) for name, values in tensors.items() if values.dim() == 4}


def _state(tensors: Tensors, module: nn.Module) -> Tensors:
    """A tensor whose shape has no place keeps its numbers, so that the check of shapes reports it."""
    if not isinstance(module, Detector):
        raise _other(type(module).__name__)
    _check(tensors, module.spec)
    graph_rules.check(tensors, module.spec)
    _check_scales(tensors, module.spec)
    orders, state = _orders(tensors.get(ANCHORS), module), dict[str, Tensor]()
    modules = dict(module.named_modules())
    for name, values in tensors.items():
        if name == ANCHORS or name.startswith(f"{POSTPROCESS}/") or not values.is_floating_point():
            continue  # integers are shapes, which the graph computes with
        for place, ours in _placed(name, values, modules, orders).items():
            state[name if place in state else place] = ours
    return state


def _check(tensors: Tensors, spec: DetectorSpec) -> None:
    """Raises WeightsError for a file of another network, and for another detector."""
    if not any(name.startswith(f"{BACKBONE}/") for name in tensors):
        message = "of LiteRT files only those of an SSD with MobileNet v1 are read, which this is not: import the "
        raise WeightsError(f"{message}frozen graph (.pb) or the checkpoint of the same network", "weights-other")
    if not isinstance(spec.backbone, MobileNetV1) or not isinstance(spec.neck, ExtraLayers):
        raise _other(spec.name)


def _check_scales(tensors: Tensors, spec: DetectorSpec) -> None:
    """Raises WeightsError if boxes are coded in other units, where the file states them."""
    stated, ours = (tensors[name] for name in SCALES if name in tensors), spec.stages[0].coder
    found = tuple(float(each) for each in stated if each.numel() == 1)
    if found and (not isinstance(ours, DeltaCoder) or found != ours.weights):
        message = f"its boxes are coded with the factors {found} of x, y, width and height, not as {spec.name} does"
        raise WeightsError(message, "weights-other")


def _other(name: str) -> WeightsError:
    return WeightsError(f"it has weights of an SSD with MobileNet v1, not of {name}", "weights-other")


def _orders(anchors: Tensor | None, detector: Detector) -> Orders:
    if anchors is None or anchors.dim() != 2 or anchors.shape[1] != 4:
        message = f"it has no tensor {ANCHORS!r} [N, 4], which tells the order of its boxes"
        raise WeightsError(message, "weights-shape")
    return anchor_orders(anchors[:, XYWH], detector)


def _path(name: str) -> str | None:
    """The path of the convolution, or of its block, that a tensor of this name is of."""
    for scope, path, first in PLACES:
        if found := re.fullmatch(f"{scope}/.+", name):
            return path.format(int(found[1][:4]) - first)
    return None


def _placed(name: str, values: Tensor, modules: Mapping[str, nn.Module], orders: Orders) -> dict[str, Tensor]:
    """The values under our names; under their own if they have no place."""
    path = _path(name)
    block: Any = modules.get(path) if path else None
    if path is None or block is None or values.dim() not in (1, 4):
        return {name: values}
    if isinstance(block, nn.Conv2d):
        return {f"{path}.{'weight' if values.dim() == 4 else 'bias'}": _of_head(_arranged(values, block), path, orders)}
    if values.dim() == 4:
        return {f"{path}.conv.weight": _arranged(values, block.conv)}
    return {f"{path}.norm.{field}": each for field, each in folded(values, block.norm).items()}


def _arranged(values: Tensor, conv: nn.Conv2d) -> Tensor:
    """[out, h, w, in], or depthwise [1, h, w, channels] -> [out, in / groups, h, w]; a bias is as it is."""
    if values.dim() == 1:
        return values
    return values.permute(3, 0, 1, 2) if conv.groups > 1 else values.permute(0, 3, 1, 2)


def _unproved(tensors: Tensors, module: nn.Module) -> tuple[str, ...]:
    return graph_rules.assumed(tensors, module.spec) if isinstance(module, Detector) else ()


def _of_head(values: Tensor, path: str, orders: Orders) -> Tensor:
    _, _, kind, level = path.split(".")
    return in_order(values, orders[int(level)], XYWH if kind == "boxes" else None)


NAMING = Naming(
    name="tf-detection-lite",
    title="TF Object Detection API, norms folded",
    matches=_matches,
    state=_state,
    metadata=_metadata,
    width=_width,
    unproved=_unproved,
)
