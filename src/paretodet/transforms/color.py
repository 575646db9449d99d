"""Augmentations of color. They are tables of levels (`Tint`), which `render` applies after the image is resized."""

from dataclasses import dataclass

import numpy as np

from paretodet.transforms.augment import between, share, span
from paretodet.transforms.view import ImageView, Tint

LEVELS = np.arange(256.0)


@dataclass(frozen=True, kw_only=True)
class Distort:
    """SSD's photometric distortion (the data layer of Caffe SSD); every change has the probability `chance`.

    A random number in -brightness .. brightness is added to the levels; factors from `contrast` and `saturation`
    multiply them; the hue turns by up to `hue` degrees either way (Caffe's 18 are OpenCV's half degrees). Contrast
    comes before saturation and hue in half of the images, after them in the others. Caffe's channel reorder has
    probability 0 and is left out.
    """

    chance: float = 0.5
    brightness: float = 32.0
    contrast: tuple[float, float] = (0.5, 1.5)
    saturation: tuple[float, float] = (0.5, 1.5)
    hue: float = 36.0

    def __post_init__(self) -> None:
        share(chance=self.chance)
        span(contrast=self.contrast, saturation=self.saturation)

    def __call__(self, view: ImageView, noise: np.random.Generator) -> ImageView:
        wanted = noise.random(4) < self.chance
        draws = noise.random(4)
        first = noise.random() < 0.5
        bright = _tint("RGB", LEVELS + self.brightness * (2 * draws[0] - 1))
        contrast = _tint("RGB", LEVELS * between(self.contrast, draws[1]))
        saturation = _hsv(0, between(self.saturation, draws[2]))
        hue = _hsv(self.hue / 360 * (2 * draws[3] - 1), 1)
        steps = [(wanted[0], bright), (wanted[2], saturation), (wanted[3], hue)]
        steps.insert(1 if first else 3, (wanted[1], contrast))
        return view._replace(tints=view.tints + tuple(tint for used, tint in steps if used))


@dataclass(frozen=True, kw_only=True)
class DistortHsv:
    """Darknet's color distortion: turns the hue by up to `hue` of the circle either way, and multiplies or divides
    saturation and exposure by factors of up to `saturation` and `exposure`.

    Saturation is limited to its maximum. Darknet computes beyond it and clips RGB; only the most saturated pixels
    differ.
    """

    hue: float = 0.1
    saturation: float = 1.5
    exposure: float = 1.5

    def __post_init__(self) -> None:
        span(saturation=(1.0, self.saturation), exposure=(1.0, self.exposure))

    def __call__(self, view: ImageView, noise: np.random.Generator) -> ImageView:
        draws, inverse = noise.random(3), noise.random(2) < 0.5
        factors = [between((1.0, most), part) for most, part in zip(self._most, draws[1:], strict=True)]
        saturation, exposure = (1 / f if upside else f for f, upside in zip(factors, inverse, strict=True))
        steps = (_hsv(self.hue * (2 * draws[0] - 1), saturation), _tint("RGB", LEVELS * exposure))
        return view._replace(tints=view.tints + steps)

    @property
    def _most(self) -> tuple[float, float]:
        return self.saturation, self.exposure


def _hsv(turn: float, saturation: float) -> Tint:
    """A turn of the hue, in circles, and a factor on the saturation."""
    hue = (np.rint(LEVELS + turn * 256) % 256).astype(int)
    return Tint("HSV", (*hue.tolist(), *_levels(LEVELS * saturation), *range(256)))


def _tint(space: str, levels: np.ndarray) -> Tint:
    return Tint(space, tuple(_levels(levels)) * 3)


def _levels(levels: np.ndarray) -> list[int]:
    return np.rint(levels).clip(0, 255).astype(int).tolist()
