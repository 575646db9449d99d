"""What is trained, how it is executed, and what a call of `train` produced."""

from dataclasses import dataclass
from pathlib import Path

from paretodet.training.recipe import Recipe
from paretodet.training.validator import ValidationResult


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What is trained, on which data, and on which labels it is validated. Paths may also be given as text."""

    name: str  # a catalogue name, or another name of the same form
    data: Path  # training labels, in any supported format
    recipe: Recipe
    split: str | None = None  # for training; None: the one named train, else all, unless one is named val or test
    val: Path | None = None  # validation labels; None: those of `data`
    val_split: str | None = None  # None: the one named val; without one there is no validation
    images: Path | None = None  # image folder of a COCO file, and of `val` if it has none beside it; None: searched for
    weights: Path | None = None  # initial weights; None: random weights, with every norm trainable
    width: float = 1.0  # factor on the number of channels of every layer

    def __post_init__(self) -> None:
        for name in ("data", "val", "images", "weights"):
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(path))

    @property
    def val_path(self) -> Path:
        """Where the validation labels are."""
        return self.val or self.data


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How the training is executed; none of these options changes what is trained."""

    device: str = "cpu"
    workers: int = 0  # processes that load images
    every: int | None = None  # updates between checkpoints, all validated; None: at most 1000, ten of them validated
    compiled: bool = False  # compile the loss with torch.compile
    track: tuple[str, ...] = ()  # additional trackers, names in `tracking.TRACKERS`


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a call of `train` produced."""

    folder: Path
    weights: Path  # those of the last checkpoint
    checkpoint: Path  # the last one
    split: str | None  # the training split; None: the labels have no splits
    val_split: str | None  # the validation split; None: the labels have no splits
    val_images: Path | None = None  # `TrainConfig.images`, if the validation labels need it
    validations: tuple[ValidationResult, ...]  # those of this call
