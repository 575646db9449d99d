"""The worst case, the same for every peer: what an untrained detector is measured at."""

import math
from dataclasses import replace

from paretodet.detectors.spec import DetectorSpec, StageSpec
from paretodet.rules.coders import WorstCaseCoder
from paretodet.transforms.resize_policy import ShortSide, ShortSideCrop


def fill_every_slot(spec: DetectorSpec, seed: int = 0) -> DetectorSpec:
    """Every threshold -inf and every decoded box replaced by one of a stored seeded list spread over the canvas.

    Candidates, proposals and kept detections are then full whatever the weights are. The decoding itself still runs.
    Images whose canvas would follow their own shape are cropped to the spec's (Huang et al. section 3.5).
    """
    fit = ShortSideCrop(height=spec.height, width=spec.width) if isinstance(spec.fit, ShortSide) else spec.fit
    return replace(spec, fit=fit, stages=tuple(_full(stage, spec, seed + i) for i, stage in enumerate(spec.stages)))


def is_at_capacity(spec: DetectorSpec) -> bool:
    """Whether `fill_every_slot` made this spec, and nobody set a threshold since."""
    return all(isinstance(stage.coder, WorstCaseCoder) and stage.select.threshold == -math.inf for stage in spec.stages)  # type: ignore[attr-defined]


def _full(stage: StageSpec, spec: DetectorSpec, seed: int) -> StageSpec:
    coder = WorstCaseCoder(coder=stage.coder, height=spec.height, width=spec.width, seed=seed)
    select = replace(stage.select, threshold=-math.inf, threshold_last=None)  # type: ignore[type-var]
    return replace(stage, coder=coder, select=select)
