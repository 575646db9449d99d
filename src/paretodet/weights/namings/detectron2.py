"""Detectron2's names: RetinaNet, Faster and Mask R-CNN on ResNet-50 and -101 with a pyramid.

Its first convolution reads BGR; ours gets the same weights for RGB. Its background is the last class, ours the first;
it has no box and no mask. Files of before 2021 have the anchors and the pixels' statistics, which are compared with
ours.
"""

import re
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import DetectorSpec
from paretodet.rules.anchors import UnroundedAnchors
from paretodet.weights.naming import COUNTER, Naming, Tensors
from paretodet.weights.renaming import Numbering, counted, placed, resnet_unit, rules
from paretodet.weights.safe import WeightsError

SIGNS = ("backbone.bottom_up.stem.conv1.weight", "stem.conv1.norm.weight")  # of a detector, of a ResNet alone
FAMILIES = ("retinanet_d2", "faster_rcnn_d2", "mask_rcnn_d2")
LAYERS = {"conv1": "squeeze", "conv2": "spatial", "conv3": "expand", "shortcut": "shortcut"}
STEM, SCORES = "backbone.stem.conv.weight", "heads.1.head.scores."
DEEP = re.compile(r"stem\.conv[23]\.|\.conv2_offset\.")  # of ResNets that are built otherwise
CELLS = re.compile(r"(?:proposal_generator\.)?anchor_generator\.cell_anchors\.(\d)")
PIXELS = {"pixel_mean": "mean", "pixel_std": "std"}
MORE = 5  # numbers than ours, enough to be others


def _stem(match: re.Match[str], numbering: Numbering) -> str:
    return f"backbone.stem.{'norm' if match[1] else 'conv'}."


def _unit(match: re.Match[str], numbering: Numbering) -> str:
    path = resnet_unit(int(match[1]) - 2, int(match[2]), numbering)
    return f"backbone.{path}.{LAYERS[match[3]]}.{'norm' if match[4] else 'conv'}."


def _level(row: str) -> Any:
    """fpn_lateral3 of a pyramid whose finest level is 2 -> neck.laterals.1"""
    return lambda match, numbering: f"neck.{row}.{int(match[1]) - numbering.finest}."


def _tower(match: re.Match[str], numbering: Numbering) -> str:
    """Two modules a layer: convolution, ReLU."""
    return f"heads.0.{'scores' if match[1] == 'cls' else 'boxes'}.convs.{int(match[2]) // 2}.conv."


RULES = rules(
    (r"backbone\.bottom_up\.stem\.conv1\.(norm\.)?", _stem),
    (r"backbone\.bottom_up\.res([2-5])\.(\d{1,3})\.(conv[123]|shortcut)\.(norm\.)?", _unit),
    (r"backbone\.fpn_lateral([2-5])\.", _level("laterals")),
    (r"backbone\.fpn_output([2-5])\.", _level("smooth")),
    (r"backbone\.top_block\.", "neck.extra."),
    (r"head\.(cls|bbox)_subnet\.([0246])\.", _tower),
    (r"head\.cls_score\.", "heads.0.scores.out."),
    (r"head\.bbox_pred\.", "heads.0.boxes.out."),
    (r"proposal_generator\.rpn_head\.conv\.", "heads.0.conv."),
    (r"proposal_generator\.rpn_head\.objectness_logits\.", "heads.0.scores."),
    (r"proposal_generator\.rpn_head\.anchor_deltas\.", "heads.0.boxes."),
    (r"roi_heads\.box_head\.fc1\.", "heads.1.hidden.1."),
    (r"roi_heads\.box_head\.fc2\.", "heads.1.hidden.3."),
    (r"roi_heads\.box_predictor\.cls_score\.", SCORES),
    (r"roi_heads\.box_predictor\.bbox_pred\.", "heads.1.head.boxes."),
    (r"roi_heads\.mask_head\.mask_fcn([1-4])\.", r"mask_head.layers.conv\1."),
    (r"roi_heads\.mask_head\.deconv\.", "mask_head.layers.enlarge."),
    (r"roi_heads\.mask_head\.predictor\.", "mask_head.layers.masks."),
)


def our_names(names: Collection[str]) -> dict[str, str]:
    """Detectron2's names -> ours; a name without a place is kept."""
    units = tuple(counted(names, rf"\bres{block}\.(\d{{1,3}})\.") for block in (2, 3, 4))
    return placed(names, RULES, Numbering(units=units, finest=5 - counted(names, r"fpn_lateral(\d)\.") + 1))


