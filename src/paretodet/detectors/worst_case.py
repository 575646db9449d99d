"""The worst case for post-processing, equal for all detectors: untrained detectors are measured with it."""

import math
from dataclasses import replace
from typing import Any

from paretodet.detectors.spec import DetectorSpec, StageSpec
from paretodet.rules.coders import WorstCaseCoder
from paretodet.transforms.resize_policy import ShortSide, ShortSideCrop


def fill_every_slot(spec: DetectorSpec, seed: int = 0) -> DetectorSpec:
    """The spec with every threshold -inf and every decoded box replaced by one of a seeded list spread over the canvas.

    All slots for candidates, proposals and detections are then used, whatever the weights are. The decoding itself is
    still computed. If the canvas depends on the image, images are cropped to the canvas of the spec (Huang et al.
    section 3.5). The result can be measured, not trained.
    """
    fit = spec.fit
    if isinstance(fit, ShortSide):
        fit = ShortSideCrop(height=spec.height, width=spec.width, sampling=fit.sampling)
    return replace(spec, fit=fit, stages=tuple(_fill(stage, spec, seed + i) for i, stage in enumerate(spec.stages)))


def is_at_capacity(spec: DetectorSpec) -> bool:
    """Whether `fill_every_slot` made this spec, and no threshold was set afterwards."""
    return all(isinstance(stage.coder, WorstCaseCoder) and stage.select.threshold == -math.inf for stage in spec.stages)  # type: ignore[attr-defined]


def _fill(stage: StageSpec, spec: DetectorSpec, seed: int) -> StageSpec:
    coder = WorstCaseCoder(coder=stage.coder, height=spec.height, width=spec.width, seed=seed)
    select: Any = stage.select
    if select.threshold > -math.inf:
        select = replace(select, threshold=-math.inf, threshold_last=None)
    return replace(stage, coder=coder, select=select, matcher=None, sampler=None, losses=None)
