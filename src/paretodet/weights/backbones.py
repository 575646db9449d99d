"""Weights of a backbone alone, such as those of an ImageNet classifier, from which the training of a detector starts.

A file of them has the tensors of the backbone by its own names, and the backbone's name in its metadata.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from paretodet.backbones.mobilenet_v2 import MobileNetV2
from paretodet.backbones.named import NETWORKS
from paretodet.backbones.vgg import VGG16, VGG16Reduced
from paretodet.detectors.detector import Detector
from paretodet.errors import InputError
from paretodet.weights.safe import WeightsError

RESNETS: Mapping[str, Any] = {name: made for name, made in NETWORKS.items() if name.startswith("resnet")}
# vgg16 has the classifier's fc6 and fc7, which are the tail of region detectors; in SSD's they are convolutions, and
# vgg16_features lacks them.
# A ResNet without a layout in its name is slim's. mobilenet_v2_classifier keeps all channels of its last convolution at
# any width.
BACKBONES: Mapping[str, Any] = {
    **NETWORKS,
    "vgg16": VGG16(taps=(5,)),
    "vgg16_features": VGG16(taps=(5,), tail=False),
    "vgg16_reduced": VGG16Reduced(),
    "mobilenet_v2_classifier": MobileNetV2(whole_last=True),
    **{
        f"{name}_{layout}": replace(made, layout=layout)
        for layout in ("torchvision", "caffe")
        for name, made in RESNETS.items()
    },
}
TRUNKS = {VGG16: ("blocks.4.", "blocks."), VGG16Reduced: ("conv5_3.", "conv4_3.")}  # the same layers by other names
FIELDS = ("depth", "layout")  # of a backbone; with another one its weights mean something else


def build_backbone(name: str, width: float = 1.0) -> nn.Module:
    """The backbone of this name with random weights, its channels multiplied by `width`.

    Raises InputError naming all backbones, if it is none of them.
    """
    if name not in BACKBONES:
        raise InputError(f"backbone: got {name!r}, allowed {', '.join(BACKBONES)}", "name-unknown")
    with torch.random.fork_rng(devices=[]):
        return replace(BACKBONES[name], width=width).build()


def fitting(tensors: Mapping[str, Tensor], name: str, detector: Detector) -> dict[str, Tensor]:
    """The tensors of the backbone `name` by their names in a detector on it; layers that it does not have are left out.

    Raises WeightsError, without the file's path, if the tensors are not those of the backbone, or if the detector has
    another one or another width.
    """
    if not _is_on(detector, BACKBONES[name]):
        message = f"these are weights of the backbone {name}, and {detector.spec.name} has another one"
        raise WeightsError(message, "weights-other")
    _check_complete(tensors, name)
    given, wanted = _renamed(tensors, BACKBONES[name], detector.spec.backbone), detector.backbone.state_dict()
    found = {key: values for key, values in given.items() if key in wanted}
    if other := [key for key, values in found.items() if values.shape != wanted[key].shape]:
        raise WeightsError(f"backbone.{other[0]} has another shape in {detector.spec.name}", "weights-shape")
    return {f"backbone.{key}": values for key, values in found.items()}


def _check_complete(tensors: Mapping[str, Tensor], name: str) -> None:
    with torch.device("meta"):
        expected = build_backbone(name).state_dict().keys()
    if other := sorted(expected ^ tensors.keys()):
        fault = "is missing" if other[0] in expected else "does not belong to it"
        raise WeightsError(f"its tensors are not those of {name}: {other[0]} {fault}", "weights-shape")


def _is_on(detector: Detector, spec: Any) -> bool:
    backbone: Any = detector.spec.backbone
    alike = type(backbone) is type(spec) or {type(backbone), type(spec)} <= TRUNKS.keys()
    return alike and all(getattr(backbone, field, None) == getattr(spec, field, None) for field in FIELDS)


def _renamed(tensors: Mapping[str, Tensor], spec: Any, backbone: Any) -> dict[str, Tensor]:
    """The tensors by the names of `backbone`; of VGG-16 in another form only the trunk, as fc6 and fc7 differ."""
    if type(spec) is type(backbone):
        return dict(tensors)
    pairs = list(zip(TRUNKS[type(spec)], TRUNKS[type(backbone)], strict=True))
    renamed = {}
    for key, values in tensors.items():
        if pair := next((pair for pair in pairs if key.startswith(pair[0])), None):
            renamed[pair[1] + key.removeprefix(pair[0])] = values
    return renamed
