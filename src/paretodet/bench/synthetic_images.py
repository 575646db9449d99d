"""Synthetic images with the statistics of photographs, used if the user gives none; and batches of images."""

import hashlib
from collections.abc import Sequence

import numpy as np

from paretodet.bench.candidate import Image

IMAGE_COUNT = 8  # synthetic images, and maximum number of batches
HEIGHT, WIDTH = 480, 640


def draw_images(seed: int, count: int = IMAGE_COUNT) -> list[Image]:
    """Images from a seed: noise with a 1/f amplitude spectrum, as photographs have, and sharp-edged shapes."""
    random = np.random.default_rng(seed)
    return [_scene(random) for _ in range(count)]


def batches(images: Sequence[Image], size: int, limit: int = IMAGE_COUNT) -> list[list[Image]]:
    """At most `limit` batches of `size` images; images are repeated if there are too few."""
    count = min(limit, max(1, -(-len(images) // size)))
    return [[images[(start * size + i) % len(images)] for i in range(size)] for start in range(count)]


def digest(images: Sequence[Image]) -> str:
    """12 hex digits over shapes and pixels."""
    sha = hashlib.sha256()
    for image in images:
        sha.update(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes())
    return sha.hexdigest()[:12]


def _scene(random: np.random.Generator) -> Image:
    rows, columns = np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None]
    amplitude = 1 / np.maximum(np.hypot(rows, columns), 1 / WIDTH)
    noise = np.fft.rfft2(random.standard_normal((3, HEIGHT, WIDTH))) * amplitude
    planes = np.fft.irfft2(noise, s=(HEIGHT, WIDTH))
    image = 128 + 40 * (planes - planes.mean()) / planes.std()
    for _ in range(random.integers(3, 9)):
        _draw_shape(image, random)
    return np.ascontiguousarray(image.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def _draw_shape(image: np.ndarray, random: np.random.Generator) -> None:
    """Draws one filled ellipse or rectangle into [3, H, W]."""
    y, x = random.integers(0, HEIGHT), random.integers(0, WIDTH)
    h, w = random.integers(16, HEIGHT // 3), random.integers(16, WIDTH // 3)
    rows, columns = (np.arange(HEIGHT)[:, None] - y) / h, (np.arange(WIDTH)[None] - x) / w
    inside = np.hypot(rows, columns) < 1 if random.random() < 0.5 else np.maximum(abs(rows), abs(columns)) < 1
    image[:, inside] = random.integers(0, 256, (3, 1))
