"""Rendering: equal to the resize policy without augmentation, and the pixels of the window are where the boxes are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn_sets import sample
from paretodet.transforms.resize import SAMPLINGS
from paretodet.transforms.resize_policy import Letterbox, ResizePolicy, ShortSide, ShortSideCrop, Stretch
from paretodet.transforms.view import ImageView, Tint, ViewWindow, mirror, render, whole

SIDE = st.integers(1, 200)
FITS = st.one_of(
    st.builds(Stretch, height=SIDE, width=SIDE, sampling=st.sampled_from(SAMPLINGS)),
    st.builds(Letterbox, height=SIDE, width=SIDE),
    st.builds(lambda short, more: ShortSide(short=short, long=short + more), SIDE, SIDE),
    st.builds(
        lambda short, more: ShortSide(short=short, long=short + more, whole="detectron", sampling="opencv"), SIDE, SIDE
    ),
    st.builds(ShortSideCrop, height=SIDE, width=SIDE),
)


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def view_of(pixels: np.ndarray, boxes: object = ()) -> ImageView:
    return whole(pixels, sample(boxes, (pixels.shape[0], pixels.shape[1])))


@given(fit=FITS, height=SIDE, width=SIDE)
def test_nothing_changed_is_exactly_the_fit(fit: ResizePolicy, height: int, width: int) -> None:
    pixels = image(height, width)
    drawn, plain = render(view_of(pixels), fit), fit(pixels)
    assert np.array_equal(drawn.canvas, plain.canvas)
    assert (drawn.height, drawn.width) == (plain.height, plain.width)


@given(fit=FITS, height=SIDE, width=SIDE)
def test_a_mirrored_view_is_the_fit_of_the_mirrored_image(fit: ResizePolicy, height: int, width: int) -> None:
    pixels = image(height, width)
    assert np.array_equal(
        render(mirror(view_of(pixels)), fit).canvas, fit(np.ascontiguousarray(pixels[:, ::-1])).canvas
    )


def test_a_window_inside_is_the_fit_of_that_part() -> None:
    pixels = image(40, 60)
    part = view_of(pixels)._replace(window=ViewWindow(10, 5, 50, 33))
    fit = Stretch(height=30, width=30)
    assert np.array_equal(render(part, fit).canvas, fit(np.ascontiguousarray(pixels[5:33, 10:50])).canvas)


def test_a_window_beyond_the_image_is_filled_around_it() -> None:
    pixels = image(20, 30)
    wide = view_of(pixels)._replace(window=ViewWindow(-10, -4, 50, 36), fill=(1, 2, 3))
    canvas = render(wide, Stretch(height=40, width=60)).canvas
    assert np.array_equal(canvas[4:24, 10:40], pixels)
    around = np.ones((40, 60), bool)
    around[4:24, 10:40] = False
    assert (canvas[around] == [1, 2, 3]).all()


def test_without_a_fill_the_fits_background_is_seen() -> None:
    wide = view_of(image(20, 30))._replace(window=ViewWindow(0, 0, 30, 40))
    assert (render(wide, Letterbox(height=40, width=30, fill=77)).canvas[20:] == 77).all()


def test_tints_color_the_image_and_not_what_surrounds_it() -> None:
    black = Tint("RGB", (0,) * 768)
    wide = view_of(image(20, 30))._replace(window=ViewWindow(0, 0, 30, 40), fill=(9, 9, 9), tints=(black,))
    canvas = render(wide, Stretch(height=40, width=30)).canvas
    assert (canvas[:20] == 0).all() and (canvas[20:] == 9).all()


@pytest.mark.parametrize("window", [(30, 0, 40, 20), (-9, 0, 0, 20), (0, 20, 30, 21), (0, -9, 30, 0)])
def test_a_window_that_sees_nothing_is_all_fill(window: tuple[int, int, int, int]) -> None:
    blind = view_of(image(20, 30))._replace(window=ViewWindow(*window), fill=(7, 8, 9))
    assert (render(blind, Stretch(height=5, width=6)).canvas == [7, 8, 9]).all()


def test_unusable_boxes_are_gone_and_the_others_keep_their_rows() -> None:
    boxes = [[0, 0, 9, 9], [5, 5, 5, 9], [np.nan, 0, 4, 4], [8, 8, 2, 2], [40, 1, 50, 3], [25, 15, 90, 90]]
    kept = view_of(image(20, 30), boxes)
    assert kept.rows.tolist() == [0, 5]
    assert kept.labels.tolist() == [0, 5]
    assert kept.boxes.tolist() == [[0, 0, 9, 9], [25, 15, 30, 20]]
