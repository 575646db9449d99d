"""Detectron's names: RetinaNet, Faster, Mask and Cascade R-CNN on ResNet-50 to -152 with a pyramid, and its ResNets.

Its first convolution reads BGR; ours gets the same weights for RGB. Its norms are a factor and an offset for each
channel, without statistics. The background is the first class, as in ours.
"""

import re
from collections.abc import Collection
from typing import Any

from torch import Tensor, nn

from paretodet.backbones.resnet import ResNetNet
from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import DetectorSpec
from paretodet.weights import detectron_cfg
from paretodet.weights.folded import folded
from paretodet.weights.naming import Naming, Tensors
from paretodet.weights.renaming import Numbering, counted, placed, resnet_unit, rules
from paretodet.weights.safe import WeightsError

SIGN = "res_conv1_bn_s"
STEM = "stem.conv.weight"
FAMILIES = ("retinanet", "faster_rcnn_fpn", "mask_rcnn", "cascade_rcnn")
LEFT_OUT = re.compile(
    rf"{detectron_cfg.MARK}|.*_momentum$|__preserve__/|(fc1000|pred)_[wb]$|conv1_b$"
)  # Detectron computes with none of them
BRANCHES = {"1": "shortcut", "2a": "squeeze", "2b": "spatial", "2c": "expand"}
KINDS = {"w": "weight", "b": "bias"}


def _unit(match: re.Match[str], numbering: Numbering) -> str:
    unit = f"{resnet_unit(int(match[1]) - 2, int(match[2]), numbering)}.{BRANCHES[match[3]]}"
    return f"{unit}.conv.weight" if match[4] == "w" else _norm(unit, match[4])


def _norm(path: str, name: str) -> str:
    """res_conv1_bn_s -> stem.norm.weight"""
    return f"{path}.norm.{'weight' if name.endswith('s') else 'bias'}"


def _level(row: str, match: re.Match[str], numbering: Numbering) -> str:
    return f"neck.{row}.{int(match[1]) - numbering.finest}.{KINDS[match[2]]}"


def _tower(match: re.Match[str], numbering: Numbering) -> str:
    """retnet_cls_conv_n0_fpn3_w -> heads.0.scores.convs.0.conv.weight"""
    part = f"convs.{match[3]}.conv" if match[2] == "conv" else "out"
    return f"heads.0.{'scores' if match[1] == 'cls' else 'boxes'}.{part}.{KINDS[match[4]]}"


def _region(path: str) -> Any:
    """Of Cascade R-CNN's later stages the names have a number: cls_score_2_w -> heads.2.head.scores.weight"""
    return lambda match, numbering: f"heads.{match[1] or 1}.{path}.{KINDS[match[2]]}"


def _with_kind(path: str) -> Any:
    return lambda match, numbering: f"{path.format(*match.groups())}.{KINDS[match[match.lastindex]]}"


RULES = rules(
    (r"conv1_w$", STEM),
    (r"res_conv1_bn_([sb])$", lambda match, _: _norm("stem", match[1])),
    (r"res([2-5])_(\d{1,3})_branch(1|2[abc])_(w|bn_[sb])$", _unit),
    (r"fpn_inner_res([2-5])_\d+_sum(?:_lateral)?_([wb])$", lambda match, levels: _level("laterals", match, levels)),
    (r"fpn_res([2-5])_\d+_sum_([wb])$", lambda match, levels: _level("smooth", match, levels)),
    (r"fpn_([67])_([wb])$", _with_kind("neck.extra.p{0}")),
    (r"retnet_(cls|bbox)_(conv)_n([0-3])_fpn3_([wb])$", _tower),
    (r"retnet_(cls|bbox)_(pred)(_)fpn3_([wb])$", _tower),
    (r"conv_rpn_fpn2_([wb])$", _with_kind("heads.0.conv")),
    (r"rpn_cls_logits_fpn2_([wb])$", _with_kind("heads.0.scores")),
    (r"rpn_bbox_pred_fpn2_([wb])$", _with_kind("heads.0.boxes")),
    (r"fc6(?:_([23]))?_([wb])$", _region("hidden.1")),
    (r"fc7(?:_([23]))?_([wb])$", _region("hidden.3")),
    (r"cls_score(?:_([23]))?_([wb])$", _region("head.scores")),
    (r"bbox_pred(?:_([23]))?_([wb])$", _region("head.boxes")),
    (r"_\[mask\]_fcn([1-4])_([wb])$", _with_kind("mask_head.layers.conv{0}")),
    (r"conv5_mask_([wb])$", _with_kind("mask_head.layers.enlarge")),
    (r"mask_fcn_logits_([wb])$", _with_kind("mask_head.layers.masks")),
)


