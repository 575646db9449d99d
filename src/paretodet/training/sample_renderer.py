"""Where there is nothing to judge by, some of the images that are learned are drawn as each checkpoint finds them."""

from dataclasses import dataclass
from pathlib import Path

from paretodet.bench.accuracy import CocoResults, look
from paretodet.images import ImageError
from paretodet.labels.builder import Labels
from paretodet.training.validator import Row, Validator

SHOWN = 6


@dataclass
class SampleRenderer(Validator):
    """A judge that scores nothing: of `truth` it needs the images, and each label as a category of its number."""

    def _judge(self, step: int, path: Path) -> None:
        candidate, images, rows = self.open_(path), [], []
        ids = [each["id"] for each in self.truth["categories"]]
        for image in self.truth["images"]:
            try:
                seen = look(candidate, image, self.images, ids)
            except ImageError:
                continue
            if not isinstance(seen, str):
                images.append(image)
                rows += seen
        self.seen.add(step)
        self._show(step, CocoResults(rows, self.truth | {"images": images}, ()))


def shown(data: Labels, most: int = SHOWN) -> Row:
    """The first images of `data`, as a `SampleRenderer` takes them."""
    sizes = data.sizes[:most].tolist()
    images = [
        {"id": number, "file_name": data.name(number), "height": height, "width": width}
        for number, (height, width) in enumerate(sizes)
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(data.labels)]
    return {"images": images, "categories": categories, "annotations": []}
