"""`paretodet train`."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from paretodet.cli import options
from paretodet.cli.output import note, note_next, print_json, show
from paretodet.cli.training import TrainingBar

if TYPE_CHECKING:
    from paretodet.training_run import TrainResult


def train(
    name: options.TrainName,
    data: options.Data,
    data_split: options.TrainSplit = None,
    val: options.Val = None,
    val_split: options.ValSplit = None,
    image_root: options.ImageRoot = None,
    out: options.TrainOut = None,
    recipe: options.RecipeName = "quick",
    steps: options.Steps = None,
    batch: options.TrainBatch = None,
    accumulate: options.Accumulate = None,
    precision: options.TrainPrecision = None,
    seed: options.Seed = 0,
    weights: options.Weights = None,
    width: options.Width = 1.0,
    device: options.Device = None,
    workers: options.Workers = 0,
    every: options.Every = None,
    compiled: options.Compiled = False,
    track: options.Track = None,
    json: options.Json = False,
) -> None:
    """Train a detector on your labels. After an interruption, run the same command to continue."""
    from paretodet.training.distributed import from_env
    from paretodet.training_run import RunOptions, TrainConfig, recipe_of
    from paretodet.training_run import train as run_training

    changes: dict[str, Any] = {"steps": steps, "batch": batch, "accumulate": accumulate, "precision": precision}
    config = TrainConfig(
        name=name,
        data=data,
        recipe=recipe_of(recipe, name, seed=seed, **changes),
        split=data_split,
        val=val,
        val_split=val_split,
        images=image_root,
        weights=weights,
        width=width,
    )
    how = RunOptions(device=device or "cpu", workers=workers, every=every, compiled=compiled, track=tuple(track or ()))
    folder = out or Path("runs") / name
    first = from_env().first  # of several processes, the first one prints
    try:
        with TrainingBar(name, shown=first) as bar:
            result = run_training(config, folder, how, tell=note, listener=bar)
    except KeyboardInterrupt:
        if first:
            note(_interrupted(folder))
        raise
    if first and json:
        print_json(_document(result))
    elif first:
        _show(result, data, val, image_root)


def _show(result: "TrainResult", data: Path, val: Path | None, image_root: Path | None) -> None:
    """Prints where the weights and logs are, and the command that evaluates them."""
    log = f"tensorboard --logdir {quote(str(result.folder))}"
    show(f"Weights: {result.weights}; log: {result.folder / 'log.jsonl'}, {log}")
    on_training_images = val is None and result.val_split is None
    split = result.split if on_training_images else result.val_split
    root = image_root if on_training_images else result.val_images
    note_next("evaluate", result.weights, data=val or data, data_split=split, image_root=root, errors=True)
    if on_training_images:
        note("This evaluates on the training images. Only other images show how good the detector is.")


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
        "checkpoint": str(result.last),
        "judged": [{"step": each.step} | each.numbers for each in result.judged],
    }
