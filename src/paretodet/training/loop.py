"""The training loop: updates until the recipe is done, resumed from the newest checkpoint, reported as events."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import to_data
from paretodet.errors import InputError, first_line
from paretodet.schema import convert
from paretodet.training import checkpoint
from paretodet.training.checkpoint import Snapshot
from paretodet.training.distributed import ONE_PROCESS, ProcessGroup
from paretodet.training.inputs import BatchStream, LabeledBatch, split_batch
from paretodet.training.memory import (
    MemoryForecast,
    advice,
    explain_loading,
    explain_lost_worker,
    explain_out_of_memory,
    forecast,
)
from paretodet.training.recipe import Recipe
from paretodet.training.step import Trainer, Update


@dataclass(frozen=True, kw_only=True)
class Started:
    """The training starts, or resumes after `step` updates from the checkpoint `resumed`."""

    step: int
    steps: int
    resumed: Path | None


@dataclass(frozen=True, kw_only=True)
class MemoryEstimated:
    """Before the first update: the memory that this process will need, and advice if it has too little."""

    step: int
    images: int  # in a forward pass of this process
    forecast: MemoryForecast
    advice: str | None


@dataclass(frozen=True, kw_only=True)
class Updated:
    """`step` updates are made. The last one used `images` images, those of all processes, and took `seconds`; `waited`
    is the part of it that this process waited for data.
    """

    step: int
    images: int
    update: Update
    seconds: float
    waited: float


@dataclass(frozen=True, kw_only=True)
class Saved:
    """The checkpoint after `step` updates is on disk."""

    step: int
    path: Path


Event = Started | MemoryEstimated | Updated | Saved
Listener = Callable[[Event], None]
ONE_VALUE = "Expected more than 1 value per channel"  # in torch's error of batch norm on a single value


def ignore(event: Event) -> None:
    """A listener that does nothing."""


@dataclass(frozen=True, kw_only=True)
class CheckpointPolicy:
    """Where checkpoints are written, after how many updates each, and how many are kept."""

    folder: Path
    every: int = 1000
    keep: int = 3
    metadata: Mapping[str, str] | None = None  # that their files of weights state

    def __post_init__(self) -> None:
        for field in ("every", "keep"):
            if getattr(self, field) < 1:
                raise InputError(f"{field}: got {getattr(self, field)}, allowed 1 or more", "option-range")


@explain_lost_worker()
def training_loop(
    detector: Detector,
    batches: BatchStream,
    *,
    recipe: Recipe,
    checkpoints: CheckpointPolicy,
    listener: Listener = ignore,
    device: torch.device | str = "cpu",
    group: ProcessGroup = ONE_PROCESS,
    data: Any = None,
    compiled: bool = False,
) -> Path:
    """Train until `recipe.steps` updates are made, starting from the newest checkpoint if there is one.

    Args:
        detector: Trained in place.
        batches: Each has `recipe.batch` images, or in a process group this process's share of them.
        recipe: What an update does, and how many there are.
        checkpoints: Where they are written. The first process writes; all processes must be able to read.
        listener: Called with every event, in the first process only.
        device: "cpu", "cuda" or "cuda:N".
        group: The processes that train together; a resumed training may have another number of them.
        data: JSON data that identifies the data set.
        compiled: Compile the loss with `torch.compile`.

    Returns the last checkpoint; its `weights.safetensors` are the result.

    Raises CheckpointError, NotFinite or OutOfMemory, with the checkpoints unchanged; ValueError for a detector that
    cannot be trained or a batch that cannot be divided.
    """
    group.share(recipe.part)
    trainer = Trainer(detector, recipe, group.device(device), group=group, compiled=compiled)
    emit = listener if group.is_first else ignore
    last = _resume(trainer, batches, checkpoints.folder, data)
    emit(Started(step=trainer.step, steps=recipe.steps, resumed=last))
    source, estimate = _parts(batches, recipe, group), None
    while trainer.step < recipe.steps:
        began = perf_counter()
        with explain_loading(group.share(recipe.batch)):
            batch = next(source)
        waited = perf_counter() - began
        if estimate is None:
            estimate = _estimate_memory(trainer, batch[0], emit, batches.mixed)
        began = perf_counter()
        with explain_out_of_memory(estimate, recipe, group):
            update = _update(trainer, batch)
        seconds = perf_counter() - began + waited
        emit(Updated(step=trainer.step, images=recipe.batch, update=update, seconds=seconds, waited=waited))
        if trainer.step % checkpoints.every == 0 or trainer.step == recipe.steps:
            last = _save(trainer, batches, checkpoints, data)
            emit(Saved(step=trainer.step, path=last))
    assert last is not None  # a recipe has at least one update
    return last


def _parts(batches: BatchStream, recipe: Recipe, group: ProcessGroup) -> Iterator[tuple[LabeledBatch, ...]]:
    """For each update, the parts that this process passes through the detector."""
    images = group.share(recipe.batch)
    for batch in batches:
        if len(batch.ids) != images:
            raise InputError(
                f"batches: got {len(batch.ids)} images, the recipe needs {images} in each process", "batch-unfit"
            )
        yield split_batch(batch, recipe.accumulate)


def _estimate_memory(trainer: Trainer, part: LabeledBatch, emit: Listener, mixed: bool) -> MemoryForecast:
    recipe, group = trainer.recipe, trainer.group
    estimate = forecast(trainer, part, mixed=mixed)
    emit(
        MemoryEstimated(
            step=trainer.step,
            images=group.share(recipe.part),
            forecast=estimate,
            advice=advice(estimate, recipe, group),
        )
    )
    return estimate


def _update(trainer: Trainer, parts: tuple[LabeledBatch, ...]) -> Update:
    try:
        return trainer.update(parts)
    except ValueError as error:
        if ONE_VALUE not in str(error):
            raise
        reason = "with one image a pass on this canvas, a trainable norm gets a single value for each channel"
        raise InputError(f"batch: {reason}; use passes of two images or more", "batch-unfit") from error
    except RuntimeError as error:
        from torch._dynamo.exc import TorchDynamoException  # takes a second, and is imported if anything is compiled

        if not isinstance(error, TorchDynamoException):
            raise
        reason = first_line(getattr(error, "inner_exception", error))
        message = f"compile: the loss cannot be compiled ({reason}); leave out --compile"
        raise InputError(message, "graph-failed") from error


def _save(trainer: Trainer, batches: BatchStream, checkpoints: CheckpointPolicy, data: Any) -> Path:
    spec, recipe = to_data(trainer.detector.spec), to_data(trainer.recipe)

    def write() -> Path:
        weights, state = trainer.weights(), trainer.training_state()
        snapshot = Snapshot(trainer.step, spec, recipe, batches.position, weights, state, data)
        return checkpoint.save(checkpoints.folder, snapshot, keep=checkpoints.keep, metadata=checkpoints.metadata)

    return trainer.group.run_on_first(write)


def _resume(trainer: Trainer, batches: BatchStream, folder: Path, data: Any) -> Path | None:
    path = trainer.group.run_on_first(lambda: checkpoint.latest(folder))
    if path is None:
        return None
    snapshot = checkpoint.load(path)
    checkpoint.refuse_others(path, snapshot, to_data(trainer.detector.spec), to_data(trainer.recipe), data)
    trainer.restore(snapshot.step, snapshot.weights, snapshot.training)
    batches.seek(convert(snapshot.position, type(batches.position), what=f"{path}: position"))
    return path
