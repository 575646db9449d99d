"""Updates until the recipe is done: the loop goes on from its folder's newest checkpoint and tells, never prints."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import to_data
from paretodet.schema import convert
from paretodet.training import checkpoint
from paretodet.training.checkpoint import Snapshot
from paretodet.training.distributed import ALONE, ProcessGroup
from paretodet.training.feed import BatchStream, LabeledBatch, parts
from paretodet.training.memory import MemoryForecast, advice, advised, forecast
from paretodet.training.recipe import Recipe
from paretodet.training.step import Learner, Update


@dataclass(frozen=True, kw_only=True)
class Started:
    """Training begins, or goes on after `step` updates from the checkpoint `resumed`."""

    step: int
    steps: int
    resumed: Path | None


@dataclass(frozen=True, kw_only=True)
class MemoryForeseen:
    """Before the first update: what it will take of this process's memory, and what to do where that is too much."""

    step: int
    images: int  # of a pass
    forecast: MemoryForecast
    advice: str | None


@dataclass(frozen=True, kw_only=True)
class Updated:
    """`step` updates are made; the last saw `images` images, all processes' together, and took `seconds`, of which this
    process waited for its data.
    """

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


ONE_VALUE = "Expected more than 1 value per channel"  # how torch says it


Event = Started | MemoryForeseen | Updated | Saved
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
    batches: BatchStream,
    *,
    recipe: Recipe,
    keeping: Keeping,
    listener: Listener = ignore,
    device: torch.device | str = "cpu",
    world: ProcessGroup = ALONE,
    data: Any = None,
    compiled: bool = False,
) -> Path:
    """Train until `recipe.steps` updates are made, from the newest checkpoint on where there is one.

    `batches` give `recipe.batch` images each, of which every process of `world` has its share; the first alone tells
    the listener and writes, into a folder that all can read. The number of processes may be another when a training
    goes on. `data` is a JSON value that tells this data set from others. `compiled` makes one program of the loss by
    `torch.compile`. Returns the last checkpoint, whose `weights.safetensors` are the result.

    Raises CheckpointError, NotFinite or OutOfMemory (the checkpoints stay as they were), ValueError for a detector that
    cannot learn or a batch that cannot be shared.
    """
    world.share(recipe.part)
    learner = Learner(detector, recipe, world.device(device), world=world, compiled=compiled)
    tell = listener if world.first else ignore
    last = _resume(learner, batches, keeping.folder, data)
    tell(Started(step=learner.made, steps=recipe.steps, resumed=last))
    source, foreseen = _parts(batches, recipe, world), None
    while learner.made < recipe.steps:
        began = perf_counter()
        batch = next(source)
        waited = perf_counter() - began
        if foreseen is None:
            foreseen = _foresee(learner, batch[0], tell, batches.mixed)
        began = perf_counter()
        with advised(foreseen, recipe, world):
            update = _update(learner, batch)
        seconds = perf_counter() - began + waited
        tell(Updated(step=learner.made, images=recipe.batch, update=update, seconds=seconds, waited=waited))
        if learner.made % keeping.every == 0 or learner.made == recipe.steps:
            last = _save(learner, batches, keeping, data)
            tell(Saved(step=learner.made, path=last))
    assert last is not None  # a recipe has at least one update
    return last


def _parts(batches: BatchStream, recipe: Recipe, world: ProcessGroup) -> Iterator[tuple[LabeledBatch, ...]]:
    """What this process learns from in each update."""
    wanted = world.share(recipe.batch)
    for batch in batches:
        if len(batch.ids) != wanted:
            raise ValueError(f"batches: got {len(batch.ids)} images, the recipe wants {wanted} a process")
        yield parts(batch, recipe.accumulate)


def _foresee(learner: Learner, part: LabeledBatch, tell: Listener, mixed: bool) -> MemoryForecast:
    recipe, world = learner.recipe, learner.world
    found = forecast(learner, part, mixed=mixed)
    told = advice(found, recipe, world)
    tell(MemoryForeseen(step=learner.made, images=world.share(recipe.part), forecast=found, advice=told))
    return found


def _update(learner: Learner, given: tuple[LabeledBatch, ...]) -> Update:
    try:
        return learner.update(given)
    except ValueError as error:
        if ONE_VALUE not in str(error):
            raise
        one = "a pass of one image on this canvas leaves a norm that is learned a single value"
        raise ValueError(f"batch: {one}: take passes of two images or more") from error


def _save(learner: Learner, batches: BatchStream, keeping: Keeping, data: Any) -> Path:
    spec, recipe = to_data(learner.detector.spec), to_data(learner.recipe)

    def write() -> Path:
        kept = Snapshot(learner.made, spec, recipe, batches.position, learner.weights(), learner.training(), data)
        return checkpoint.save(keeping.folder, kept, keep=keeping.keep)

    return learner.world.once(write)


def _resume(learner: Learner, batches: BatchStream, folder: Path, data: Any) -> Path | None:
    path = learner.world.once(lambda: checkpoint.latest(folder))
    if path is None:
        return None
    found = checkpoint.load(path)
    checkpoint.refuse_others(path, found, to_data(learner.detector.spec), to_data(learner.recipe), data)
    learner.restore(found.step, found.weights, found.training)
    batches.seek(convert(found.position, type(batches.position), what=f"{path}: position"))
    return path
