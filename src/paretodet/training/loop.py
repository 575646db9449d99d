"""Updates until the recipe is done: the loop goes on from its folder's newest checkpoint and tells, never prints."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter

import torch

from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import to_data
from paretodet.training import checkpoint
from paretodet.training.checkpoint import Snapshot
from paretodet.training.feed import Batches, Given
from paretodet.training.recipe import Recipe
from paretodet.training.step import Learner, Update


@dataclass(frozen=True, kw_only=True)
class Started:
    """Training begins, or goes on after `step` updates from the checkpoint `resumed`."""

    step: int
    steps: int
    resumed: Path | None


@dataclass(frozen=True, kw_only=True)
class Updated:
    """`step` updates are made; the last saw `images` images and took `seconds`, of which it waited for its data."""

    step: int
    images: int
    update: Update
    seconds: float
    waited: float


@dataclass(frozen=True, kw_only=True)
class Saved:
    """The state after `step` updates is on the disk."""

    step: int
    path: Path


Event = Started | Updated | Saved
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener to whom nothing matters."""


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """Where checkpoints go, after every how many updates, and how many stay."""

    folder: Path
    every: int = 1000
    keep: int = 3

    def __post_init__(self) -> None:
        for field in ("every", "keep"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}: got {getattr(self, field)}, allowed 1 or more")


def train(
    detector: Detector,
    batches: Batches,
    *,
    recipe: Recipe,
    keeping: Keeping,
    listener: Listener = ignore,
    device: torch.device | str = "cpu",
) -> Path:
    """Train until `recipe.steps` updates are made, from the newest checkpoint on where there is one.

    `batches` give `recipe.part` images each. Returns the last checkpoint, whose `weights.safetensors` are the result.
    Raises CheckpointError, NotFinite (the checkpoints stay as they were), ValueError for a detector that cannot learn.
    """
    learner = Learner(detector, recipe, torch.device(device))
    last = _resume(learner, batches, keeping.folder)
    listener(Started(step=learner.made, steps=recipe.steps, resumed=last))
    parts = _parts(batches, recipe)
    while learner.made < recipe.steps:
        began = perf_counter()
        batch = next(parts)
        waited = perf_counter() - began
        update = learner.update(batch)
        images, seconds = sum(len(part.ids) for part in batch), perf_counter() - began
        listener(Updated(step=learner.made, images=images, update=update, seconds=seconds, waited=waited))
        if learner.made % keeping.every == 0 or learner.made == recipe.steps:
            last = checkpoint.save(keeping.folder, _snapshot(learner, batches), keep=keeping.keep)
            listener(Saved(step=learner.made, path=last))
    assert last is not None  # a recipe has at least one update
    return last


def _parts(batches: Batches, recipe: Recipe) -> Iterator[tuple[Given, ...]]:
    """An update's worth of batches at a time."""
    source = iter(batches)
    while True:
        parts = tuple(islice(source, recipe.accumulate))
        sizes = [len(part.ids) for part in parts]
        if sizes != [recipe.part] * recipe.accumulate:
            raise ValueError(f"batches: got {sizes} images, the recipe wants {recipe.accumulate} times {recipe.part}")
        yield parts


def _snapshot(learner: Learner, batches: Batches) -> Snapshot:
    spec, recipe = to_data(learner.detector.spec), to_data(learner.recipe)
    return Snapshot(learner.made, spec, recipe, batches.position, learner.weights(), learner.training())


def _resume(learner: Learner, batches: Batches, folder: Path) -> Path | None:
    path = checkpoint.latest(folder)
    if path is None:
        return None
    found = checkpoint.load(path)
    checkpoint.refuse_others(path, found, to_data(learner.detector.spec), to_data(learner.recipe))
    learner.restore(found.step, found.weights, found.training)
    batches.seek(found.position)
    return path
