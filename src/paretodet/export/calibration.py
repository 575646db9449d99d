"""The batches on which the ranges of int8 are measured."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from paretodet.export.steps import BuildSteps
from paretodet.images import read_image
from paretodet.transforms.resize_policy import ResizePolicy, to_batch
from paretodet.types import Images

Feed = Mapping[str, np.ndarray]  # the inputs of a graph by name


class Feeds(Protocol):
    """Feeds that every pass makes anew."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Feed]: ...


def detector_feed(images: Images) -> Feed:
    """The inputs of a graph of one of our detectors."""
    return {"pixels": images.pixels.numpy(), "sizes": images.sizes.float().numpy()}


def pixels_feed(images: Images) -> Feed:
    """The same of one that ends before suppression (`export.unselected`): every image fills its canvas."""
    return {"pixels": images.pixels.numpy()}


@dataclass(frozen=True, kw_only=True)
class CalibrationFeeds:
    """Feeds of a graph from image files, which are read anew in every pass.

    The first images fill up the last batch. Raises ImageError for a file that cannot be read.
    """

    paths: tuple[Path, ...]
    fit: ResizePolicy
    batch: int = 1  # images a call
    feed: Callable[[Images], Feed] = detector_feed

    def __len__(self) -> int:
        return -(-len(self.paths) // self.batch)

    def __iter__(self) -> Iterator[Feed]:
        for start in range(0, len(self.paths), self.batch):
            places = range(start, start + self.batch)
            images = [read_image(self.paths[place % len(self.paths)]) for place in places]
            yield self.feed(to_batch(images, self.fit))


@dataclass(frozen=True)
class CountedFeeds:
    """Feeds that are reported while ranges are measured on them."""

    feeds: Feeds
    steps: BuildSteps

    def __len__(self) -> int:
        return len(self.feeds)

    def __iter__(self) -> Iterator[Feed]:
        return self.steps.counted("measures ranges", self.feeds, len(self.feeds))
