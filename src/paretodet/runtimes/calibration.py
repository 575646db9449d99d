"""The batches on which the ranges of int8 are measured."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paretodet.images import read_image
from paretodet.runtimes.onnx_layout import Input
from paretodet.transforms.resize_policy import ResizePolicy, to_batch


@dataclass(frozen=True, kw_only=True)
class CalibrationFeeds:
    """Feeds of a graph from image files, which are read anew in every pass.

    The first images fill up the last batch. Raises ImageError for a file that cannot be read.
    """

    paths: tuple[Path, ...]
    fit: ResizePolicy
    input: Input

    @property
    def batch(self) -> int:
        return self.input.batch or 1

    def __len__(self) -> int:
        return -(-len(self.paths) // self.batch)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, len(self.paths), self.batch):
            places = range(start, start + self.batch)
            images = [read_image(self.paths[place % len(self.paths)]) for place in places]
            yield self.input.feed(to_batch(images, self.fit))
