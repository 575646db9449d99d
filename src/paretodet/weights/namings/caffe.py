"""Caffe's VGG-16 networks: the classifier, Liu et al.'s SSD300 and SSD512, Ren et al.'s Faster R-CNN.

Tensors are named as in `formats/caffe.py`. Sources: examples/ssd of Liu et al.'s branch of Caffe, and py-faster-rcnn's
prototxt files. All of them take pixels as BGR and have the background first. In a proposal network the scores of the
background of all anchors come before those of the objects. Ren et al. saved the box layer for codes that are not
divided by their standard deviations.
"""

from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from paretodet.backbones.vgg import BLOCKS, VGG16Net, VGG16ReducedNet
from paretodet.detectors.detector import Detector
from paretodet.detectors.labels import COCO_80, VOC_20
from paretodet.detectors.spec import DetectorSpec
from paretodet.necks.extra import ExtraLayers
from paretodet.rules.anchors import PriorBoxes
from paretodet.weights import prior_boxes
from paretodet.weights.naming import Naming, Tensors
from paretodet.weights.safe import WeightsError

TRUNK = tuple(f"conv{block}_{i}" for block, (_, count) in enumerate(BLOCKS, 1) for i in range(1, count + 1))
VGG = (*TRUNK, "fc6", "fc7")
CLASSIFIER = {f"{layer}.{index}" for layer in ("fc6", "fc7", "fc8") for index in (0, 1)}  # a backbone may lack them
SECOND, THIRD = ("rpn_conv/3x3", "rpn_bbox_pred", "rpn_cls_score"), ("cls_score", "bbox_pred")
LABELS = {len(labels): labels for labels in (COCO_80, VOC_20)}  # of Liu et al.'s and Ren et al.'s data, in their order
FIELDS = ("weight", "bias")


def _matches(names: Collection[str]) -> bool:
    return f"{TRUNK[0]}.0" in names


def _metadata(tensors: Tensors, spec: DetectorSpec) -> dict[str, Any]:
    """The number of classes, their names if they are COCO's or VOC's, and the sizes of SSD's default boxes."""
    found: dict[str, Any] = {}
    if (classes := _classes(tensors)) is not None:
        found["classes"] = classes
        found |= {"labels": LABELS[classes]} if classes in LABELS else {}
    if isinstance(spec.anchors, PriorBoxes) and (percents := prior_boxes.percents(tensors, _sources(spec), spec)):
        found["prior_percents"] = percents
    return found


def _state(tensors: Tensors, module: nn.Module) -> Tensors:
    """Raises WeightsError if the file has other classes or default boxes than the detector `module`."""
    if not _layers(module):
        name = module.spec.name if isinstance(module, Detector) else type(module).__name__
        raise WeightsError(f"it has weights of a network on VGG-16, not of {name}", "weights-other")
    if not isinstance(module, Detector):
        return _backbone(tensors, module)
    numbers = prior_boxes.numbers(tensors)
    if isinstance(module.spec.anchors, PriorBoxes):
        prior_boxes.check(tensors, _sources(module.spec), module.spec)
    _check_classes(tensors, module.spec)
    placed = _placed({name: values for name, values in tensors.items() if name not in numbers}, module)
    return placed | _converted(placed, module)


def _backbone(tensors: Tensors, module: nn.Module) -> Tensors:
    """A backbone alone: the layers of the classifier that it does not have are left out."""
    placed = _placed(tensors, module)
    return {name: values for name, values in placed.items() if name not in CLASSIFIER}


def _placed(tensors: Tensors, module: nn.Module) -> dict[str, Tensor]:
    """The tensors by our names, in the shapes of our layers, the first layer for RGB."""
    places, wanted = dict(_places(module)), module.state_dict()
    placed = {}
    for name, values in tensors.items():
        place = places.get(name, name)
        shaped = _without_leading_ones(values, wanted[place].dim()) if place in wanted else values
        placed[place] = shaped.flip(1) if name == f"{TRUNK[0]}.0" and place != name and shaped.dim() == 4 else shaped
    return placed


