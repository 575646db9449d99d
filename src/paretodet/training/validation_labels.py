"""Validation labels, checked before the training starts."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from paretodet.errors import InputError
from paretodet.evaluation.ground_truth import GroundTruth, read_ground_truth
from paretodet.images import ImageError, other_size, read_image
from paretodet.labels.image_index import PROBED
from paretodet.labels.model import ImageEntry, Labels
from paretodet.reading import is_file
from paretodet.training.inputs import list_names


def open_validation_labels(path: Path, split: str | None, images: Path | None, *, beside_data: bool) -> GroundTruth:
    """The labels at `path`.

    `images` is the image folder that was given for the training labels. It is used if the validation labels are in the
    same place (`beside_data`), or if their images are not found near them.
    """
    try:
        labels = read_ground_truth(path, split=split, images=images if beside_data else None)
    except InputError as error:
        if error.id != "labels-none":
            raise
        way = "validate on others with --val LABELS or --val-split NAME"
        raise InputError(f"{error.message}; {way}", error.id) from error
    if images and not beside_data and not any(map(is_file, labels.files[:PROBED])):
        return replace(labels, labels=replace(labels.labels, folder=images))
    return labels


def check_validation_labels(labels: GroundTruth, path: Path, data: Labels, data_path: Path) -> None:
    """Raises ValueError if an object has a class that the training data does not have, or if no image with an object
    can be read.
    """
    names = {labels.labels.labels[label] for label in np.unique(labels.labels.classes).tolist()}
    if unknown := sorted(names - set(data.labels)):
        known = f"those of {data_path} are {list_names(data.labels, 5)}"
        raise InputError(
            f"val: {path} has objects of the unknown classes {list_names(unknown, 5)}; {known}: label such objects in "
            "training images too, or remove them from the validation labels",
            "label-unknown",
        )
    _require_readable(labels)


def shared_images(data: Labels, labels: GroundTruth) -> int:
    """How many images are both training and validation images."""
    training = {os.path.abspath(data.folder / data.name(place)) for place in range(len(data))}
    return sum(os.path.abspath(file) in training for file in labels.files)


def _require_readable(labels: GroundTruth) -> None:
    """Raises ValueError if no image with an object can be read in its labeled size: the first validation would fail."""
    problems = []
    for index in np.flatnonzero(np.diff(labels.labels.offsets)).tolist():
        if (problem := _problem(labels.labels.image(index))) is None:
            return
        problems.append(problem)
    first = problems[0] if problems else "none has an object"
    raise InputError(
        f"val: none of the {len(labels.files)} images of {labels.name} can be used: {first}", "images-none"
    )


def _problem(image: ImageEntry) -> str | None:
    try:
        pixels = read_image(image.file)
    except ImageError as error:
        return error.message
    height, width = image.size
    return other_size(image.file, pixels, (height or pixels.shape[0], width or pixels.shape[1]))
