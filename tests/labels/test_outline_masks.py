"""Packed outlines against pycocotools, the kept reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as reference

from paretodet.labels.rle import EXACT, THOUSANDTHS, pack, run_lengths, unpack

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40))
COORDINATE = st.one_of(st.integers(-3000, 9000).map(lambda each: each / 100), st.floats(-30, 90))
RING = st.lists(COORDINATE, min_size=6, max_size=16).filter(lambda ring: len(ring) % 2 == 0)


@given(MASKS)
def test_run_lengths_of_either_form_decode_to_the_mask(mask):
    text = reference.encode(np.asfortranarray(mask, np.uint8))
    forms = text | {"counts": text["counts"].decode()}, text | {"counts": run_lengths(text["counts"]).tolist()}
    for form in forms:
        packed, size = pack(form)
        assert size == mask.shape
        assert unpack(packed).text == text["counts"]
        assert np.array_equal(unpack(packed).decode(mask.shape), mask)
        assert unpack(packed).area(mask.shape) == mask.sum()


@given(st.lists(RING, min_size=1, max_size=3))
def test_polygons_are_drawn_as_pycocotools_draws_them(rings):
    packed, size = pack(rings)
    drawn = reference.decode(reference.merge(reference.frPyObjects(rings, 50, 60)))
    assert size == (0, 0)
    assert [ring.tolist() for ring in unpack(packed).rings] == rings
    assert np.array_equal(unpack(packed).decode((50, 60)), drawn)
    assert unpack(packed).area((50, 60)) == drawn.sum()


def test_cocos_hundredths_take_half_of_the_memory():
    assert pack([[0.7, 0.3, 123.45, 1.01, 2.5, 639.99]])[0][:1] == THOUSANDTHS
    assert pack([[0.7, 0.3, 123.45, 1.01, 2.5, 1 / 3]])[0][:1] == EXACT


def test_a_mask_of_another_size_is_refused():
    mask = unpack(pack({"size": [4, 6], "counts": [24]})[0])
    with pytest.raises(ValueError, match=r"drawn for an image of \(4, 6\) px \(height, width\), got \(6, 4\)"):
        mask.decode((6, 4))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"", "characters that no run lengths have"),
        (b" ", "characters"),
        (b"\xff", "characters"),
        (b"o", "truncated"),
        (b"oooooooo0", "more than seven"),
        (b"@", "negative"),
    ],
)
def test_malformed_run_lengths_are_reported(text, fault):
    with pytest.raises(ValueError, match=fault):
        run_lengths(text)


@pytest.mark.parametrize(
    "ring", [[0, 0, 1e9, 0, 0, 1e9], [1e300] * 6, [float("nan")] * 6, [1, 2, 3, float("inf"), 4, 5]]
)
def test_an_endless_outline_is_refused_before_it_is_drawn(ring):
    with pytest.raises(ValueError, match="px; it must be finite and at most 4194304 px"):
        pack([[0, 0, 1, 0, 0, 1], ring])
    with pytest.raises(ValueError, match="px; it must be finite and at most 4194304 px"):
        pack([ring])


def test_many_corners_are_not_yet_a_long_outline():
    long = [0.0, 0.0] * 5000 + [100.0, 0.0, 100.0, 900.0]
    assert unpack(pack([long])[0]).decode((10, 200)).any()


def coded(number):
    """As COCO writes a number: 5 bits a character, low ones first; 32 says that more follow."""
    text = b""
    while True:
        digit, number = number & 31, number >> 5
        more = number != (-1 if digit & 16 else 0)
        text += bytes([48 + digit + 32 * more])
        if not more:
            return text


def test_a_run_longer_than_any_image_is_refused():
    """Enough of them pass 64 bits together, and their sum comes round to just the pixels of a small image."""
    assert run_lengths(coded(2**30) + coded(5)).tolist() == [2**30, 5]
    with pytest.raises(ValueError, match="counts holds a run longer than any image"):
        pack({"size": [10, 10], "counts": (coded(2**30) + coded(5)).decode()})
