"""The options of `paretodet train` alone, with their types and help."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from paretodet.cli import candidate_options, options

TrainName = Annotated[
    str, Argument(metavar="NAME", help="Catalogue name, or a name of the same form at another size or stride.")
]
TrainOut = Annotated[Path | None, Option("--out", help=options.OUT, show_default="runs/NAME")]
TrainPrecision = Annotated[
    str | None, Option("--precision", help=candidate_options.PRECISION, show_default="the recipe's")
]
TrainBatch = Annotated[int | None, Option("--batch", min=1, help=candidate_options.BATCH, show_default="the recipe's")]
TrainSplit = Annotated[
    str | None,
    Option(
        "--data-split",
        help=options.DATA_SPLIT,
        show_default="the one called train; else all images, unless a split is val or test",
    ),
]
Val = Annotated[Path | None, Option("--val", help=options.VAL, show_default="a split of --data")]
ValSplit = Annotated[
    str | None,
    Option(
        "--val-split",
        help="Split of --val, or else of --data, for validation.",
        show_default="the one called val; without one, no validation",
    ),
]
RecipeName = Annotated[
    str, Option("--recipe", help="Training recipe: quick (for small data sets) or published (that of the authors).")
]
Steps = Annotated[int | None, Option("--steps", min=1, help="Number of updates.", show_default="the recipe's")]
Accumulate = Annotated[
    int | None,
    Option(
        "--accumulate",
        min=1,
        help="Number of parts into which the batch of an update is split, to save memory.",
        show_default="the recipe's",
    ),
]
LearningRate = Annotated[
    float | None,
    Option(
        "--learning-rate",
        help="Base learning rate, which the recipe's schedule scales; above 0, no unit.",
        show_default="the recipe's",
    ),
]
Width = Annotated[float, Option("--width", help="Factor on the channels of every layer, above 0 and up to 1.")]
Workers = Annotated[
    int, Option("--workers", min=0, help="Number of processes that load images; 0 uses the main process.")
]
Every = Annotated[
    int | None,
    Option(
        "--every",
        min=1,
        help="Number of updates between checkpoints, each of which is then validated.",
        show_default="a checkpoint at least every 1000 updates, ten of them validated",
    ),
]
Compiled = Annotated[bool, Option("--compile", help="Compile the loss with torch.compile.")]
Track = Annotated[
    list[str] | None,
    Option("--track", help="Tracker to log to: mlflow or wandb; may be repeated.", show_default="files in --out only"),
]
