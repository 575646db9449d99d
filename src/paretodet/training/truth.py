"""Whether labels can judge a training, asked before it begins."""

import os

import numpy as np

from paretodet.evaluation.ground_truth import GroundTruth
from paretodet.images import ImageError, other_size, read_image
from paretodet.labels.model import ImageEntry, Labels


def shared_images(data: Labels, judged: GroundTruth) -> int:
    """How many images are both learned and judged."""
    learned = {os.path.abspath(data.folder / data.name(place)) for place in range(len(data))}
    return sum(os.path.abspath(file) in learned for file in judged.files)


def require_readable(found: GroundTruth) -> None:
    """Raises ValueError where no image with an object can be judged: better now than at the first checkpoint."""
    problems = []
    for index in np.flatnonzero(np.diff(found.labels.offsets)).tolist():
        if (problem := _problem(found.labels.image(index))) is None:
            return
        problems.append(problem)
    first = problems[0] if problems else "none has an object"
    raise ValueError(f"val: none of {len(found.files)} images of {found.name} can be judged: {first}")


def _problem(image: ImageEntry) -> str | None:
    try:
        pixels = read_image(image.file)
    except ImageError as error:
        return str(error)
    height, width = image.size
    return other_size(image.file, pixels, (height or pixels.shape[0], width or pixels.shape[1]))
