"""Detectron2's names, to say why its weights cannot be used: no detector here computes what its detectors compute."""

from collections.abc import Collection
from typing import Any, NoReturn

from torch import nn

from paretodet.detectors.spec import DetectorSpec
from paretodet.weights.naming import Naming, Tensors
from paretodet.weights.safe import WeightsError

SIGN = "backbone.bottom_up.stem.conv1.weight"
REASON = (
    "Detectron2's detectors have anchors without rounding, boxes without the last pixel's + 1, RoIAlign with half a "
    "cell's shift and as many samples as a box needs, and the background as the last class; no detector of the "
    "catalogue has these. Use Detectron's or torchvision's weights"
)


def _matches(names: Collection[str]) -> bool:
    return SIGN in names


def _refuse() -> NoReturn:
    raise WeightsError(REASON, "weights-other")


def _metadata(tensors: Tensors, spec: DetectorSpec) -> dict[str, Any]:
    _refuse()


def _state(tensors: Tensors, module: nn.Module) -> Tensors:
    _refuse()


NAMING = Naming(name="detectron2", title="Detectron2", matches=_matches, state=_state, metadata=_metadata)
