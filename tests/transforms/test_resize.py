"""Every sampling against its original library, to the last gray level.

Pillow's and OpenCV's results are gray levels: they must be equal. TensorFlow's, darknet's and torch's are floats: the
gray level must be a nearest one, so it is half a level away at most.
"""

from collections.abc import Callable
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, example, given
from hypothesis import strategies as st
from PIL import Image

from paretodet.transforms import bilinear, opencv
from paretodet.transforms.resize import SAMPLINGS, resize
from paretodet.transforms.resize_policy import Letterbox, ShortSide, ShortSideCrop, Stretch, with_sampling

Size = tuple[int, int]

SIDE = st.integers(1, 160)
TWO_TAPS = [sampling for sampling in SAMPLINGS if sampling != "antialiased"]
NEAREST = 0.5 + 1e-4  # a nearest level, within the noise of float32
PHOTOGRAPHS = [((480, 640), (300, 300)), ((427, 640), (600, 899)), ((375, 500), (800, 1067)), ((640, 427), (416, 278))]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def edges(height: int, width: int) -> np.ndarray:
    """Only black and white: every error of a weight shows at its full size."""
    return noise(height, width) // 128 * np.uint8(255)


LIBRARY = opencv.library


@pytest.fixture(scope="module", autouse=True)
def without_opencv():
    """What is compared with OpenCV is what computes without it."""
    with mock.patch.object(opencv, "library", lambda: None):
        yield


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
def test_opencv_to_the_last_bit(source: Size, target: Size) -> None:
    assert resize(pattern(*source), target, "opencv")[..., 0].tolist() == GOLDEN[source, target]


def pillows(image: np.ndarray, size: Size) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def opencvs(image: np.ndarray, size: Size) -> np.ndarray:
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR).reshape(*size, 3)


def torchs(image: np.ndarray, size: Size) -> np.ndarray:
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float().contiguous()
    return F.interpolate(planes, size=size, mode="bilinear", align_corners=False)[0].permute(1, 2, 0).numpy()


def tensorflows(image: np.ndarray, size: Size) -> np.ndarray:
    """TensorFlow 1's kernel, all of it in float32: legacy scaler, then a + (b - a) * x along rows, then columns."""
    floats = image.astype(np.float32)
    (top, bottom, y), (left, right, x) = (_legacy(*pair) for pair in zip(image.shape, size, strict=False))
    rows = floats[:, left] + (floats[:, right] - floats[:, left]) * x[:, None]
    return rows[top] + (rows[bottom] - rows[top]) * y[:, None, None]


