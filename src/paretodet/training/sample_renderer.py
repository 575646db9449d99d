"""Where there is nothing to judge by, some of the images that are learned are drawn as each checkpoint finds them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from paretodet.bench.accuracy import CocoResults, look
from paretodet.labels.model import Labels
from paretodet.training.validator import Validator

SHOWN = 6


@dataclass
class SampleRenderer(Validator):
    """A judge that scores nothing: of `truth` it needs the images, and each label as a category of its number."""

    def _judge(self, step: int, path: Path) -> None:
        candidate, rows = self.open_(path), []
        readable = np.zeros(len(self.truth), bool)
        for index in range(len(self.truth)):
            seen = look(candidate, self.truth.image(index), self.truth.category_ids)
            if not isinstance(seen, str):
                readable[index] = True
                rows += seen
        self.seen.add(step)
        self._show(step, CocoResults(rows, self.truth.select(readable), ()))


def shown(data: Labels, most: int = SHOWN) -> Labels:
    """The first images of `data`, as a `SampleRenderer` takes them: ids are numbers."""
    first = data.select(np.arange(len(data)) < most)
    return replace(first, keys=np.arange(len(first)), category_ids=tuple(range(len(data.labels))))
