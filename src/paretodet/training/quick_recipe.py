"""Our own recipe for small data sets, and what training from random weights must be refused for."""

from torch import nn

from paretodet.layers.frozen import FrozenNorm2d
from paretodet.training.clipping import ClipTotal
from paretodet.training.ema import Average
from paretodet.training.optimizers import AdamW
from paretodet.training.recipe import Recipe
from paretodet.training.schedules import Cosine, LinearRamp, WarmUp
from paretodet.transforms.augment import Chain, Flip, ScaleJitter
from paretodet.transforms.color import Distort

SMALL_DATA = Chain(steps=(Distort(), ScaleJitter(low=0.7, high=1.4), Flip()))


def quick_recipe(*, steps: int = 3000, batch: int = 8) -> Recipe:
    """Our own recipe for any family on a small data set, from random weights: Adam, a cosine, averaged weights."""
    return Recipe(
        optimizer=AdamW(rate=1e-3, decay=0.05),
        schedule=WarmUp(first=LinearRamp(steps=max(1, steps // 20), start=0.1), then=Cosine(steps=steps)),
        steps=steps,
        batch=batch,
        clip=ClipTotal(norm=10.0),
        average=Average(decay=0.998, ramp=True),
        augmentation=SMALL_DATA,
    )


def check_norms(detector: nn.Module) -> None:
    """Raises ValueError where a frozen norm has no statistics: it would pass its input through and never learn."""
    empty = [name for name, m in detector.named_modules() if isinstance(m, FrozenNorm2d) and _unfilled(m)]
    if empty:
        raise ValueError(
            f"norm: {len(empty)} frozen norms have no statistics (first {empty[0]}): "
            "import weights before training, or train a spec made by `from_scratch`"
        )


def _unfilled(norm: FrozenNorm2d) -> bool:
    return not norm.running_mean.any() and bool((norm.running_var == 1).all())
