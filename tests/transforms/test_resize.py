"""Sampling: OpenCV's to the last bit, darknet's as its loops, and none of them where nothing changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretodet.transforms.resize import SAMPLINGS, resize
from paretodet.transforms.resize_policy import Letterbox, Stretch

SIDE = st.integers(1, 24)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


GOLDEN = {  # (source, target): the red channel of OpenCV 4.14's cv2.resize of `pattern`
    ((5, 7), (3, 4)): [[50, 195, 147, 132], [112, 33, 209, 130], [173, 94, 47, 192]],
    ((3, 2), (5, 3)): [[0, 50, 101], [15, 65, 116], [37, 88, 138], [59, 109, 160], [74, 124, 175]],
    ((4, 6), (2, 3)): [[69, 143, 153], [143, 89, 99]],
    ((2, 3), (4, 1)): [[101], [110], [129], [138]],
}


def pattern(height: int, width: int) -> np.ndarray:
    row, column, channel = np.indices((height, width, 3))
    return ((row * 37 + column * 101 + channel * 59) % 256).astype(np.uint8)


@pytest.mark.parametrize(("source", "target"), GOLDEN)
def test_opencv_to_the_last_bit(source: tuple[int, int], target: tuple[int, int]) -> None:
    assert resize(pattern(*source), target, "opencv")[..., 0].tolist() == GOLDEN[source, target]


def darknets(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Darknet's resize_image, pixel by pixel: columns first, then rows, in floats."""
    source_height, source_width, _ = image.shape
    across = (source_width - 1) / (width - 1) if width > 1 else 0.0
    down = (source_height - 1) / (height - 1) if height > 1 else 0.0
    part = np.zeros((source_height, width, 3))
    for c in range(width):
        ix = int(c * across)
        part[:, c] = image[:, ix] * (1 - (c * across - ix))
        if ix + 1 < source_width:
            part[:, c] += image[:, ix + 1] * (c * across - ix)
    out = np.zeros((height, width, 3))
    for r in range(height):
        iy = int(r * down)
        out[r] = part[iy] * (1 - (r * down - iy))
        if iy + 1 < source_height:
            out[r] += part[iy + 1] * (r * down - iy)
    return out


@given(height=SIDE, width=SIDE, new_height=SIDE, new_width=SIDE)
def test_corners_are_darknets(height: int, width: int, new_height: int, new_width: int) -> None:
    image = noise(height, width)
    found = resize(image, (new_height, new_width), "corners")
    assert np.abs(found - darknets(image, new_height, new_width)).max() < 0.51


@given(height=SIDE, width=SIDE, sampling=st.sampled_from(SAMPLINGS), level=st.integers(0, 255))
def test_one_gray_stays_and_the_same_size_is_the_same_image(height, width, sampling, level) -> None:
    flat = np.full((height, width, 3), level, np.uint8)
    assert (resize(flat, (7, 9), sampling) == level).all()
    assert np.array_equal(resize(noise(height, width), (height, width), sampling), noise(height, width))


def test_shrinking_loses_no_pixel_only_where_it_is_antialiased() -> None:
    """One white column of eight, halved three times: seen, or stepped over."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, ::8] = 255
    assert resize(image, (8, 8), "antialiased")[4, 4, 0] > 20
    assert resize(image, (8, 8), "opencv").max() == 0
    corners = resize(image, (8, 8), "corners")
    assert corners[:, 0].min() == 255 and corners[:, -1].max() == 0


@pytest.mark.parametrize("fit", [Stretch, Letterbox])
def test_a_policy_uses_its_sampling(fit) -> None:
    image = noise(40, 40)
    for sampling in SAMPLINGS:
        made = fit(height=16, width=16, sampling=sampling)
        assert np.array_equal(made(image).canvas, resize(image, (16, 16), sampling))
    assert fit(height=16, width=16).sampling == "antialiased"
    with pytest.raises(ValueError, match="sampling: got 'cubic', it is one of antialiased, opencv, corners"):
        fit(height=16, width=16, sampling="cubic")
