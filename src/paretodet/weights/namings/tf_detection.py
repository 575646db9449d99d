"""TensorFlow's Object Detection API (SSD, Faster R-CNN, R-FCN, Mask R-CNN), and TF-slim's classifiers, from which
it starts.

Names: `FeatureExtractor/MobilenetV1/Conv2d_0/weights` of an SSD, `FirstStageFeatureExtractor/…` and
`SecondStageFeatureExtractor/…` of the others, `MobilenetV1/Conv2d_0/weights` of a classifier. Boxes are (y, x, height,
width), the background is class 0.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from paretodet.backbones.mobilenet_v2 import LAST as LAST_CHANNELS
from paretodet.backbones.mobilenet_v2 import MobileNetV2Net
from paretodet.backbones.resnet import ResNetNet
from paretodet.detectors.detector import Detector
from paretodet.detectors.released import as_released
from paretodet.detectors.spec import DetectorSpec
from paretodet.heads.dense import SeparableHead, SeparateHead
from paretodet.heads.position_sensitive import PositionSensitiveHead
from paretodet.rules.anchors import MultiGridAnchors
from paretodet.weights import graph_rules
from paretodet.weights.anchors import (
    XYWH,
    check_region_grid,
    in_order,
    multi_grid_orders,
    shows_sizes,
    unknown_of_region_grid,
)
from paretodet.weights.naming import Naming, Tensors
from paretodet.weights.safe import WeightsError
from paretodet.weights.slim_layers import DEPTHWISE, VARIABLE, Layers, check_placed, layers_of, under, units
from paretodet.weights.slim_networks import NETWORKS, ROOT, SlimPlace

ROOTS = re.compile(rf"((First|Second)Stage)?(FeatureExtractor/)?{ROOT.pattern}")
RENAMED = (  # of scopes, to the names of an SSD without its prefix
    (r"^SecondStageFeatureExtractor/InceptionResnetV2/Repeat/", "InceptionResnetV2/Repeat_2/"),
    (r"^(FirstStage|SecondStage|)FeatureExtractor/", ""),
    (r"^(\w+)/\1/", r"\1/"),  # names of operations double the scope
    (r"^Prediction/(BoxPredictor_\d+/)", r"\1"),  # a converted SSD of faces
    (r"^Prediction/Conv2d_([0246])_pointwise$", r"MobilenetV1/Conv2d_13_pointwise_1_Conv2d_\1_"),
    (r"^Prediction/Conv2d_([1357])_pointwise$", r"MobilenetV1/Conv2d_13_pointwise_2_Conv2d_\1_"),
    (r"^MobilenetV1/Conv2d_0_pointwise$", "MobilenetV1/Conv2d_0"),
)
UNUSED = re.compile(r"FirstStageFeatureExtractor/resnet_v1_\d+/block4/")  # TensorFlow builds it, and runs it nowhere
EXTRA = re.compile(  # a layer behind the network: its 1x1 is 1, its 3x3 is 2, of two parts if it is separable
    r".+_([12])_Conv2d_(\d+)_[^/]*?(_depthwise)?"
)
SSD_HEAD = {"boxes": "BoxEncodingPredictor", "scores": "ClassPredictor"}
SSD_BOXES = "BoxPredictor_0/BoxEncodingPredictor"
RFCN_BOXES, RFCN_SCORES = "SecondStageBoxPredictor/refined_locations", "SecondStageBoxPredictor/class_predictions"
REGION_HEADS = {  # part of a detector -> scopes, of which it has one
    "heads.0.conv": ("Conv",),
    "heads.0.boxes": ("FirstStageBoxPredictor/BoxEncodingPredictor",),
    "heads.0.scores": ("FirstStageBoxPredictor/ClassPredictor",),
    "heads.1.reduce": ("SecondStageBoxPredictor/reduce_depth",),
    "heads.1.boxes": ("SecondStageBoxPredictor/BoxEncodingPredictor", RFCN_BOXES),
    "heads.1.scores": ("SecondStageBoxPredictor/ClassPredictor", RFCN_SCORES),
    "mask_head.convs": tuple(f"SecondStageBoxPredictor/Conv{end}" for end in ("", *(f"_{n}" for n in range(1, 9)))),
}
MASK_SIDES = re.compile(r"SecondStageBoxPredictor(_\d)?/ResizeBilinear/size")  # a constant of graphs
BOXES = re.compile(r"heads\.\d\.boxes\b(?!.*depthwise)")
LEVEL = re.compile(r"heads\.0\.(?:boxes|scores)\.(\d+)\b(?!.*depthwise)")  # of an SSD
MOST_REPEATED = 2**24  # numbers of a file that it does not store one by one
UNIT = "/unit_"  # in the scope of a layer of a ResNet, behind its block
LAST = "MobilenetV2/Conv_1"


def matches(names: Collection[str]) -> bool:
    """Whether there are variables of a network of slim."""
    return any(ROOTS.match(name) and VARIABLE.fullmatch(name) for name in names)


def state(tensors: Tensors, module: nn.Module) -> Tensors:
    """The state of a detector, or of a backbone from a classifier or a detector.

    Variables without a place keep their names, except those that a backbone does not have. Raises WeightsError if the
    anchors are others, or those of an SSD in an order that the tensors do not tell, if masks have another side, if the
    graph has other rules, if norms were folded by names that are not known, or if a ResNet has other strides or more
    units than the module.
    """
    _check_repeated(tensors)
    check_placed(name for name in tensors if not VARIABLE.fullmatch(name))
    if isinstance(module, Detector):
        _check_masks(tensors, module.spec)
        check_region_grid(tensors, module.spec)
        graph_rules.check(tensors, module.spec)
    _check_layout(module)
    layers = _renamed(layers_of(tensors))
    _check_last(module, layers)
    found, places = dict[str, Tensor](), list(_places(module, layers))
    for part, scopes in places:
        wanted = [scope for root in scopes for scope in under(layers, root)]
        for unit, scope in zip(units(part, module.get_submodule(part)), wanted, strict=False):
            found |= dict(unit.state(layers[scope]))
    if not isinstance(module, Detector):
        _check_depth(places, layers)
        return found
    rest = {f"{scope}/{leaf}": tensor for scope, layer in layers.items() for leaf, tensor in layer.items()}
    check_placed(rest)
    return _reordered(found, tensors, module) | rest


def metadata(tensors: Tensors, spec: DetectorSpec) -> dict[str, Any]:
    """The width of the network, `classes`, how many the last head has, what the graph states in place of the catalogue,
    and whether the spec differs from the released code, of which region detectors are.
    """
    layers = _renamed(layers_of(tensors))
    released = len(spec.stages) > 1 and as_released(spec) != spec and not _of_paper(layers, spec)
    fields = {"width": width(tensors), "classes": _classes(layers), "released": released or None}
    known = {name: value for name, value in fields.items() if value is not None}
    return known | graph_rules.taken_over(tensors, spec)


def _check_layout(module: nn.Module) -> None:
    """Raises WeightsError for a ResNet whose strides are not where those of slim are."""
    backbone = module.backbone if isinstance(module, Detector) else module
    if isinstance(backbone, ResNetNet) and backbone.layout != "slim":
        raise WeightsError(
            "TF-slim's ResNets have their strides in the last unit of a block, not as "
            f"{backbone.layout!r} has them: import the file as resnet50, resnet101 or resnet152",
            "weights-other",
        )


def _check_last(module: nn.Module, layers: Layers) -> None:
    """Raises WeightsError for a narrow MobileNet v2 whose last convolution is as wide as that of the other form."""
    backbone = module.backbone if isinstance(module, Detector) else module
    if not isinstance(backbone, MobileNetV2Net) or backbone.last is None:
        return
    found, wanted = _outputs(layers, LAST), backbone.info.channels[-1]
    if found == LAST_CHANNELS > wanted:
        message = f"its last convolution has all {found} channels, as only classifiers of TF-slim have: import it as "
        raise WeightsError(f"{message}mobilenet_v2_classifier", "weights-other")
    if 0 < found < wanted == LAST_CHANNELS:
        message = f"its last convolution has {found} channels, those of classifiers {wanted}: import it as mobilenet_v2"
        raise WeightsError(message, "weights-other")


def _check_depth(places: Iterable[SlimPlace], layers: Layers) -> None:
    """Raises WeightsError if the blocks of a ResNet have more units in the file than in the backbone, which would be
    filled all the same.
    """
    placed = {scope for place in places for scope in place.scopes if UNIT in scope}
    blocks = {scope.partition(UNIT)[0] for scope in placed}
    more = (scope for scope in layers if UNIT in scope and scope not in placed)
    if deeper := next((scope for scope in more if scope.partition(UNIT)[0] in blocks), None):
        raise WeightsError(f"it has {deeper}, of a deeper network: import it by the name of that one", "weights-other")


def _check_repeated(tensors: Tensors) -> None:
    """Raises WeightsError if few stored numbers stand for so many that a copy of them could fill the memory."""
    repeated = sum(tensor.numel() for tensor in tensors.values() if 0 in tensor.stride())
    if repeated > MOST_REPEATED:
        message = f"its tensors have {repeated:,} numbers that it does not store one by one, allowed {MOST_REPEATED:,}"
        raise WeightsError(message, "weights-shape")


def _check_masks(tensors: Tensors, spec: DetectorSpec) -> None:
    """Raises WeightsError if a graph says that its masks have another side, which no variable shows."""
    side = getattr(spec.masks.head, "side", None) if spec.masks else None
    for name, sizes in tensors.items():
        is_stated = side is not None and MASK_SIDES.fullmatch(name) and sizes.shape == (2,)
        if is_stated and sizes.tolist() != [side, side]:
            found = " x ".join(map(str, sizes.tolist()))
            raise WeightsError(f"its masks have {found} cells, those of {spec.name} {side} x {side}", "weights-other")


def _of_paper(layers: Layers, spec: DetectorSpec) -> bool:
    """Whether an R-FCN has the bins of the spec."""
    bins, head = _bins(layers), spec.stages[-1].head
    return bins is not None and isinstance(head, PositionSensitiveHead) and bins == head.bins**2


def _renamed(layers: Layers) -> Layers:
    result: Layers = {}
    for scope, layer in layers.items():
        if not UNUSED.match(f"{scope}/"):
            name = scope
            for pattern, replacement in RENAMED:
                name = re.sub(pattern, replacement, name)
            result.setdefault(name, {}).update(layer)
    return result


def _root(layers: Layers) -> str | None:
    return next((match[1] for scope in layers if (match := ROOT.match(f"{scope}/"))), None)


def _places(module: nn.Module, layers: Layers) -> Iterable[SlimPlace]:
    """All parts of `module` with the scopes of their layers."""
    detector = module if isinstance(module, Detector) else None
    backbone, prefix = (detector.backbone, "backbone.") if detector else (module, "")
    root = _root(layers)
    if root is not None and isinstance(backbone, NETWORKS[root].kind):
        for part, scopes in NETWORKS[root].places(backbone):
            yield SlimPlace(prefix + part, tuple(f"{root}/{scope}" for scope in scopes))
    if detector is None:
        return
    if isinstance(detector.spec.stages[0].head, SeparateHead | SeparableHead):
        yield from _ssd(detector, layers)
    else:
        yield from (SlimPlace(part, scopes) for part, scopes in REGION_HEADS.items() if _has(detector, part))


def _has(module: nn.Module, part: str) -> bool:
    return part in dict(module.named_modules())


def _ssd(detector: Detector, layers: Layers) -> Iterable[SlimPlace]:
    extras = [scope for scope in layers if EXTRA.fullmatch(scope)]
    yield SlimPlace("neck.steps", tuple(sorted(extras, key=_extra)))
    for level in range(len(detector.spec.anchors.per_cell)):
        for part, leaf in SSD_HEAD.items():
            scope = f"BoxPredictor_{level}/{leaf}"
            yield SlimPlace(f"heads.0.{part}.{level}", (f"{scope}_depthwise", scope))


def _extra(scope: str) -> tuple[int, int, bool]:
    match = EXTRA.fullmatch(scope)
    assert match
    return int(match[2]), int(match[1]), match[3] is None


def _reordered(found: Mapping[str, Tensor], tensors: Tensors, detector: Detector) -> dict[str, Tensor]:
    """Boxes as x, y, width, height, and the anchors of SSD's cells in the order of the detector."""
    orders = multi_grid_orders(tensors, detector) if isinstance(detector.spec.anchors, MultiGridAnchors) else ()
    result = {}
    for name, tensor in found.items():
        inside = XYWH if BOXES.match(name) else None
        if orders and (level := LEVEL.match(name)):
            result[name] = in_order(tensor, orders[int(level[1])], inside)
        else:
            result[name] = in_order(tensor, range(len(tensor) // 4), inside) if inside and tensor.dim() else tensor
    return result


def unproved(tensors: Tensors, module: nn.Module) -> tuple[str, ...]:
    """What a file does not have of its anchors: of an SSD all but their order, of a region detector some numbers."""
    if not isinstance(module, Detector):
        return ()
    name = module.spec.name
    if isinstance(module.spec.anchors, MultiGridAnchors) and not shows_sizes(tensors, module):
        return (f"Anchor sizes are not in the file: they are taken to be those of {name}.",)
    if unknown := unknown_of_region_grid(tensors, module.spec):
        return (f"The {', '.join(unknown)} of its anchors are not in the file: they are taken to be those of {name}.",)
    return ()


def _unproved(tensors: Tensors, module: nn.Module) -> tuple[str, ...]:
    """What a file has neither of its anchors nor of the rules of its graph."""
    rules = graph_rules.assumed(tensors, module.spec) if isinstance(module, Detector) else ()
    return (*unproved(tensors, module), *rules)


def width(tensors: Tensors) -> float | None:
    """The factor on the channels; None without the layer that tells it."""
    layers = _renamed(layers_of(tensors))
    if (root := _root(layers)) is None:
        return None
    network = NETWORKS[root]
    layer = layers.get(f"{root}/{network.layer}", {})
    channels = max(
        (tensor.shape[-1] for name, tensor in layer.items() if name != DEPTHWISE and tensor.dim()), default=0
    )
    return channels / network.channels if channels else None


def _classes(layers: Layers) -> int | None:
    """The classes of the last head, without the background."""
    if (logits := _outputs(layers, "BoxPredictor_0/ClassPredictor")) and (codes := _outputs(layers, SSD_BOXES)):
        return logits * 4 // codes - 1
    if logits := _outputs(layers, "SecondStageBoxPredictor/ClassPredictor"):
        return logits - 1
    if bins := _bins(layers):
        return _outputs(layers, RFCN_SCORES) // bins - 1
    return None


def _bins(layers: Layers) -> int | None:
    """The bins of an R-FCN: its scores have a background and its boxes have none."""
    bins = _outputs(layers, RFCN_SCORES) - _outputs(layers, RFCN_BOXES) // 4
    return bins if bins > 0 else None


def _outputs(layers: Layers, scope: str) -> int:
    """The channels that a layer predicts, 0 if there is none."""
    return next((tensor.shape[-1] for tensor in layers.get(scope, {}).values() if tensor.dim()), 0)


NAMING = Naming(
    name="tf-detection", title="TensorFlow's Object Detection API or TF-slim",
    matches=matches, state=state, metadata=metadata, width=width, unproved=_unproved,
)  # fmt: skip
