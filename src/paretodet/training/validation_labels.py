"""Validation labels, checked before the training starts."""

import os
from pathlib import Path
from typing import Any

from paretodet.data.annotations import Annotations
from paretodet.data.coco import PROBED
from paretodet.data.ground_truth import Instances, pictured
from paretodet.images import ImageError, other_size, read_image
from paretodet.reading import is_file
from paretodet.training.inputs import list_names


def open_validation_labels(path: Path, split: str | None, images: Path | None, *, beside_data: bool) -> Instances:
    """The labels at `path`.

    `images` is the image folder that was given for the training labels. It is used if the validation labels are in the
    same place (`beside_data`), or if their images are not found near them.
    """
    labels = pictured(path, split=split, images=images if beside_data else None)
    if images and not beside_data and not any(map(is_file, labels.files[:PROBED])):
        return labels._replace(folder=images)
    return labels


def check_validation_labels(labels: Instances, path: Path, data: Annotations, data_path: Path) -> None:
    """Raises ValueError if an object has a class that the training data does not have, or if no image with an object
    can be read.
    """
    used = {each["category_id"] for each in labels.truth["annotations"]}
    names = {each["name"] for each in labels.truth["categories"] if each["id"] in used}
    if unknown := sorted(names - set(data.labels)):
        known = f"those of {data_path} are {list_names(data.labels, 5)}"
        raise ValueError(f"val: {path} has objects of the unknown classes {list_names(unknown, 5)}; {known}")
    _require_readable(labels)


def shared_images(data: Annotations, labels: Instances) -> int:
    """How many images are both training and validation images."""
    training = {os.path.abspath(data.folder / data.name(place)) for place in range(len(data))}
    return sum(os.path.abspath(file) in training for file in labels.files)


def _require_readable(labels: Instances) -> None:
    """Raises ValueError if no image with an object can be read in its labeled size: the first validation would fail."""
    labeled = {each["image_id"] for each in labels.truth["annotations"]}
    problems = []
    for image, file in zip(labels.truth["images"], labels.files, strict=True):
        if image["id"] in labeled:
            if (problem := _problem(image, file)) is None:
                return
            problems.append(problem)
    first = problems[0] if problems else "none has an object"
    raise ValueError(f"val: none of the {len(labels.files)} images of {labels.name} can be used: {first}")


def _problem(image: dict[str, Any], file: Path) -> str | None:
    try:
        pixels = read_image(file)
    except ImageError as error:
        return str(error)
    size: Any = (image.get("height", pixels.shape[0]), image.get("width", pixels.shape[1]))
    return other_size(file, pixels, size)
