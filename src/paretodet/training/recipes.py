"""A recipe by its kind and a catalogue name, with the fields that a user changes, and the batches that it needs."""

import math
from dataclasses import replace
from typing import Any

from paretodet.detectors.spec import DetectorSpec
from paretodet.errors import InputError
from paretodet.loader.batches import Batching
from paretodet.loader.targets import SIDE
from paretodet.training.published_recipes import published_recipe
from paretodet.training.quick_recipe import quick_recipe
from paretodet.training.recipe import Recipe
from paretodet.transforms.resize_policy import with_sampling


def make_recipe(
    kind: str, name: str, *, seed: int = 0, learning_rate: float | None = None, **changes: int | str | None
) -> Recipe:
    """The recipe for a catalogue name, with fields replaced.

    Args:
        kind: "quick" or "published".
        name: The catalogue name.
        seed: Seed of all random samples.
        learning_rate: What the schedule multiplies, in place of the recipe's. Parameters that have a multiple of it,
            such as Caffe's biases, keep the multiple.
        **changes: Fields of `Recipe` to replace; None keeps the recipe's value. The schedule of a quick recipe is
            scaled to `steps`; a published recipe is not adapted to `steps` and `batch`, and its `assumption` then says
            so.

    Raises ValueError for another kind, for a name without a published recipe, or for an invalid value.
    """
    if kind not in ("quick", "published"):
        raise InputError(f"recipe: got {kind!r:.40}, allowed quick, published", "option-value")
    given: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
    if kind == "published":
        published = published_recipe(name)
        return _with_notes(published, replace(_with_rate(published, learning_rate), seed=seed, **given))
    sized = {key: given.pop(key) for key in ("steps", "batch") if key in given}
    return replace(_with_rate(quick_recipe(**sized), learning_rate), seed=seed, **given)


def _with_rate(recipe: Recipe, learning_rate: float | None) -> Recipe:
    if learning_rate is None:
        return recipe
    if not 0 < learning_rate < math.inf:
        raise InputError(f"learning-rate: got {learning_rate}, allowed more than 0", "option-range")
    return replace(recipe, optimizer=replace(recipe.optimizer, lr=learning_rate))


def _with_notes(published: Recipe, changed: Recipe) -> Recipe:
    """With what is not adapted to another number of steps or images in its assumption. With other steps the EMA ramps
    up, so that a short training is not dominated by the random initial weights.
    """
    notes = [published.assumption] if published.assumption else []
    if changed.batch != published.batch and changed.optimizer == published.optimizer:
        images = f"{published.batch} image{'s' * (published.batch > 1)}"
        notes.append(f"its learning rate is that of updates of {images}, not scaled to {changed.batch}")
    if changed.steps != published.steps:
        notes.append(f"its schedule is that of {published.steps:,} updates, not scaled to another length")
        changed = replace(changed, ema=changed.ema and replace(changed.ema, ramp=True))
    return replace(changed, assumption="; ".join(notes) or None)


def batching(recipe: Recipe, made: DetectorSpec) -> Batching:
    """How samples become the batches of a recipe. Its canvases are sampled as the detector's."""
    return Batching(
        fits=tuple(with_sampling(fit, made.fit.sampling) for fit in recipe.canvases) or (made.fit,),
        images=recipe.batch,
        augmentation=recipe.augmentation,
        masks=SIDE if made.masks else None,
        seed=recipe.seed,
    )
