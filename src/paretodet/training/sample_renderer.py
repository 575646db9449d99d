"""Without validation labels: training images, drawn with the detections of each checkpoint."""

from dataclasses import dataclass
from pathlib import Path

from paretodet.bench.accuracy import CocoResults, look
from paretodet.data.annotations import Annotations
from paretodet.images import ImageError
from paretodet.training.validator import Row, Validator

MAX_SAMPLES = 6


@dataclass
class SampleRenderer(Validator):
    """A validator that only draws samples. `ground_truth` gives the images, and a category for each label number."""

    def _validate(self, step: int, path: Path) -> None:
        candidate, images, rows = self.open_checkpoint(path), [], []
        ids = [each["id"] for each in self.ground_truth["categories"]]
        for image in self.ground_truth["images"]:
            try:
                detections = look(candidate, image, self.images, ids)
            except ImageError:
                continue
            if not isinstance(detections, str):
                images.append(image)
                rows += detections
        self.validated.add(step)
        self._draw_samples(step, CocoResults(rows, self.ground_truth | {"images": images}, ()))


def first_images(data: Annotations, max_images: int = MAX_SAMPLES) -> Row:
    """The first images of `data`, in the form that `SampleRenderer` takes."""
    sizes = data.sizes[:max_images].tolist()
    images = [
        {"id": number, "file_name": data.name(number), "height": height, "width": width}
        for number, (height, width) in enumerate(sizes)
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(data.labels)]
    return {"images": images, "categories": categories, "annotations": []}