def _legacy(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    place = np.arange(target, dtype=np.float32) * (np.float32(source) / np.float32(target))
    lower = np.floor(place)
    upper = np.minimum(np.ceil(place), source - 1)
    return lower.astype(int), upper.astype(int), place - lower


def darknets(image: np.ndarray, size: Size) -> np.ndarray:
    """Darknet's resize_image in its order and in float32, on values of 0 to 1."""
    source, (height, width), one = image.astype(np.float32) / np.float32(255), size, np.float32(1)
    source_height, source_width, _ = source.shape
    across, down = (
        np.float32(a - 1) / np.float32(max(b - 1, 1)) for a, b in ((source_width, width), (source_height, height))
    )
    part = np.zeros((source_height, width, 3), np.float32)
    for c in range(width):
        if c == width - 1 or source_width == 1:
            part[:, c] = source[:, source_width - 1]
        else:
            sx = np.float32(c) * across
            dx = sx - np.float32(int(sx))
            part[:, c] = (one - dx) * source[:, int(sx)] + dx * source[:, int(sx) + 1]
    made = np.zeros((height, width, 3), np.float32)
    for r in range(height):
        sy = np.float32(r) * down
        dy = sy - np.float32(int(sy))
        made[r] = (one - dy) * part[int(sy)]
        if r < height - 1 and source_height > 1:
            made[r] += dy * part[int(sy) + 1]
    return made * 255


ORIGINALS: dict[str, tuple[Callable[[np.ndarray, Size], np.ndarray], float]] = {  # and how far a level may be from it
    "antialiased": (pillows, 0.0),
    "opencv": (opencvs, 0.0),
    "torch": (torchs, NEAREST),
    "tf1": (tensorflows, NEAREST),
    "corners": (darknets, NEAREST),
}


def test_every_sampling_has_an_original() -> None:
    assert set(ORIGINALS) == set(SAMPLINGS)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@given(height=SIDE, width=SIDE, new_height=SIDE, new_width=SIDE)
@example(height=1, width=1, new_height=1, new_width=2)
@example(height=33, width=2, new_height=65, new_width=3)
@example(height=97, width=160, new_height=96, new_width=159)
def test_gray_levels_are_the_originals(sampling, height, width, new_height, new_width) -> None:
    assert_equals_original(sampling, noise(height, width), (new_height, new_width))


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(("source", "target"), PHOTOGRAPHS)
def test_gray_levels_are_the_originals_at_the_sizes_of_photographs(sampling, source: Size, target: Size) -> None:
    assert_equals_original(sampling, edges(*source), target)


def assert_equals_original(sampling: str, image: np.ndarray, size: Size) -> None:
    original, tolerance = ORIGINALS[sampling]
    found = resize(image, size, sampling)  # type: ignore[arg-type]
    assert found.shape == (*size, 3) and found.dtype == np.uint8
    assert np.abs(found - original(image, size).astype(np.float64)).max() <= tolerance


@given(height=SIDE, width=SIDE, percent=st.integers(20, 300))
@example(height=2, width=3, percent=50)  # one column is left beside pairs of two
@example(height=11, width=6, percent=50)
@example(height=7, width=11, percent=50)
@example(height=97, width=129, percent=167)  # 129 * 1.67 = 215.43: each pixel lies a little left of that of the ratio
def test_opencv_with_a_scale_is_its_resize_with_a_factor(height: int, width: int, percent: int) -> None:
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
    scale = percent / 100
    size = round(height * scale), round(width * scale)
    assume(min(size) >= 1)
    made = cv2.resize(noise(height, width), None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    assert made.shape[:2] == size
    assert np.array_equal(resize(noise(height, width), size, "opencv", scale), made)


@pytest.mark.parametrize("scale", [None, 1.67])
def test_opencv_itself_computes_if_it_is_installed(monkeypatch: pytest.MonkeyPatch, scale) -> None:
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
    image, size, threads = noise(97, 129)[:, ::-1], (162, 215), cv2.getNumThreads()
    wanted = resize(image, size, "opencv", scale)
    monkeypatch.setattr(opencv, "library", LIBRARY)
    with mock.patch.object(bilinear, "resized", side_effect=AssertionError):
        assert np.array_equal(resize(image, size, "opencv", scale), wanted)
    assert cv2.getNumThreads() == torch.get_num_threads()
    cv2.setNumThreads(threads)


def test_a_size_that_is_not_the_scaled_one_is_not_opencvs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It rounds the scaled sides itself; Detectron's limit on the longer side can give another one."""
    wanted = resize(noise(97, 129), (161, 215), "opencv", 1.67)
    monkeypatch.setattr(opencv, "library", LIBRARY)
    assert opencv.resized(noise(97, 129), (161, 215), 1.67) is None
    assert np.array_equal(resize(noise(97, 129), (161, 215), "opencv", 1.67), wanted)


@pytest.mark.full
def test_tf1_is_what_tensorflow_computes() -> None:
    tf = pytest.importorskip("tensorflow", reason="needs tensorflow")
    random = np.random.default_rng(7)
    for height, width, new_height, new_width in random.integers(1, 400, (60, 4)).tolist():
        image, size = noise(height, width), (new_height, new_width)
        made = tf.compat.v1.image.resize_bilinear(image[None].astype(np.float32), size)[0].numpy()
        assert np.abs(resize(image, size, "tf1") - made.astype(np.float64)).max() <= NEAREST
        assert np.abs(tensorflows(image, size) - made).max() < 1e-4


def test_the_last_row_is_nearly_black_where_darknets_is() -> None:
    """In float32, 13 * (28 / 13) is below 28: darknet reads row 27 with almost no weight, and adds nothing to it."""
    sides = [
        (s, t) for s in range(2, 60) for t in range(2, 60) if (t - 1) * (np.float32(s - 1) / np.float32(t - 1)) < s - 1
    ]
    assert 0 < len(sides) < 58 * 58 / 4
    white = np.full((sides[0][0], 5, 3), 255, np.uint8)
    made = resize(white, (sides[0][1], 5), "corners")
    assert made[-1].max() < 3 and made[:-1].min() == 255


@pytest.mark.parametrize("sampling", TWO_TAPS)
def test_blocks_do_not_change_what_is_computed(sampling, monkeypatch: pytest.MonkeyPatch) -> None:
    for source, target in (((97, 60), (51, 44)), ((40, 60), (111, 33))):
        whole = resize(noise(*source), target, sampling)
        for rows in (1, 7):
            monkeypatch.setattr(bilinear, "BLOCK", rows * 3 * target[1])
            assert np.array_equal(resize(noise(*source), target, sampling), whole)
        monkeypatch.undo()


@given(
    height=st.integers(1, 24), width=st.integers(1, 24), sampling=st.sampled_from(SAMPLINGS), level=st.integers(0, 255)
)
def test_one_gray_stays_and_the_same_size_is_the_same_image(height, width, sampling, level) -> None:
    flat = np.full((height, width, 3), level, np.uint8)
    made = resize(flat, (7, 9), sampling)
    assert (made[:-1] == level).all() and (sampling == "corners" or (made[-1] == level).all())
    assert np.array_equal(resize(noise(height, width), (height, width), sampling), noise(height, width))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_mirrored_or_cut_image_need_not_be_contiguous(sampling) -> None:
    image = noise(40, 30)[4:33, ::-1]
    assert np.array_equal(resize(image, (17, 21), sampling), resize(np.ascontiguousarray(image), (17, 21), sampling))


def test_shrinking_loses_no_pixel_only_where_it_is_antialiased() -> None:
    """One white column of eight, halved three times: seen, or stepped over."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, ::8] = 255
    assert resize(image, (8, 8), "antialiased")[4, 4, 0] > 20
    assert resize(image, (8, 8), "opencv").max() == resize(image, (8, 8), "torch").max() == 0
    assert resize(image, (8, 8), "tf1").min() == 255  # output i reads column 8 * i
    corners = resize(image, (8, 8), "corners")
    assert corners[:, 0].min() == 255 and corners[:, -1].max() == 0


POLICIES = [
    Stretch(height=16, width=16),
    Letterbox(height=16, width=16),
    ShortSide(short=16, long=16),
    ShortSideCrop(height=16, width=16),
]


@pytest.mark.parametrize("fit", POLICIES, ids=lambda fit: type(fit).__name__)
def test_a_policy_uses_its_sampling(fit) -> None:
    image = noise(40, 40)
    assert fit.sampling == "antialiased" and with_sampling(fit, None) is fit
    for sampling in SAMPLINGS:
        made = with_sampling(fit, sampling)
        assert made.sampling == sampling and np.array_equal(made(image).canvas, resize(image, (16, 16), sampling))
    with pytest.raises(ValueError, match="sampling: got 'cubic', it is one of antialiased, opencv, corners"):
        with_sampling(fit, "cubic")
