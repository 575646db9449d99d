"""Draws detections on an image."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from paretodet.images import DRAWINGS
from paretodet.labels.rle import Rle, decode
from paretodet.media.fonts import lettering

MIN_DRAWN_SCORE = 0.3  # default threshold: detectors tuned for AP keep hundreds of boxes with low scores
FIRST_HUE, GOLDEN = 0.58, (5**0.5 - 1) / 2  # of the circle; steps of the golden ratio fill it evenly
TINT = 0.45  # opacity of a mask's color


@dataclass(frozen=True, kw_only=True)
class LabeledBox:
    """One detection in pixels of the image."""

    label: str
    score: float
    box: tuple[float, float, float, float]  # x1, y1, x2, y2
    segmentation: Rle | None = None  # its mask in the image, as COCO writes it
    number: int = 0  # of the label, 0..K-1; selects the color


def mark_drawings(folder: Path) -> None:
    """Marks a folder that was made for drawings: below a folder of data, its images are no data. Raises OSError."""
    (folder / DRAWINGS).touch()


def draw(image: np.ndarray, detections: Sequence[LabeledBox]) -> Image.Image:
    """A copy of an image [H, W, 3] uint8 with the box, label, score and mask of every detection.

    The first detection is drawn last, so that it lies on top. A label that no font of this machine can draw is
    replaced by its number.
    """
    drawing = Image.fromarray(_tinted(image, detections)).copy()
    pen = ImageDraw.Draw(drawing)
    scale = max(drawing.size) / 640
    for item in reversed(detections):
        _box(pen, item, size=max(10, round(13 * scale)), width=max(1, round(2.5 * scale)))
    return drawing


def color(number: int) -> tuple[int, int, int]:
    """A bright color for the number of a label; the hues of numbers close to each other are far apart."""
    hue = (FIRST_HUE + number * GOLDEN) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _tinted(image: np.ndarray, detections: Sequence[LabeledBox]) -> np.ndarray:
    tinted = image.copy()
    for item in reversed(detections):
        if item.segmentation is not None:
            inside = decode(item.segmentation)
            tinted[inside] = ((1 - TINT) * tinted[inside] + TINT * np.array(color(item.number))).round()
    return tinted


def _box(pen: ImageDraw.ImageDraw, item: LabeledBox, *, size: int, width: int) -> None:
    ink = color(item.number)
    x1, y1, x2, y2 = item.box
    pen.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=ink, width=width)
    name, font = lettering(item.label, item.number, size)
    text = f"{name} {item.score:.2f}"
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    wide, high = right - left + 4, bottom - top + 4
    x = min(max(0, x1), max(0, pen.im.size[0] - wide))
    y = y1 - high if y1 >= high else max(0, min(y1, pen.im.size[1] - high))  # above the box, or inside at its top
    pen.rectangle((x, y, x + wide, y + high), fill=ink)
    pen.text((x + 2 - left, y + 2 - top), text, font=font, fill="black" if _light(ink) else "white")


def _light(ink: tuple[int, int, int]) -> bool:
    """Whether black text is more legible on the color than white (relative luminance, Rec. 709 weights)."""
    red, green, blue = ink
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 110
