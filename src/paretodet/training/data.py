"""The labels of a training: those it learns from, and those it is validated on."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretodet.errors import InputError
from paretodet.evaluation.ground_truth import GroundTruth
from paretodet.labels.model import Labels
from paretodet.labels.read import fingerprint, read_labels, splits
from paretodet.labels.splits import HELD_OUT, TRAIN, VAL, usual
from paretodet.training.config import TrainConfig
from paretodet.training.validation_labels import check_validation_labels, open_validation_labels, shared_images

OTHER_LABELS = "give other labels with --val FILE"


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """Training labels, and validation labels if there are any, each with its split."""

    path: Path  # of the training labels
    labels: Labels
    split: str | None
    validation: GroundTruth | None
    val_split: str | None
    val_images: Path | None  # `TrainConfig.images`, if the validation labels need it

    @property
    def identity(self) -> dict[str, Any]:
        """What identifies the training labels: their name and content, not their path."""
        labels = self.labels
        return {
            "name": self.path.resolve().name,
            "sha256": fingerprint(labels),
            "images": len(labels),
            "boxes": len(labels.boxes),
        }


def open_training_data(config: TrainConfig, notify: Callable[[str], None]) -> TrainingData:
    """Read the labels of a training; what a user should know about them goes to `notify`, sentence by sentence.

    Raises ValueError if labels cannot be used, or if several splits of the data could be the training split.
    """
    split = _split(config.data, config.split, TRAIN, "--data-split")
    val_split = _split(config.val_path, config.val_split, VAL, "--val-split")
    with _explained(config.data, split, "leave out --data-split"):
        labels = read_labels(config.data, split=split, images=config.images)
    _check_training_split(config, split, val_split)
    for sentence in labels.left_out(config.data, config.images):
        notify(f"{sentence}.")
    validation = _validation_labels(config, val_split, labels, notify)
    own_folder = validation is not None and validation.labels.folder != config.images
    return TrainingData(
        path=config.data,
        labels=labels,
        split=split,
        validation=validation,
        val_split=val_split,
        val_images=None if own_folder else config.images,
    )


def _validation_labels(
    config: TrainConfig, val_split: str | None, labels: Labels, notify: Callable[[str], None]
) -> GroundTruth | None:
    """The labels to validate on; None if there are none."""
    path = config.val_path
    if val_split is None and config.val is None:
        notify(
            f"No validation: {path} has no split named val. Give --val LABELS or --val-split NAME, or divide the "
            f"images: {_division(path)}."
        )
        return None
    with _explained(path, val_split, "leave out --val-split" if config.val else OTHER_LABELS):
        validation = open_validation_labels(path, val_split, config.images, beside_data=config.val is None)
    for sentence in validation.skipped:
        notify(f"Validation: {sentence}.")
    check_validation_labels(validation, path, labels, config.data)
    if shared := shared_images(labels, validation):
        total = len(validation.files)
        notify(f"Validation: {shared} of {total} images are also training images, so AP is overestimated.")
    return validation


def _check_training_split(config: TrainConfig, split: str | None, val_split: str | None) -> None:
    """Raises InputError if all images would be trained on, those for validation or a test included."""
    if split is not None:
        return
    names, validates = splits(config.data), config.val is None and val_split is not None
    if validates and not names:
        raise _no_splits(config.data, val_split, OTHER_LABELS)
    if validates or any(usual(name) in HELD_OUT for name in names):
        raise _unnamed(config.data, f"{', '.join(names)}, none named train", "--data-split")


@contextmanager
def _explained(path: Path, split: str | None, way: str) -> Iterator[None]:
    """Says what to do if the labels have no splits and the named one is not what the file itself is called."""
    try:
        yield
    except InputError as error:
        if error.id != "split-unknown" or splits(path):
            raise
        raise _no_splits(path, split, way) from error


def _no_splits(path: Path, split: str | None, way: str) -> InputError:
    return InputError(
        f"split: got {split!r:.80}, and {path} has no splits: {way}, or divide the images: {_division(path)}",
        "split-unknown",
    )


def _unnamed(path: Path, found: str, option: str) -> InputError:
    return InputError(f"data: {path} has the splits {found}: choose one with {option} NAME", "split-unnamed")


def _division(path: Path) -> str:
    """The command that divides the images of labels."""
    return shlex.join(["paretodet", "split", str(path), "--val", "0.2"])


def _split(path: Path, given: str | None, names: tuple[str, ...], option: str) -> str | None:
    """The given split, else the one with the first of these names, else the one that another of them calls, compared
    without its year and in small letters. Raises InputError for several.
    """
    if given:
        return given
    alike = [name for name in splits(path) if usual(name) in names]
    if len(alike) > 1 and names[0] not in alike:
        raise _unnamed(path, " and ".join(alike), option)
    return names[0] if names[0] in alike else next(iter(alike), None)
