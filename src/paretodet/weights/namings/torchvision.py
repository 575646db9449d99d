"""torchvision's names: its detectors on ResNet-50 and VGG-16, and its VGG-16, ResNets and Inception V3 as backbones.

Files of before torchvision 0.13 have other names in pyramids and heads; both are known. A classifier has no place in a
backbone and is left out. timm's ResNets, VGG-16 and Inception V3 have the same names but for their classifiers; its
fc6 and fc7 of VGG-16 are convolutions over the whole map.
torchvision's Inception V3 counts the padding in its averages; ours and TF-slim's, whose weights it has, do not.
Its VGG-16 divides pixels by their standard deviation; detectors on VGG-16 do not, so the first layer does it for them.
Another VGG-16 that it publishes was trained without dividing them, and has NaN in place of a classifier.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from paretodet.backbones.resnet import ResNetNet
from paretodet.backbones.vgg import VGG16Net
from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import DetectorSpec
from paretodet.layers.frozen import FrozenNorm2d
from paretodet.weights.naming import COUNTER, Naming, Tensors
from paretodet.weights.renaming import Numbering, counted, placed, resnet_unit, rules
from paretodet.weights.safe import WeightsError

DETECTORS = ("backbone.body.conv1.weight", "backbone.scale_weight")
CLASSIFIERS = ("layer1.0.conv1.weight", "features.0.weight", "Mixed_5b.branch1x1.conv.weight")
LEFT_OUT = ("fc.", "classifier.", "AuxLogits.", "pre_logits.", "head.fc.")  # where a backbone has no place for them
TRAINED_EPS = 1e-5  # of batch norms, which a model has if no weights are given; frozen norms of published models have 0
QUESTION = (
    "the file does not say the epsilon of its norms: convert it with `paretodet import`, with --norm-eps 0 if "
    "torchvision published the model or it was trained from such a one, with --norm-eps 1e-5 if it was trained from an "
    "ImageNet backbone"
)
MEMBERS = {"conv1": "squeeze.conv", "conv2": "spatial.conv", "conv3": "expand.conv", "downsample.0": "shortcut.conv"}
MEMBERS |= {"bn1": "squeeze.norm", "bn2": "spatial.norm", "bn3": "expand.norm", "downsample.1": "shortcut.norm"}
DEVIATION = (58.395, 57.12, 57.375)  # of pixels
FIRST = "blocks.0.0.weight"  # of our VGG-16
FC = ("fc6.weight", "fc7.weight")  # which timm has as convolutions
RETINANET = "heads.0.scores.out.bias"
VGG = (0, 4, 9, 16, 23)  # the first layer of every block of VGG-16: a convolution, then the poolings
MIXED = {  # branches of Inception's modules in our order
    "5": ("branch1x1", "branch5x5", "branch3x3dbl", "branch_pool"),
    "6a": ("branch3x3", "branch3x3dbl"),
    "6": ("branch1x1", "branch7x7", "branch7x7dbl", "branch_pool"),
    "7a": ("branch3x3", "branch7x7x3"),
    "7": ("branch1x1", "branch3x3", "branch3x3dbl", "branch_pool"),
}


def _unit(match: re.Match[str], numbering: Numbering) -> str:
    return f"{_prefix(match)}{resnet_unit(int(match[2]) - 1, int(match[3]), numbering)}.{MEMBERS[match[4]]}."


def _stem(match: re.Match[str], numbering: Numbering) -> str:
    return f"{_prefix(match)}stem.{'norm' if match[2] == 'bn1' else 'conv'}."


def _vgg(match: re.Match[str], numbering: Numbering) -> str:
    index = int(match[2])
    block = max(number for number, start in enumerate(VGG) if start <= index)
    return f"{'backbone.conv4_3' if match[1] else 'blocks'}.{block}.{index - VGG[block]}."


def _inception(match: re.Match[str], numbering: Numbering) -> str:
    """Mixed_7b.branch3x3_2a.bn -> layers.Mixed_7b.Branch_1.1.Branch_0.0.norm"""
    module, branch, position, half, part = match.groups()
    branches = MIXED.get(module[:2]) or MIXED[module[0]]
    if branch not in branches:
        return match[0]
    place = int(position) - 1 if position else int(branch == "branch_pool")
    inner = f".Branch_{'ab'.index(half)}.0" if half else ""
    kind = "norm" if part == "bn" else "conv"
    return f"layers.Mixed_{module}.Branch_{branches.index(branch)}.{place}{inner}.{kind}."


def _head(match: re.Match[str], rest: str) -> str:
    return f"heads.0.{'scores' if match[1] == 'classification' else 'boxes'}.{rest}."


def _prefix(match: re.Match[str]) -> str:
    return "backbone." if match[1] else ""


HEAD = r"head\.(classification|regression)_head\."
BODY = r"(backbone\.body\.)?"
RULES = rules(
    (BODY + r"layer([1-4])\.(\d{1,3})\.(conv[123]|bn[123]|downsample\.[01])\.", _unit),
    (BODY + r"(conv1|bn1)\.", _stem),
    (r"(backbone\.)?features\.(\d{1,3})\.", _vgg),
    (r"(?:classifier\.0|pre_logits\.fc1)\.", "fc6."),
    (r"(?:classifier\.3|pre_logits\.fc2)\.", "fc7."),
    (r"(Conv2d_\w+)\.conv\.", r"layers.\1.conv."),
    (r"(Conv2d_\w+)\.bn\.", r"layers.\1.norm."),
    (
        r"Mixed_(5[bcd]|6[abcde]|7[abc])\.(branch(?:_pool|[0-9x]+(?:dbl)?))(?:_(\d)([ab])?)?\.(conv|bn)\.",
        _inception,
    ),
    (r"backbone\.fpn\.inner_blocks\.(\d)(?:\.0)?\.", r"neck.laterals.\1."),
    (r"backbone\.fpn\.layer_blocks\.(\d)(?:\.0)?\.", r"neck.smooth.\1."),
    (r"backbone\.fpn\.extra_blocks\.", "neck.extra."),
    (r"backbone\.scale_weight$", "neck.scale.scale"),
    (r"backbone\.extra\.0\.([135])\.", r"backbone.conv5_3.\1."),
    (r"backbone\.extra\.0\.7\.1\.", "backbone.fc6."),
    (r"backbone\.extra\.0\.7\.3\.", "backbone.fc7."),
    (r"backbone\.extra\.([1-4])\.0\.", lambda match, _: f"neck.steps.{int(match[1]) - 1}.squeeze.conv."),
    (r"backbone\.extra\.([1-4])\.2\.", lambda match, _: f"neck.steps.{int(match[1]) - 1}.grow.conv."),
    (HEAD + r"module_list\.(\d)\.", lambda match, _: _head(match, match[2])),
    (HEAD + r"conv\.(\d)\.0\.", lambda match, _: _head(match, f"convs.{match[2]}.conv")),
    (HEAD + r"conv\.([0246])\.(?!\d)", lambda match, _: _head(match, f"convs.{int(match[2]) // 2}.conv")),
    (HEAD + r"(?:cls_logits|bbox_reg)\.", lambda match, _: _head(match, "out")),
    (r"rpn\.head\.conv(?:\.0\.0)?\.(?!\d)", "heads.0.conv."),
    (r"rpn\.head\.cls_logits\.", "heads.0.scores."),
    (r"rpn\.head\.bbox_pred\.", "heads.0.boxes."),
    (r"roi_heads\.box_head\.fc6\.", "heads.1.hidden.1."),
    (r"roi_heads\.box_head\.fc7\.", "heads.1.hidden.3."),
    (r"roi_heads\.box_predictor\.cls_score\.", "heads.1.head.scores."),
    (r"roi_heads\.box_predictor\.bbox_pred\.", "heads.1.head.boxes."),
    (r"roi_heads\.mask_head\.(\d)\.0\.", lambda match, _: f"mask_head.layers.conv{int(match[1]) + 1}."),
    (r"roi_heads\.mask_head\.mask_fcn(\d)\.", r"mask_head.layers.conv\1."),
    (r"roi_heads\.mask_predictor\.conv5_mask\.", "mask_head.layers.enlarge."),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits\.", "mask_head.layers.masks."),
)


def our_names(names: Collection[str]) -> dict[str, str]:
    """torchvision's names -> ours; a name without a place is kept."""
    numbering = Numbering(units=tuple(counted(names, rf"\blayer{n}\.(\d{{1,3}})\.") for n in (1, 2, 3)))
    return placed(names, RULES, numbering)


