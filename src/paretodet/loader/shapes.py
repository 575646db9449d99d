"""Synthetic labeled images with exact boxes and masks: colored discs, rectangles and triangles on a noisy background.

Later shapes cover earlier ones. The mask of a shape is its visible part, and its box is the tightest one around that.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from paretodet.labels.model import Mask, Sample
from paretodet.labels.rle import encode, pack, unpack
from paretodet.writing import write_text

LABELS = ("disc", "rectangle", "triangle")
MIN_VISIBLE = 0.25  # share of a shape; one that others cover further is no object


class DrawnImage(NamedTuple):
    """One synthetic image and its objects."""

    pixels: np.ndarray  # [H, W, 3] uint8 RGB
    labels: np.ndarray  # [G] int64
    masks: np.ndarray  # [G, H, W] bool, not overlapping


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """A `Dataset` of `count` images; image `index` depends only on seed, height, width, most and scale.

    An image holds 1 to `most` shapes. Their sides are between the two factors of `scale` times the image's shorter
    side. The samples name files in `folder`; `write` creates them.
    """

    count: int
    height: int = 128
    width: int = 128
    most: int = 5
    scale: tuple[float, float] = (0.1, 0.5)
    seed: int = 0
    folder: Path = Path("shapes")

    def __post_init__(self) -> None:
        least = {"count": 1, "height": 8, "width": 8, "most": 1, "seed": 0}
        for field, limit in least.items():
            if (value := getattr(self, field)) < limit:
                raise ValueError(f"{field}: got {value}, allowed {limit} and more")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale: got {self.scale}, allowed 0 < smallest <= largest <= 1")

    @property
    def labels(self) -> tuple[str, ...]:
        return LABELS

    @property
    def category_ids(self) -> tuple[int, ...]:
        return tuple(range(1, len(LABELS) + 1))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        drawing = self.draw(index)
        return Sample(
            image=self.folder / f"{index:06}.png",
            id=index + 1,
            size=(self.height, self.width),
            boxes=np.array([_bounds(mask) for mask in drawing.masks], np.float32).reshape(-1, 4),
            labels=drawing.labels,
            crowd=np.zeros(len(drawing.labels), bool),
            masks=tuple(_packed(mask) for mask in drawing.masks),
        )

    def draw(self, index: int) -> DrawnImage:
        """Draw image `index`. Raises IndexError unless it is in 0..count-1."""
        if not 0 <= index < self.count:
            raise IndexError(f"index: got {index}, the set has {self.count} images")
        noise = np.random.default_rng([self.seed, index])
        background = noise.integers(0, 256, 3)
        noisy = background + noise.integers(-20, 21, (self.height, self.width, 1))
        pixels = noisy.clip(0, 255).astype(np.uint8)
        labels, whole = [], []
        for _ in range(noise.integers(1, self.most + 1)):
            label = int(noise.integers(len(LABELS)))
            mask = self._shape(label, noise)
            color = (background + noise.integers(64, 193, 3)) % 256  # every channel differs from the background's
            pixels[mask] = color
            labels.append(label)
            whole.append(mask)
        return self._visible(pixels, labels, whole)

    def write(self, folder: Path | str) -> Path:
        """Write the images to `folder`/images and the labels to `folder`/instances.json, whose path is returned."""
        folder = Path(folder)
        (folder / "images").mkdir(parents=True, exist_ok=True)
        images, annotations = [], list[dict[str, Any]]()
        for index in range(self.count):
            drawing, name = self.draw(index), f"{index:06}.png"
            Image.fromarray(drawing.pixels).save(folder / "images" / name)
            images.append({"id": index + 1, "file_name": name, "height": self.height, "width": self.width})
            for label, mask in zip(drawing.labels.tolist(), drawing.masks, strict=True):
                annotations.append(_annotation(len(annotations) + 1, index + 1, label + 1, mask))
        categories = [{"id": number, "name": name} for number, name in enumerate(LABELS, 1)]
        truth = {"images": images, "annotations": annotations, "categories": categories}
        path = folder / "instances.json"
        write_text(path, json.dumps(truth))
        return path

    def _shape(self, label: int, noise: np.random.Generator) -> np.ndarray:
        """bool [H, W]: the pixels whose center lies in a shape of random size and position."""
        short = min(self.height, self.width)
        w, h = noise.uniform(*self.scale, 2) * short
        x, y = noise.uniform(0, self.width - w), noise.uniform(0, self.height - h)
        across = (np.arange(self.width) + 0.5 - x)[None] / w
        down = (np.arange(self.height) + 0.5 - y)[:, None] / h
        inside = (across >= 0) & (across < 1) & (down >= 0) & (down < 1)
        if LABELS[label] == "disc":
            return inside & ((across - 0.5) ** 2 + (down - 0.5) ** 2 <= 0.25)
        return inside & (2 * np.abs(across - 0.5) <= down) if LABELS[label] == "triangle" else inside

    def _visible(self, pixels: np.ndarray, labels: list[int], whole: list[np.ndarray]) -> DrawnImage:
        """The visible part of every shape, without shapes of which less than `MIN_VISIBLE` is visible."""
        covered = np.zeros((self.height, self.width), bool)
        kept = list[tuple[int, np.ndarray]]()
        for label, mask in zip(labels[::-1], whole[::-1], strict=True):
            visible = mask & ~covered
            covered |= mask
            if visible.any() and visible.sum() >= MIN_VISIBLE * mask.sum():
                kept.append((label, visible))
        masks = np.array([mask for _, mask in kept]).reshape(-1, self.height, self.width)
        return DrawnImage(pixels, np.array([label for label, _ in kept], np.int64), masks)


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The box of a mask that is not empty: xyxy, half-open."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _packed(mask: np.ndarray) -> Mask:
    return unpack(pack(encode(mask))[0])


def _annotation(key: int, image: int, category: int, mask: np.ndarray) -> dict[str, Any]:
    left, top, right, bottom = _bounds(mask)
    return {
        "id": key,
        "image_id": image,
        "category_id": category,
        "bbox": [left, top, right - left, bottom - top],
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": encode(mask),
    }
