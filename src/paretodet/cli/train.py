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
    """Teach a detector your labels. The same command goes on where it was interrupted."""
    from paretodet.training.distributed import from_env
    from paretodet.training_run import RunOptions, TrainConfig, recipe_of
    from paretodet.training_run import train as teach

    asked: dict[str, Any] = {"steps": steps, "batch": batch, "accumulate": accumulate, "precision": precision}
    lesson = TrainConfig(
        name=name,
        data=data,
        recipe=recipe_of(recipe, name, seed=seed, **asked),
        split=data_split,
        val=val,
        val_split=val_split,
        images=images,
        weights=weights,
        width=width,
    )
    how = RunOptions(device=device or "cpu", workers=workers, every=every, compiled=compiled, track=tuple(track or ()))
    folder = out or Path("runs") / name
    first = from_env().first
    try:
        with TrainingBar(name, shown=first) as bar:
            taught = teach(lesson, folder, how, tell=note, listener=bar)
    except KeyboardInterrupt:
        if first:
            note(_stopped(folder))
        raise
    if not first:
        return
    if json:
        print_json(_document(taught))
    else:
        look = f"tensorboard --logdir {quote(str(folder))}"
        show(f"Learned: {taught.weights}; what it went through: {folder / 'log.jsonl'}, {look}")
        learned = val is None and taught.val_split is None
        split = taught.split if learned else taught.val_split
        where = {"data": val or data, "data_split": split, "images": images if learned else taught.val_images}
        note_next("evaluate", taught.weights, **where, errors=True)
        if learned:
            note("These are the images it learned from: only others show what it is worth.")


def _stopped(folder: Path) -> str:
    from paretodet.training.checkpoint import latest

    newest = latest(folder / "checkpoints")
    return f"Stopped: the same command {f'goes on from {newest}' if newest else 'begins anew, nothing was kept yet'}."


def _document(taught: "TrainResult") -> dict[str, Any]:
    return {
        "folder": str(taught.folder),
        "weights": str(taught.weights),
        "checkpoint": str(taught.last),
        "judged": [{"step": each.step} | each.numbers for each in taught.judged],
    }