def _matches(names: Collection[str]) -> bool:
    return any(sign in names for sign in (*DETECTORS, *CLASSIFIERS))


def _metadata(tensors: Tensors, spec: DetectorSpec) -> dict[str, Any]:
    """The number of classes, and the epsilon of the norms where batch norms saved them.

    RetinaNet's first class is that of the background, which no label has.
    """
    _check_spec(spec)
    rows = {place: tensors[name].numel() for name, place in our_names(tensors).items() if place.endswith(".bias")}
    found: dict[str, Any] = {"norm_eps": TRAINED_EPS} if _counts(tensors) else {}
    found |= {"unused": 1} if RETINANET in rows else {}
    classes = _classes(rows)
    return found if classes is None else found | {"classes": classes}


def _classes(rows: Mapping[str, int]) -> int | None:
    """The number of classes of heads whose biases have these lengths; None if there is no such head."""
    if (regions := rows.get("heads.1.head.scores.bias")) is not None:
        return regions - 1
    for layer, background in (("out", 0), ("0", 1)):  # RetinaNet's, SSD's
        boxes, scores = (rows.get(f"heads.0.{part}.{layer}.bias") for part in ("boxes", "scores"))
        if boxes and scores is not None:
            return 4 * scores // boxes - background
    return None


def _unsaid(tensors: Tensors) -> dict[str, str]:
    return {} if DETECTORS[0] not in tensors or _counts(tensors) else {"norm_eps": QUESTION}


