"""One labeled image, and a set of them: what every reader makes and everything that learns or judges takes."""

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

Size = tuple[int, int]  # (height, width), px
MAX_BOXES = 128  # of an image: training takes the largest


class Mask(Protocol):
    """The outline of one object in pixels of its image, as its file has it."""

    def decode(self, size: Size) -> np.ndarray:
        """bool [H, W]. Raises ValueError where the mask was drawn for another size."""


class Sample(NamedTuple):
    """One image, not decoded, and what is in it. The arrays are not to be written to: samples share them."""

    image: Path
    id: int | str  # as the labels call the image
    size: Size  # as the labels say
    boxes: np.ndarray  # [G, 4] float32 xyxy, half-open, in pixels of the image
    labels: np.ndarray  # [G] int64, 0..K-1
    crowd: np.ndarray  # [G] bool: nothing to learn or to find, and no mistake to find something there
    masks: tuple[Mask | None, ...] | None = None  # one a box, None where its own is not known; None: no labels hold any


class Dataset(Protocol):
    """Samples by number."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the K classes."""

    @property
    def category_ids(self) -> tuple[int, ...]:
        """What the labels' file calls each class: COCO's sparse ids; 0..K-1 where a format has none."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample:
        """Raises IndexError outside of 0..len-1."""
