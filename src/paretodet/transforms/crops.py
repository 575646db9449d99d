"""SSD's random crops: Liu et al.'s as in their Caffe fork, Huang et al.'s as in TensorFlow's Object Detection API."""

from dataclasses import dataclass

import numpy as np

from paretodet.transforms.augment import share, span
from paretodet.transforms.view import ImageView, ViewWindow


@dataclass(frozen=True, kw_only=True)
class SampledCrop:
    """The whole image, or a part whose IoU with some object is in a given range (Liu et al. 2016, section 2.2).

    For every constraint (lowest IoU, highest IoU) `trials` parts are drawn, and the first that meets it is a candidate.
    One of the candidates or the whole image is taken at random. `scale` and `aspect` are those of the part
    in an image of side 1; the aspect is limited so that the part fits. Objects whose center is inside stay, their boxes
    clipped.
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

    def __call__(self, view: ImageView, noise: np.random.Generator) -> ImageView:
        windows = [view.window]
        for least, most in self.constraints:
            parts = self._parts(view.window, noise)
            overlap = _iou(parts, view.boxes)
            fits = ((overlap >= least) & (overlap <= most)).any(1)
            if fits.any():
                windows.append(ViewWindow(*(int(side) for side in parts[fits.argmax()])))
        chosen = windows[int(noise.integers(len(windows)))]
        return view if chosen == view.window else _centered(view._replace(window=chosen))

    def _parts(self, window: ViewWindow, noise: np.random.Generator) -> np.ndarray:
        """Random parts [trials, 4], xyxy in whole pixels."""
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
    """A part that holds at least a random share of some object (Huang et al. 2017, `ssd_random_crop`).

    The share is one of `covered`. An image stays whole with probability `unchanged`, or if none of `trials` random
    parts qualifies. The parts have an `aspect` (width / height in pixels) and an `area` (as a share of the image) from
    the given ranges. Objects of which at least that share is inside stay, their boxes clipped.
    """

    covered: tuple[float, ...] = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
    unchanged: float = 0.15
    aspect: tuple[float, float] = (0.5, 2.0)
    area: tuple[float, float] = (0.1, 1.0)
    trials: int = 100

    def __post_init__(self) -> None:
        share(unchanged=self.unchanged, area=self.area[1])
        span(aspect=self.aspect, area=self.area)

    def __call__(self, view: ImageView, noise: np.random.Generator) -> ImageView:
        least = self.covered[int(noise.integers(len(self.covered)))]
        whole = noise.random() < self.unchanged
        parts, allowed = self._parts(view.window, noise)
        covered = _intersection(parts, view.boxes) / np.maximum(_area(view.boxes), 1e-9)
        fits = (covered >= least).any(1) & allowed
        if whole or not fits.any():
            return view
        row = int(fits.argmax())
        part = view._replace(window=ViewWindow(*(int(side) for side in parts[row])))
        return part.keep(covered[row] >= least).clip()

    def _parts(self, window: ViewWindow, noise: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Random parts [trials, 4], xyxy in whole pixels, and which of them have an allowed area."""
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


def _centered(view: ImageView) -> ImageView:
    """The view with the boxes whose center is in the window, clipped."""
    left, top, right, bottom = view.window
    middle = (view.boxes[:, :2] + view.boxes[:, 2:]) / 2
    return view.keep(((middle >= [left, top]) & (middle <= [right, bottom])).all(1)).clip()


def _intersection(parts: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """[P, 4], [G, 4] -> [P, G]."""
    low = np.maximum(parts[:, None, :2], boxes[None, :, :2])
    high = np.minimum(parts[:, None, 2:], boxes[None, :, 2:])
    return (high - low).clip(0).prod(-1)


def _iou(parts: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    both = _intersection(parts, boxes)
    return both / (_area(parts)[:, None] + _area(boxes)[None] - both)


def _area(boxes: np.ndarray) -> np.ndarray:
    """Areas in float64, as the intersections are, so that a box wholly inside is covered to exactly 1."""
    return np.subtract(boxes[:, 2:], boxes[:, :2], dtype=np.float64).prod(-1)