def _unproved(tensors: Tensors, module: nn.Module) -> tuple[str, ...]:
    """What a classifier leaves open: others, of timm and converted from Caffe, have the same names and shapes."""
    if isinstance(module, Detector) or _takes_whole_pixels(tensors):
        return ()
    open_ = "where its strides are, whether it blurs between layers and " if isinstance(module, ResNetNet) else ""
    return (f"The file does not show {open_}how pixels are prepared: it is taken to be one of torchvision.",)


def _counts(tensors: Tensors) -> bool:
    return any(name.endswith(COUNTER) for name in tensors)


def _state(tensors: Tensors, module: nn.Module) -> Tensors:
    """Raises WeightsError for a detector or backbone that differs from torchvision's although the tensors fit."""
    _check(tensors, module)
    wanted, places = module.state_dict().keys(), our_names(tensors)
    kept = {
        places[name]: tensor
        for name, tensor in tensors.items()
        if places[name] in wanted or not (_left_out(name) or _is_without_effect(name, tensor))
    }
    if isinstance(module, VGG16Net):
        kept |= _vgg16(tensors, kept)
    counters = {name: torch.zeros((), dtype=torch.int64) for name in wanted if name.endswith(COUNTER)}
    return counters | kept


def _vgg16(tensors: Tensors, kept: Tensors) -> dict[str, Tensor]:
    """VGG-16's layers in another form: fc6 and fc7 as matrices, the first one for pixels that are not divided."""
    found = {name: kept[name].flatten(1) for name in FC if name in kept and kept[name].dim() == 4}
    first = kept.get(FIRST)
    if first is not None and first.shape[1:2] == (3,) and not _takes_whole_pixels(tensors):
        found[FIRST] = first / first.new_tensor(DEVIATION).view(-1, 1, 1)
    return found


def _takes_whole_pixels(tensors: Tensors) -> bool:
    """Whether it is the VGG-16 of which torchvision publishes only the features."""
    classifier = tensors.get("classifier.0.bias")
    return classifier is not None and not classifier.is_meta and bool(classifier.isnan().all())


def _left_out(name: str) -> bool:
    return name.endswith(COUNTER) or name.startswith(LEFT_OUT)


def _is_without_effect(name: str, tensor: Tensor) -> bool:
    """Whether it is a factor of 1, as in norms of Inception V3, which TF-slim trained without factors."""
    return name.endswith(".bn.weight") and not tensor.is_meta and bool((tensor == 1).all())


def _check(tensors: Tensors, module: nn.Module) -> None:
    if isinstance(module, ResNetNet) and module.layout != "torchvision":
        raise WeightsError(
            "torchvision's ResNets have their strides in the 3x3 convolutions, not as "
            f"{module.layout!r} has them: import the file as resnet50_torchvision, or 101 or 152",
            "weights-other",
        )
    if isinstance(module, VGG16Net) and hasattr(module, "fc6") and _is_without_classifier(tensors):
        raise WeightsError(
            "it has the features of VGG-16 and no values of its classifier (fc6, fc7): import it as vgg16_features",
            "weights-other",
        )
    if not isinstance(module, Detector):
        return
    _check_spec(module.spec)
    other = {part.eps for part in module.modules() if isinstance(part, FrozenNorm2d)} - {TRAINED_EPS}
    if _counts(tensors) and other:
        raise WeightsError(
            f"its batch norms have the epsilon {TRAINED_EPS:g}, those of {module.spec.name} {max(other):g}: convert it "
            "with `paretodet import` and use the result",
            "weights-norm-eps",
        )


def _is_without_classifier(tensors: Tensors) -> bool:
    places = our_names(tensors).values()
    return FIRST in places and (FC[0] not in places or _takes_whole_pixels(tensors))


def _check_spec(spec: DetectorSpec) -> None:
    if not spec.name.split("-")[0].endswith("_tv"):
        raise WeightsError(
            f"torchvision's detectors differ from {spec.name} in anchors, pixels or strides: use ssd_tv-vgg16-300, "
            "retinanet_tv-resnet50-800, faster_rcnn_tv-resnet50-800x1344 or mask_rcnn_tv-resnet50-800x1344",
            "weights-other",
        )


NAMING = Naming(
    name="torchvision",
    title="torchvision",
    matches=_matches,
    state=_state,
    metadata=_metadata,
    unsaid=_unsaid,
    unproved=_unproved,
    published_eps={"258fb6c6": 0.0, "bf2d0c1e": 0.0, "eeacb38b": 0.0},  # the first digits are in the names of its files
)
