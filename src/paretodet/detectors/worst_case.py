"""The worst case, the same for every detector: what one without trained weights is measured at."""

import math
from dataclasses import replace
from typing import Any

from paretodet.data.resize_policy import ShortSide, ShortSideCrop
from paretodet.detectors.spec import DetectorSpec, StageSpec
from paretodet.rules.coders import WorstCaseCoder


def fill_every_slot(spec: DetectorSpec, seed: int = 0) -> DetectorSpec:
    """Every threshold -inf and every decoded box replaced by one of a stored seeded list spread over the canvas.

    Candidates, proposals and detections then fill every slot whatever the weights are. Boxes are still decoded. Images
    whose canvas would follow their shape are cropped to the spec's (Huang et al. section 3.5). The result is for
    measuring alone: it has nothing to train with.
    """
    fit = ShortSideCrop(height=spec.height, width=spec.width) if isinstance(spec.fit, ShortSide) else spec.fit
    return replace(spec, fit=fit, stages=tuple(_full(stage, spec, seed + i) for i, stage in enumerate(spec.stages)))


def is_at_capacity(spec: DetectorSpec) -> bool:
    """Whether `fill_every_slot` made this spec, and no threshold was set since."""
    return all(isinstance(stage.coder, WorstCaseCoder) and stage.select.threshold == -math.inf for stage in spec.stages)  # type: ignore[attr-defined]


def _full(stage: StageSpec, spec: DetectorSpec, seed: int) -> StageSpec:
    coder = WorstCaseCoder(coder=stage.coder, height=spec.height, width=spec.width, seed=seed)
    select: Any = stage.select
    if select.threshold > -math.inf:
        select = replace(select, threshold=-math.inf, threshold_last=None)
    return replace(stage, coder=coder, select=select, matcher=None, sampler=None, losses=None)
