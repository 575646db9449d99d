"""Small labeled sets for the tests of loading: rectangles and an L, drawn into files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from paretodet.labels.model import Sample


@dataclass(frozen=True)
class Drawn:
    """A mask that was decoded before."""

    shape: np.ndarray

    def decode(self, size: tuple[int, int]) -> np.ndarray:
        if self.shape.shape != size:
            raise ValueError(f"mask: drawn for {self.shape.shape}, got {size}")
        return self.shape


class Listed:
    """A Dataset over a list."""

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples
        self.labels = ("thing",)
        self.category_ids = (0,)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


def sample(boxes: object, size: tuple[int, int], masks: tuple[Drawn, ...] | None = None) -> Sample:
    found = np.asarray(boxes, np.float32).reshape(-1, 4)
    number = len(found)
    return Sample(Path("a.png"), 7, size, found, np.arange(number), np.zeros(number, bool), masks)


def rectangle(box: tuple[int, int, int, int], size: tuple[int, int]) -> Drawn:
    shape = np.zeros(size, bool)
    shape[box[1] : box[3], box[0] : box[2]] = True
    return Drawn(shape)


def drawn_set(folder: Path, number: int, *, sizes: tuple[tuple[int, int], ...] = ((60, 90),)) -> Listed:
    """Noise with one white rectangle an image, and its mask."""
    samples = []
    for index in range(number):
        noise = np.random.default_rng(index)
        height, width = size = sizes[index % len(sizes)]
        left, top = int(noise.integers(0, width - 20)), int(noise.integers(0, height - 20))
        box = (left, top, left + int(noise.integers(8, 20)), top + int(noise.integers(8, 20)))
        pixels = noise.integers(0, 200, (*size, 3), dtype=np.uint8)
        mask = rectangle(box, size)
        pixels[mask.shape] = 255
        Image.fromarray(pixels).save(folder / f"{index}.png")
        samples.append(sample([box], size, (mask,))._replace(image=folder / f"{index}.png", id=index))
    return Listed(samples)
