"""A data set as the checks see it: its splits as the readers give them, and every image's file."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.scan import ScannedImage
from paretodet.labels.model import Labels


@dataclass(frozen=True, kw_only=True, eq=False)
class LabeledSplit:
    """One split. N images, M boxes."""

    split: str
    file: Path  # that its labels start from: one file, or the folder
    data: Labels
    where: Callable[[str | None, int], tuple[Path, str]]  # image's name, box's number -> the box's file and place

    @cached_property
    def owners(self) -> np.ndarray:
        """[M] each box's image."""
        return self.data.owners

    @cached_property
    def names(self) -> list[str]:
        """[N] the images' files."""
        return [self.data.name(index) for index in range(len(self.data))]

    @cached_property
    def files(self) -> list[Path]:
        """[N] the images' paths."""
        folder = straight(self.data.folder)
        return [straight(folder / name) for name in self.names]

    def at(self, row: int, text: str) -> Place:
        """Box `row` of the split."""
        return Place(*self.where(self.names[self.owners[row]], int(self.data.numbers[row])), text)


class ScannedFiles(NamedTuple):
    """One image of one split, and its file."""

    part: LabeledSplit
    number: int  # of the image in its split
    file: Path
    image: ScannedImage


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A whole data set."""

    path: Path
    parts: tuple[LabeledSplit, ...]
    images: Mapping[Path, ScannedImage]
    label_file: Callable[[Path], Path | None] = lambda image: None  # an image's own label file, if the format has such
    texts: Callable[[LabeledSplit], Iterable[Path]] = lambda part: ()  # label files of a split besides `file`
    unread: frozenset[str] = frozenset()  # splits that cannot be read

    def seen(self) -> Iterator[ScannedFiles]:
        """Every image of every split."""
        for part in self.parts:
            for index, file in enumerate(part.files):
                yield ScannedFiles(part, index, file, self.images[file])


def straight(path: Path) -> Path:
    """Without the detours of `..`, if that leads to the same place: one file has one path."""
    if ".." not in path.parts:
        return path
    short = Path(os.path.normpath(path))
    return short if os.path.exists(path) and os.path.exists(short) and path.samefile(short) else path
