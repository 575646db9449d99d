"""Whether labels can judge a training, asked before it begins."""

import os
from pathlib import Path
from typing import Any

from paretodet.evaluation.ground_truth import Instances
from paretodet.images import ImageError, other_size, read_image
from paretodet.labels.builder import Labels


def shared_images(data: Labels, judged: Instances) -> int:
    """How many images are both learned and judged."""
    learned = {os.path.abspath(data.folder / data.name(place)) for place in range(len(data))}
    return sum(os.path.abspath(file) in learned for file in judged.files)


def require_readable(found: Instances) -> None:
    """Raises ValueError where no image with an object can be judged: better now than at the first checkpoint."""
    labeled = {each["image_id"] for each in found.truth["annotations"]}
    problems = []
    for image, file in zip(found.truth["images"], found.files, strict=True):
        if image["id"] in labeled:
            if (problem := _problem(image, file)) is None:
                return
            problems.append(problem)
    first = problems[0] if problems else "none has an object"
    raise ValueError(f"val: none of {len(found.files)} images of {found.name} can be judged: {first}")


def _problem(image: dict[str, Any], file: Path) -> str | None:
    try:
        pixels = read_image(file)
    except ImageError as error:
        return str(error)
    size: Any = (image.get("height", pixels.shape[0]), image.get("width", pixels.shape[1]))
    return other_size(file, pixels, size)
