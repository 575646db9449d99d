"""The sizes of images whose short side is resized, in the arithmetic of each system."""

from itertools import product

import numpy as np
import pytest

from paretodet.transforms.resize_policy import ShortSide
from paretodet.transforms.short_side import ROUNDINGS, Size, detectron, detectron2, maskrcnn_benchmark, nearest, tf1

SIDES = range(100, 700, 7)
EVEN = range(200, 701, 2)


def differing(one, other, short: int, long: int, sides: range = EVEN) -> list[Size]:
    return [size for size in product(sides, sides) if one(size, short, long) != other(size, short, long)]


def api(size: Size, short: int, long: int) -> Size:
    """`_compute_new_dynamic_size` of the Object Detection API: every step in float32, rounded halves to even."""
    height, width = (np.float32(side) for side in size)
    large = np.float32(short) / np.minimum(height, width)
    sides = [int(np.round(side * large)) for side in (height, width)]
    if np.float32(max(sides)) > np.float32(long):
        small = np.float32(long) / np.maximum(height, width)
        sides = [int(np.round(side * small)) for side in (height, width)]
    return sides[0], sides[1]


@pytest.mark.parametrize(("short", "long"), [(600, 1024), (300, 512), (800, 1365)])
def test_tf1_is_the_apis(short: int, long: int) -> None:
    for size in product(SIDES, SIDES):
        assert tf1(size, short, long) == api(size, short, long)


def test_tf1_rounds_halves_to_even() -> None:
    assert tf1((256, 304), 600, 1024) == (600, 712) and nearest((256, 304), 600, 1024) == (600, 713)  # 712.5
    found = differing(tf1, nearest, 600, 1024)
    assert len(found) == 168  # of 63,001
    assert all(np.abs(np.subtract(tf1(size, 600, 1024), nearest(size, 600, 1024))).max() == 1 for size in found)


@pytest.mark.full
def test_tf1_is_what_tensorflow_computes() -> None:
    tf = pytest.importorskip("tensorflow", reason="needs tensorflow")
    sizes = np.array(list(product(SIDES, SIDES)), np.float32)
    scale = tf.constant(600.0) / tf.reduce_min(sizes, axis=1, keepdims=True)
    large = tf.cast(tf.round(sizes * scale), tf.int32).numpy()
    small = tf.cast(
        tf.round(sizes * (tf.constant(1024.0) / tf.reduce_max(sizes, axis=1, keepdims=True))), tf.int32
    ).numpy()
    wanted = np.where(large.max(1, keepdims=True) > 1024, small, large)
    assert [tf1(tuple(size), 600, 1024) for size in sizes.astype(int).tolist()] == [
        tuple(each) for each in wanted.tolist()
    ]


@pytest.mark.parametrize(("short", "long"), [(800, 1333), (600, 1000)])
def test_detectron_is_its_prepare_and_opencvs_resize(short: int, long: int) -> None:
    """`prep_im_for_blob`: NumPy rounds to limit the scale, and OpenCV rounds the sides."""
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
    for height, width in product(range(100, 700, 31), repeat=2):
        scale = float(short) / float(min(height, width))
        if np.round(scale * max(height, width)) > long:
            scale = float(long) / float(max(height, width))
        made = cv2.resize(np.zeros((height, width), np.uint8), None, None, fx=scale, fy=scale)
        assert detectron((height, width), short, long) == made.shape


def test_detectron_rounds_halves_to_even() -> None:
    assert detectron((200, 400), 800, 1333) == (666, 1333) and nearest((200, 400), 800, 1333) == (667, 1333)  # 666.5
    assert len(differing(detectron, nearest, 800, 1333)) == 240  # of 63,001
    assert len(differing(detectron, nearest, 600, 1000)) == 172


def benchmarks(size: Size, short: int, long: int) -> Size:
    """maskrcnn-benchmark's Resize.get_size."""
    height, width = size
    low, high = float(min(size)), float(max(size))
    side = int(round(long * low / high)) if high / low * short > long else short
    if (width <= height and width == side) or (height <= width and height == side):
        return size
    return (int(side * height / width), side) if width < height else (side, int(side * width / height))


def shortest_edge(size: Size, short: int, long: int) -> Size:
    """`ResizeShortestEdge.get_output_shape` of Detectron2."""
    height, width = size
    scale = float(short) / min(height, width)
    high, wide = (float(short), scale * width) if height < width else (scale * height, float(short))
    if max(high, wide) > long:
        scale = float(long) / max(high, wide)
        high, wide = high * scale, wide * scale
    return int(high + 0.5), int(wide + 0.5)


def test_detectron2_is_its_shortest_edge() -> None:
    for size in product(SIDES, SIDES):
        assert detectron2(size, 800, 1333) == shortest_edge(size, 800, 1333)
    assert detectron2((480, 640), 800, 1333) == (800, 1067)
    assert detectron2((1, 9000), 800, 1333) == (1, 1333)  # there, a side of 0
    assert differing(detectron2, detectron, 800, 1333)


def test_maskrcnn_benchmark_is_its_resize() -> None:
    for size in product(SIDES, SIDES):
        assert maskrcnn_benchmark(size, 800, 1333) == benchmarks(size, 800, 1333)
    assert maskrcnn_benchmark((480, 640), 800, 1333) == (800, 1066)
    assert maskrcnn_benchmark((200, 334), 800, 1333) == (798, 1332)  # the longer side is not filled


@pytest.mark.parametrize("whole", ROUNDINGS)
def test_a_policy_rounds_as_it_says(whole) -> None:
    fit = ShortSide(short=600, long=1024, whole=whole)
    for size in ((480, 640), (427, 640), (256, 304), (300, 900), (1, 5000), (600, 800)):
        height, width = fit.layout(size).resized
        assert (height, width) == ROUNDINGS[whole](size, 600, 1024)
        assert 1 <= height <= 1024 and 1 <= width <= 1024
