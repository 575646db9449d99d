"""FCOS's names, those of maskrcnn-benchmark: FCOS on ResNet-50 and -101 with a pyramid.

Its first convolution reads BGR; ours gets the same weights for RGB. Its norms have no epsilon.
"""

import re
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import DetectorSpec
from paretodet.weights.folded import folded
from paretodet.weights.naming import Naming, Tensors
from paretodet.weights.namings.torchvision import MEMBERS
from paretodet.weights.renaming import Numbering, counted, placed, resnet_unit, rules
from paretodet.weights.safe import WeightsError

SIGN = "rpn.head.centerness.weight"
STEM = "backbone.stem.conv.weight"
SCALE = re.compile(r"rpn\.head\.scales\.(\d)\.scale")  # of the codes of a level
SCALES = "heads.0.scales"


def _unit(match: re.Match[str], numbering: Numbering) -> str:
    return f"backbone.{resnet_unit(int(match[1]) - 1, int(match[2]), numbering)}.{MEMBERS[match[3]]}."


def _level(row: str) -> Any:
    """The finest level of the pyramid is that of the second block."""
    return lambda match, numbering: f"neck.{row}.{int(match[1]) - 2}."


def _tower(match: re.Match[str], numbering: Numbering) -> str:
    """Three modules a layer: convolution, norm, ReLU."""
    layer, part = divmod(int(match[2]), 3)
    return f"heads.0.{'score' if match[1] == 'cls' else 'box'}_tower.{layer}.{('conv', 'norm', 'activation')[part]}."


RULES = rules(
    (r"backbone\.body\.layer([1-4])\.(\d{1,3})\.(conv[123]|bn[123]|downsample\.[01])\.", _unit),
    (r"backbone\.body\.stem\.conv1\.", "backbone.stem.conv."),
    (r"backbone\.body\.stem\.bn1\.", "backbone.stem.norm."),
    (r"backbone\.fpn\.fpn_inner([234])\.", _level("laterals")),
    (r"backbone\.fpn\.fpn_layer([234])\.", _level("smooth")),
    (r"backbone\.fpn\.top_blocks\.", "neck.extra."),
    (r"rpn\.head\.(cls|bbox)_tower\.(\d{1,2})\.", _tower),
    (r"rpn\.head\.cls_logits\.", "heads.0.scores."),
    (r"rpn\.head\.bbox_pred\.", "heads.0.boxes."),
    (r"rpn\.head\.centerness\.", "heads.0.centerness."),
)


def our_names(names: Collection[str]) -> dict[str, str]:
    """FCOS's names -> ours; a name without a place is kept."""
    units = tuple(counted(names, rf"\blayer{block}\.(\d{{1,3}})\.") for block in (1, 2, 3))
    return placed(names, RULES, Numbering(units=units))


def _matches(names: Collection[str]) -> bool:
    return SIGN in names


def _metadata(tensors: Tensors, spec: DetectorSpec) -> dict[str, Any]:
    """The number of classes."""
    _check(spec)
    scores = tensors.get("rpn.head.cls_logits.bias")
    return {} if scores is None else {"classes": scores.numel()}


def _state(tensors: Tensors, module: nn.Module) -> Tensors:
    """Raises WeightsError for another detector than FCOS."""
    if not isinstance(module, Detector):
        raise WeightsError("it has the weights of a detector, FCOS, not of a backbone alone", "weights-other")
    _check(module.spec)
    scales = {name: values for name, values in tensors.items() if SCALE.fullmatch(name) and values.numel() == 1}
    state = {place: tensors[name] for name, place in our_names(tensors).items() if name not in scales}
    if scales:
        state[SCALES] = torch.stack([scales[name].reshape(()) for name in sorted(scales)])
    if STEM in state and state[STEM].dim() == 4:
        state[STEM] = state[STEM].flip(1)
    return state | _norms(state, dict(module.named_modules()))


def _norms(state: dict[str, Tensor], modules: dict[str, Any]) -> dict[str, Tensor]:
    """Norms without an epsilon as a factor and an offset, which is all that they do."""
    found: dict[str, Tensor] = {}
    for name, variance in state.items():
        path, _, kind = name.rpartition(".")
        rest = [state.get(f"{path}.{each}") for each in ("weight", "bias", "running_mean")]
        weight, bias, mean = rest
        if kind != "running_var" or path not in modules or weight is None or bias is None or mean is None:
            continue
        if len({each.shape for each in (weight, bias, mean, variance)}) == 1:
            scale = weight * variance.rsqrt()
            norm = folded(bias - mean * scale, modules[path]) | {"weight": scale}
            found |= {f"{path}.{field}": value for field, value in norm.items()}
    return found


def _check(spec: DetectorSpec) -> None:
    if spec.name.split("-")[0] != "fcos":
        raise WeightsError(f"it has weights of FCOS, not of {spec.name}: use fcos-resnet50-800x1344", "weights-other")


def _unproved(tensors: Tensors, module: nn.Module) -> tuple[str, ...]:
    """That the authors' improved networks, which compute other boxes, have the same names and shapes."""
    return (
        "The file does not show the settings of FCOS: they are taken to be those of FCOS_R_50_FPN_1x "
        "(CENTERNESS_ON_REG and NORM_REG_TARGETS: False), not those of the improved networks (FCOS_imprv).",
    )


NAMING = Naming(name="fcos", title="FCOS", matches=_matches, state=_state, metadata=_metadata, unproved=_unproved)
