"""Small data sets and random weights: the recipe, and what must change in a detector that starts from nothing."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import nn

from paretodet.detectors.spec import DetectorSpec
from paretodet.layers.frozen import FrozenNorm2d
from paretodet.layers.norms import BatchNorm, FrozenNorm, NoNorm
from paretodet.training.clipping import ClipTotal
from paretodet.training.ema import Average
from paretodet.training.optimisers import AdamW
from paretodet.training.recipe import Recipe
from paretodet.training.schedules import Cosine, Linear, WarmUp

MOMENTUM = 0.1  # of batch norm's averages: TensorFlow's 3e-4 would outlast a short training


def quick(*, steps: int = 3000, batch: int = 8) -> Recipe:
    """Our own recipe for any family on a small data set, from random weights: Adam, a cosine, averaged weights."""
    return Recipe(
        optimiser=AdamW(rate=1e-3, decay=0.05),
        schedule=WarmUp(first=Linear(steps=max(1, steps // 20), start=0.1), then=Cosine(steps=steps)),
        steps=steps,
        batch=batch,
        clip=ClipTotal(norm=10.0),
        average=Average(decay=0.998, ramp=True),
    )


def from_scratch(spec: DetectorSpec) -> DetectorSpec:
    """The spec with every norm learnt, and batch norm where a backbone has none (VGG): trainable from random weights.

    Norms fold away, so the finished network costs what the spec's does.
    """
    bare = isinstance(getattr(spec.backbone, "norm", None), NoNorm)
    backbone = _learnt(spec.backbone, bare)
    return replace(_learnt(spec, False), backbone=backbone, neck=_learnt(spec.neck, bare))


def check_norms(detector: nn.Module) -> None:
    """Raises ValueError where a frozen norm holds no statistics: it would pass its input through, unlearnt for ever."""
    empty = [name for name, m in detector.named_modules() if isinstance(m, FrozenNorm2d) and _unfilled(m)]
    if empty:
        raise ValueError(
            f"norm: {len(empty)} frozen norms have no statistics (first {empty[0]}): "
            "import weights before training, or train a spec made by `from_scratch`"
        )


def _unfilled(norm: FrozenNorm2d) -> bool:
    return not norm.running_mean.any() and bool((norm.running_var == 1).all())


def _learnt(part: Any, bare: bool) -> Any:
    """The part with its norms learnt, at any depth; with `bare`, also where it has none."""
    if isinstance(part, FrozenNorm | BatchNorm):
        return BatchNorm(eps=max(part.eps, 1e-5), momentum=MOMENTUM, scale=part.scale)
    if bare and isinstance(part, NoNorm):
        return BatchNorm(momentum=MOMENTUM)
    if isinstance(part, tuple):
        return tuple(_learnt(item, bare) for item in part)
    if not is_dataclass(part) or isinstance(part, type):
        return part
    return replace(part, **{f.name: _learnt(getattr(part, f.name), bare) for f in fields(part) if f.init})