def _matches(names: Collection[str]) -> bool:
    return any(sign in names for sign in SIGNS)


def _metadata(tensors: Tensors, spec: DetectorSpec) -> dict[str, Any]:
    """The number of classes: of a region's scores the last is the background's."""
    _check(tensors, spec)
    if (scores := tensors.get("head.cls_score.bias")) is not None:
        return {"classes": scores.numel() // spec.anchors.per_cell[0]}
    scores = tensors.get("roi_heads.box_predictor.cls_score.bias")
    return {} if scores is None else {"classes": scores.numel() - 1}


def _state(tensors: Tensors, module: nn.Module) -> Tensors:
    """Raises WeightsError for a backbone, and a detector that differs from Detectron2's although the tensors fit."""
    if not isinstance(module, Detector):
        raise WeightsError(
            "Detectron2's ResNets are not read alone: the file does not say whether it has MSRA's or torchvision's, "
            "whose strides and pixels differ; import Detectron's R-50.pkl as resnet50_caffe, or torchvision's .pth",
            "weights-other",
        )
    _check(tensors, module.spec)
    kept = {name: values for name, values in tensors.items() if not _left_out(name)}
    state = {place: kept[name] for name, place in our_names(kept).items()}
    if STEM in state and state[STEM].dim() == 4:
        state[STEM] = state[STEM].flip(1)
    firsts = {name: values.roll(1, 0) for name, values in state.items() if name.startswith(SCORES) and values.dim()}
    return state | firsts  # the background first


def _left_out(name: str) -> bool:
    """What is compared, and what trained norms count."""
    return name in PIXELS or CELLS.fullmatch(name) is not None or name.endswith(COUNTER)


def _check(tensors: Tensors, spec: DetectorSpec) -> None:
    """Raises WeightsError for another detector, and for layers, anchors or pixels that are not its."""
    if other := next((name for name in tensors if DEEP.search(name)), None):
        raise WeightsError(f"it has {other}, of a ResNet that is built otherwise than the ones here", "weights-other")
    if spec.name.split("-")[0] not in FAMILIES:
        raise WeightsError(
            f"Detectron2's detectors differ from {spec.name} in anchors, crops and pixels: use a name that starts with "
            f"{', '.join(FAMILIES)}, as mask_rcnn_d2-resnet50-800x1344",
            "weights-other",
        )
    for name, field in PIXELS.items():
        if (found := tensors.get(name)) is not None:
            _check_numbers(name, found, list(reversed(getattr(spec.pixels, field))), spec)
    for name, found in tensors.items():
        if match := CELLS.fullmatch(name):
            wanted = _cells(spec, int(match[1]))
            _check_numbers(name, found, wanted.flatten().tolist(), spec)


def _unproved(tensors: Tensors, module: nn.Module) -> tuple[str, ...]:
    """That a file without the pixels' statistics does not show which of two kinds of ResNet it has."""
    if PIXELS.keys() <= tensors.keys():
        return ()
    return (
        "The file does not say where its ResNet has its strides and how pixels are prepared: it is taken to have "
        "MSRA's, as the files of the model zoo have (STRIDE_IN_1X1: True, FORMAT: BGR).",
    )


def _cells(spec: DetectorSpec, level: int) -> Tensor:
    """The anchors of the first location of a level; empty if there is no such level."""
    anchors = spec.anchors
    if not isinstance(anchors, UnroundedAnchors) or level >= len(anchors.strides):
        return torch.empty(0)
    maps = tuple(torch.empty(1, 1, 1, 1) for _ in anchors.strides)
    return torch.split(anchors(maps, (1, 1)).boxes, list(anchors.per_cell))[level]


def _check_numbers(name: str, values: Tensor, wanted: list[float], spec: DetectorSpec) -> None:
    found = values.flatten()[: len(wanted) + MORE].tolist()  # a hostile file has very many
    if len(found) != len(wanted) or not all(abs(one - other) <= 1e-2 for one, other in zip(found, wanted, strict=True)):
        raise WeightsError(
            f"its {name} is not that of {spec.name}: {_few(found)} instead of {_few(wanted)}", "weights-other"
        )


def _few(numbers: list[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers[:4]) + (", …" if len(numbers) > 4 else "")


NAMING = Naming(
    name="detectron2", title="Detectron2", matches=_matches, state=_state, metadata=_metadata, unproved=_unproved
)
