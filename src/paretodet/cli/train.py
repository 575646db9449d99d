"""`paretodet train`."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from paretodet.cli import options
from paretodet.cli.output import note, note_next, print_json, show
from paretodet.cli.training import TrainingBar

if TYPE_CHECKING:
    from paretodet.train import TrainConfig, TrainResult


def train(
    name: options.Learner,
    data: options.Data,
    data_split: options.LearnSplit = None,
    val: options.Val = None,
    val_split: options.ValSplit = None,
    images: options.LearnImages = None,
    out: options.Out = None,
    recipe: options.RecipeName = "quick",
    steps: options.UpdatesWanted = None,
    batch: options.LearnBatch = None,
    accumulate: options.Accumulate = None,
    precision: options.LearnPrecision = None,
    seed: options.Seed = 0,
    weights: options.Begin = None,
    width: options.Width = 1.0,
    device: options.Device = None,
    workers: options.Workers = 0,
    every: options.Every = None,
    compiled: options.Compiled = False,
    track: options.Track = None,
    json: options.Json = False,
) -> None:
    """Train a detector on your labels. After an interruption, the same command resumes the training."""
    from paretodet.train import RunOptions, TrainConfig
    from paretodet.train import train as run_training
    from paretodet.training.distributed import from_env
    from paretodet.training.recipes import make_recipe

    changes: dict[str, Any] = {"steps": steps, "batch": batch, "accumulate": accumulate, "precision": precision}
    config = TrainConfig(
        name=name,
        data=data,
        recipe=make_recipe(recipe, name, seed=seed, **changes),
        split=data_split,
        val=val,
        val_split=val_split,
        images=images,
        weights=weights,
        width=width,
    )
    run_options = RunOptions(
        device=device or "cpu", workers=workers, every=every, compiled=compiled, track=tuple(track or ())
    )
    folder = out or Path("runs") / name
    first = from_env().is_first
    try:
        with TrainingBar(name, shown=first) as bar:
            result = run_training(config, folder, run_options, notify=note, listener=bar)
    except KeyboardInterrupt:
        if first:
            note(_stopped(folder))
        raise
    if not first:
        return
    if json:
        print_json(_document(result))
    else:
        _show_result(config, result)


def _show_result(config: "TrainConfig", result: "TrainResult") -> None:
    """What was written, and the command that scores it."""
    from paretodet.train import BEST, LOG

    show(f"Weights: {result.weights} (after the last update)")
    if (best := result.folder / BEST).exists():
        show(f"Best validation AP: {best}")
    show(f"Log: {result.folder / LOG}; to view it: tensorboard --logdir {quote(str(result.folder))}")
    without_val = config.val is None and result.val_split is None
    split = result.split if without_val else result.val_split
    images = config.images if without_val else result.val_images
    note_next("evaluate", result.weights, data=config.val or config.data, data_split=split, images=images, errors=True)
    if without_val:
        note("These are the training images, so the scores will be too high; use other labeled images if you have any.")


def _stopped(folder: Path) -> str:
    from paretodet.training.checkpoint import latest

    newest = latest(folder / "checkpoints")
    then = f"resumes from {newest}" if newest else "starts again, as no checkpoint was written"
    return f"Stopped. The same command {then}."


def _document(result: "TrainResult") -> dict[str, Any]:
    return {
        "folder": str(result.folder),
        "weights": str(result.weights),
        "checkpoint": str(result.checkpoint),
        "validations": [{"step": each.step} | each.metrics for each in result.validations],
    }
