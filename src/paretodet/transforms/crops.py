"""SSD's sampled crops: Liu et al.'s as their Caffe fork draws them, Huang et al.'s as TensorFlow's detection API."""

from dataclasses import dataclass

import numpy as np

from paretodet.transforms.augment import share, span
from paretodet.transforms.view import ImageView, ViewWindow


@dataclass(frozen=True, kw_only=True)
class SampledCrop:
    """Liu et al. 2016, section 2.2: the whole image, or a part that overlaps some object by at least so much.

    Each constraint (least IoU, most IoU) gets `trials` draws of a part: `scale` and `aspect` are of the part in an
    image of side 1, the aspect cut so that the part fits. One of the parts found, the whole image among them, is taken.
    An object stays where its center is inside; its box is cut.
    """

    constraints: tuple[tuple[float, float], ...] = (
        (0.1, 1.0), (0.3, 1.0), (0.5, 1.0), (0.7, 1.0), (0.9, 1.0), (0.0, 1.0)
    )  # fmt: skip
    scale: tuple[float, float] = (0.3, 1.0)
    aspect: tuple[float, float] = (0.5, 2.0)
    trials: int = 50

    def __post_init__(self) -> None:
        span(scale=self.scale, aspect=self.aspect)
        share(scale=self.scale[1])

    def __call__(self, picture: ImageView, noise: np.random.Generator) -> ImageView:
        found = [picture.window]
        for least, most in self.constraints:
            parts = self._parts(picture.window, noise)
            overlap = _iou(parts, picture.boxes)
            fits = ((overlap >= least) & (overlap <= most)).any(1)
            if fits.any():
                found.append(ViewWindow(*(int(side) for side in parts[fits.argmax()])))
        chosen = found[int(noise.integers(len(found)))]
        return picture if chosen == picture.window else _centered(picture._replace(window=chosen))

    def _parts(self, window: ViewWindow, noise: np.random.Generator) -> np.ndarray:
        """[trials, 4] in whole pixels."""
        draws = noise.random((self.trials, 4))
        scale = between_all(self.scale, draws[:, 0])
        aspect = between_all(self.aspect, draws[:, 1]).clip(scale**2, scale**-2)
        sides = np.stack([scale * np.sqrt(aspect), scale / np.sqrt(aspect)], 1)  # width, height
        low = draws[:, 2:] * (1 - sides)
        height, width = window.size
        parts = np.concatenate([low, low + sides], 1) * ([width, height] * 2) + ([window.left, window.top] * 2)
        parts = np.rint(parts)
        parts[:, 2:] = np.maximum(parts[:, 2:], parts[:, :2] + 1)
        return parts


@dataclass(frozen=True, kw_only=True)
class CoveringCrop:
    """Huang et al. 2017 (`ssd_random_crop`): a part that holds at least a drawn share of some object.

    One of `covered` is drawn; a share `unchanged` of the images stays whole, others get a part of `aspect` (width /
    height in pixels) and `area` of the image, or stay whole after `trials` draws. An object stays where at least the
    same share of it is inside; its box is cut.
    """

    covered: tuple[float, ...] = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
    unchanged: float = 0.15
    aspect: tuple[float, float] = (0.5, 2.0)
    area: tuple[float, float] = (0.1, 1.0)
    trials: int = 100

    def __post_init__(self) -> None:
        share(unchanged=self.unchanged, area=self.area[1])
        span(aspect=self.aspect, area=self.area)

    def __call__(self, picture: ImageView, noise: np.random.Generator) -> ImageView:
        least = self.covered[int(noise.integers(len(self.covered)))]
        whole = noise.random() < self.unchanged
        parts, allowed = self._parts(picture.window, noise)
        covered = _intersection(parts, picture.boxes) / np.maximum(_area(picture.boxes), 1e-9)
        fits = (covered >= least).any(1) & allowed
        if whole or not fits.any():
            return picture
        row = int(fits.argmax())
        part = picture._replace(window=ViewWindow(*(int(side) for side in parts[row])))
        return part.keep(covered[row] >= least).clip()

    def _parts(self, window: ViewWindow, noise: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """[trials, 4] in whole pixels, and which of them lie inside and are of an allowed area."""
        draws = noise.random((self.trials, 4))
        height, width = window.size
        aspect = between_all(self.aspect, draws[:, 0])
        most = np.minimum(np.sqrt(self.area[1] * height * width / aspect), np.minimum(height, width / aspect))
        least = np.minimum(np.sqrt(self.area[0] * height * width / aspect), most)
        high = np.rint(least + draws[:, 1] * (most - least)).clip(1, height)
        wide = np.rint(high * aspect).clip(1, width)
        left, top = np.floor(draws[:, 2] * (width - wide + 1)), np.floor(draws[:, 3] * (height - high + 1))
        parts = np.stack([left, top, left + wide, top + high], 1) + ([window.left, window.top] * 2)
        area = high * wide / (height * width)
        return parts, (area >= self.area[0]) & (area <= self.area[1])


def between_all(span: tuple[float, float], shares: np.ndarray) -> np.ndarray:
    return span[0] + shares * (span[1] - span[0])


def _centered(picture: ImageView) -> ImageView:
    """The boxes whose center is seen, cut."""
    left, top, right, bottom = picture.window
    middle = (picture.boxes[:, :2] + picture.boxes[:, 2:]) / 2
    return picture.keep(((middle >= [left, top]) & (middle <= [right, bottom])).all(1)).clip()


def _intersection(parts: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """[P, 4], [G, 4] -> [P, G]."""
    low = np.maximum(parts[:, None, :2], boxes[None, :, :2])
    high = np.minimum(parts[:, None, 2:], boxes[None, :, 2:])
    return (high - low).clip(0).prod(-1)


def _iou(parts: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    both = _intersection(parts, boxes)
    return both / (_area(parts)[:, None] + _area(boxes)[None] - both)


def _area(boxes: np.ndarray) -> np.ndarray:
    """In float64, as intersections with parts are: a box that lies wholly inside is covered to exactly 1."""
    return np.subtract(boxes[:, 2:], boxes[:, :2], dtype=np.float64).prod(-1)
