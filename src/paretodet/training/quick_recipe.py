"""A recipe for small data sets, and a check that a detector can be trained from random weights."""

from torch import nn

from paretodet.detectors.trainable_norms import MOMENTUM
from paretodet.errors import InputError
from paretodet.layers.frozen import FrozenNorm2d
from paretodet.training.clipping import ClipTotal
from paretodet.training.ema import Ema
from paretodet.training.optimizers import AdamW
from paretodet.training.recipe import Recipe
from paretodet.training.schedules import Cosine, LinearRamp, WarmUp
from paretodet.transforms.augment import Chain, Flip, ScaleJitter
from paretodet.transforms.color import Distort

SMALL_DATA = Chain(steps=(Distort(), ScaleJitter(low=0.7, high=1.4), Flip()))


def quick_recipe(*, steps: int = 3000, batch: int = 8) -> Recipe:
    """A recipe for any family on a small data set: AdamW, cosine schedule, EMA. Not published.

    Running statistics of norms follow the data set within tens of updates, also if the training starts from weights.
    """
    return Recipe(
        optimizer=AdamW(lr=1e-3, weight_decay=0.05),
        schedule=WarmUp(first=LinearRamp(steps=max(1, steps // 20), start=0.1), then=Cosine(steps=steps)),
        steps=steps,
        batch=batch,
        clip=ClipTotal(norm=10.0),
        ema=Ema(decay=0.998, ramp=True),
        augmentation=SMALL_DATA,
        norm_momentum=MOMENTUM,
    )


def check_norms(detector: nn.Module) -> None:
    """Raises ValueError if a frozen norm has no statistics: it would not normalize, and cannot be trained."""
    empty = [name for name, m in detector.named_modules() if isinstance(m, FrozenNorm2d) and _is_empty(m)]
    if empty:
        raise InputError(
            f"norm: {len(empty)} frozen norms have no statistics (first {empty[0]}): "
            "load weights before training, or build the detector from `trainable_norms(spec)`",
            "weights-needed",
        )


def _is_empty(norm: FrozenNorm2d) -> bool:
    return not norm.running_mean.any() and bool((norm.running_var == 1).all())