def _places(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Our name of each tensor of a file: the layers come in the order of our modules."""
    ours = [name for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer, place in zip(_layers(module), ours, strict=False):
        yield from ((f"{layer}.{index}", f"{place}.{field}") for index, field in enumerate(FIELDS))
    if isinstance(module, Detector) and isinstance(module.spec.neck, ExtraLayers):
        yield "conv4_3_norm.0", "neck.scale.scale"


def _layers(module: nn.Module) -> tuple[str, ...]:
    """Caffe's names of layers with weights, in the order of our modules; none for a network that is not on VGG-16."""
    if isinstance(module, VGG16Net | VGG16ReducedNet):
        return VGG
    if not isinstance(module, Detector) or not isinstance(module.backbone, VGG16Net | VGG16ReducedNet):
        return ()
    if not isinstance(module.spec.neck, ExtraLayers):
        return (*VGG, *SECOND, *THIRD)
    sources = _sources(module.spec)
    extra = (f"{source[:-1]}{i}" for source in sources[2:] for i in (1, 2))
    return (*VGG, *extra, *(f"{s}_mbox_loc" for s in sources), *(f"{s}_mbox_conf" for s in sources))


def _sources(spec: DetectorSpec) -> tuple[str, ...]:
    """The maps with predictions of an SSD."""
    extra = range(len(spec.neck.layers)) if isinstance(spec.neck, ExtraLayers) else ()
    return ("conv4_3_norm", "fc7", *(f"conv{index + 6}_2" for index in extra))


def _without_leading_ones(values: Tensor, dims: int) -> Tensor:
    """Files of 2014 have four sides for each blob: a vector is (1, 1, 1, N), a matrix (1, 1, M, N)."""
    while values.dim() > dims and values.shape[0] == 1:
        values = values[0]
    return values


def _converted(placed: dict[str, Tensor], detector: Detector) -> dict[str, Tensor]:
    """The layers of a Faster R-CNN whose numbers have another order or scale; a shape that cannot be stays as it is."""
    if isinstance(detector.spec.neck, ExtraLayers):
        return {}
    deviations = torch.tensor(getattr(detector.spec.stages[-1].coder, "weights", (1.0,) * 4))
    converted = {}
    for field in FIELDS:
        scores, boxes = placed.get(f"heads.0.scores.{field}"), placed.get(f"heads.1.boxes.{field}")
        if scores is not None and scores.dim() and scores.shape[0] % 2 == 0:
            converted[f"heads.0.scores.{field}"] = (
                scores.reshape(2, -1, *scores.shape[1:]).transpose(0, 1).flatten(0, 1)
            )
        if boxes is not None and boxes.dim() and boxes.shape[0] % 4 == 0:
            scale = deviations.repeat(boxes.shape[0] // 4).view(-1, *[1] * (boxes.dim() - 1))
            converted[f"heads.1.boxes.{field}"] = boxes * scale
    return converted


def _classes(tensors: Tensors) -> int | None:
    """How many classes the file's layers have, without the background."""
    if (scores := tensors.get("cls_score.0")) is not None and scores.dim() > 1:
        return scores.shape[-2] - 1
    boxes, scores = (tensors.get(f"fc7_mbox_{kind}.0") for kind in ("loc", "conf"))
    if boxes is None or scores is None or not boxes.dim() or not scores.dim() or boxes.shape[0] < 4:
        return None
    return 4 * scores.shape[0] // boxes.shape[0] - 1


def _check_classes(tensors: Tensors, spec: DetectorSpec) -> None:
    classes = _classes(tensors)
    if classes is not None and classes != spec.classes:
        raise WeightsError(f"it has {classes} classes, and {spec.classes} are named: give --classes", "weights-other")


NAMING = Naming(
    name="caffe",
    title="Caffe (VGG-16, SSD, Faster R-CNN)",
    matches=_matches,
    state=_state,
    metadata=_metadata,
)
