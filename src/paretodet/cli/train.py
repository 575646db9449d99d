"""`paretodet train`."""

from contextlib import nullcontext
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from paretodet.cli import candidate_options, options, training_options
from paretodet.cli.output import note, note_next, print_json, show
from paretodet.cli.signals import terminable
from paretodet.cli.training import TrainingBar

if TYPE_CHECKING:
    from paretodet.training.config import TrainConfig, TrainResult


def train(
    name: training_options.TrainName,
    data: options.Data,
    data_split: training_options.TrainSplit = None,
    val: training_options.Val = None,
    val_split: training_options.ValSplit = None,
    image_root: options.ImageRoot = None,
    out: training_options.TrainOut = None,
    recipe: training_options.RecipeName = "quick",
    steps: training_options.Steps = None,
    batch: training_options.TrainBatch = None,
    accumulate: training_options.Accumulate = None,
    learning_rate: training_options.LearningRate = None,
    precision: training_options.TrainPrecision = None,
    seed: options.Seed = 0,
    weights: candidate_options.Weights = None,
    width: training_options.Width = 1.0,
    device: candidate_options.Device = None,
    workers: training_options.Workers = 0,
    every: training_options.Every = None,
    compiled: training_options.Compiled = False,
    track: training_options.Track = None,
    json: options.Json = False,
) -> None:
    """Train a detector on your labels. After an interruption, the same command resumes the training."""
    from paretodet.training.config import RunOptions, TrainConfig
    from paretodet.training.distributed import from_env
    from paretodet.training.recipes import make_recipe
    from paretodet.training_run import train as run_training

    changes: dict[str, Any] = {"steps": steps, "batch": batch, "accumulate": accumulate, "precision": precision}
    config = TrainConfig(
        name=name,
        data=data,
        recipe=make_recipe(recipe, name, seed=seed, learning_rate=learning_rate, **changes),
        split=data_split,
        val=val,
        val_split=val_split,
        images=image_root,
        weights=weights,
        width=width,
    )
    run_options = RunOptions(
        device=device or "cpu", workers=workers, every=every, compiled=compiled, track=tuple(track or ())
    )
    folder = out or Path("runs") / name
    group = from_env()
    first = group.is_first
    try:
        # One of several processes ends at once instead: it may be waiting for one that has failed.
        with TrainingBar(name, shown=first) as bar, terminable() if group.processes == 1 else nullcontext():
            result = run_training(config, folder, run_options, notify=note, listener=bar)
    except KeyboardInterrupt:
        if first:
            note(_interrupted(folder))
        raise
    if not first:
        return
    if json:
        print_json(_document(result))
    else:
        _show_result(config, result)


def _show_result(config: "TrainConfig", result: "TrainResult") -> None:
    """What was written, and the command that scores it."""
    from paretodet.training_run import BEST, LOG

    show(f"Weights: {result.weights} (after the last update)")
    if (best := result.folder / BEST).exists():
        show(f"Best validation AP: {best}")
    show(f"Log: {result.folder / LOG}; to view it: tensorboard --logdir {quote(str(result.folder))}")
    without_val = config.val is None and result.val_split is None
    split = result.split if without_val else result.val_split
    root = config.images if without_val else result.val_images
    where = {"data": config.val or config.data, "data_split": split, "image_root": root}
    note_next("evaluate", result.weights, **where, errors=True)
    if without_val:
        note("These are the training images, so the scores will be too high; use other labeled images if you have any.")


def _interrupted(folder: Path) -> str:
    from paretodet.training.checkpoint import latest

    newest = latest(folder / "checkpoints")
    if newest is None:
        return "Interrupted before the first checkpoint: the same command starts again."
    return f"Interrupted: the same command continues from {newest}."


def _document(result: "TrainResult") -> dict[str, Any]:
    return {
        "folder": str(result.folder),
        "weights": str(result.weights),
        "checkpoint": str(result.checkpoint),
        "validations": [{"step": each.step} | each.metrics for each in result.validations],
    }
