"""Without validation labels: training images, drawn with the detections of each checkpoint."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from paretodet.bench.accuracy import CocoResults, detect_image
from paretodet.labels.model import Labels
from paretodet.training.validator import Validator

MAX_SAMPLES = 6


@dataclass
class SampleRenderer(Validator):
    """A validator that only draws samples. `ground_truth` gives the images, and a category for each label number."""

    def _validate(self, step: int, path: Path) -> None:
        candidate, rows = self.open_checkpoint(path), []
        readable = np.zeros(len(self.ground_truth), bool)
        for index in range(len(self.ground_truth)):
            detections = detect_image(candidate, self.ground_truth.image(index), self.ground_truth.category_ids)
            if not isinstance(detections, str):
                readable[index] = True
                rows += detections
        self.validated.add(step)
        self._draw_samples(step, CocoResults(rows, self.ground_truth.select(readable), ()))


def first_images(data: Labels, max_images: int = MAX_SAMPLES) -> Labels:
    """The first images of `data`, as `SampleRenderer` takes them: the id of each image and class is its number."""
    first = data.select(np.arange(len(data)) < max_images)
    return replace(first, keys=np.arange(len(first)), category_ids=tuple(range(len(data.labels))))