def our_names(names: Collection[str]) -> dict[str, str]:
    """Detectron's names -> ours, those of the backbone without `backbone.`; a name without a place is kept."""
    units = tuple(counted(names, rf"^res{block}_(\d{{1,3}})_branch") for block in (2, 3, 4))
    return placed(names, RULES, Numbering(units=units, finest=5 - counted(names, r"^fpn_inner_res(\d)_") + 1))


def _metadata(tensors: Tensors, spec: DetectorSpec) -> dict[str, Any]:
    """What the configuration states in place of the catalogue, and the number of classes: RetinaNet's 9 anchors have
    one score a class each, a region has one for the background.
    """
    _check_spec(spec)
    stated = detectron_cfg.taken_over(tensors, spec)
    if (scores := tensors.get("retnet_cls_pred_fpn3_b")) is not None:
        return stated | {"classes": scores.numel() // spec.anchors.per_cell[0]}
    scores = tensors.get("cls_score_b")
    return stated if scores is None else stated | {"classes": scores.numel() - 1}


def _state(tensors: Tensors, module: nn.Module) -> Tensors:
    """Raises WeightsError for a detector or backbone that differs from Detectron's although the tensors fit."""
    _check(module)
    if isinstance(module, Detector):
        detectron_cfg.check(tensors, module.spec)
    used = {name: values for name, values in tensors.items() if not LEFT_OUT.match(name)}
    state = {place: used[name] for name, place in our_names(used).items()}
    if STEM in state and state[STEM].dim() == 4:
        state[STEM] = state[STEM].flip(1)
    backbone = module.backbone if isinstance(module, Detector) else module
    state |= _statistics(state, dict(backbone.named_modules()))
    prefix = "backbone." if isinstance(module, Detector) else ""
    return {(prefix if _of_backbone(name) else "") + name: values for name, values in state.items()}


def _statistics(state: dict[str, Tensor], modules: dict[str, Any]) -> dict[str, Tensor]:
    """The statistics of norms with which a factor and an offset are all that they do."""
    found: dict[str, Tensor] = {}
    for name, values in state.items():
        path, _, kind = name.rpartition(".")
        if path.endswith(".norm") and kind == "bias" and path in modules:
            rest = folded(values, modules[path]).items()
            found |= {f"{path}.{field}": value for field, value in rest if field not in ("weight", "bias")}
    return found


def _of_backbone(name: str) -> bool:
    return name.startswith(("stem.", "blocks.", "block4."))


def _matches(names: Collection[str]) -> bool:
    return SIGN in names


def _check(module: nn.Module) -> None:
    backbone = module
    if isinstance(module, Detector):
        _check_spec(module.spec)
        backbone = module.backbone
    if isinstance(backbone, ResNetNet) and backbone.layout != "caffe":
        raise WeightsError(
            "Detectron's ResNets have their strides in the first 1x1 convolutions, not as "
            f"{backbone.layout!r} has them: import the file as resnet50_caffe, or 101 or 152",
            "weights-other",
        )


def _check_spec(spec: DetectorSpec) -> None:
    if spec.name.split("-")[0] not in FAMILIES:
        raise WeightsError(
            f"Detectron's detectors differ from {spec.name} in anchors, pixels or strides: use a name that starts with "
            f"{', '.join(FAMILIES)}, as retinanet-resnet101-800",
            "weights-other",
        )


def _unproved(tensors: Tensors, module: nn.Module) -> tuple[str, ...]:
    return detectron_cfg.assumed(tensors, module.spec) if isinstance(module, Detector) else ()


NAMING = Naming(
    name="detectron", title="Detectron", matches=_matches, state=_state, metadata=_metadata, unproved=_unproved
)
