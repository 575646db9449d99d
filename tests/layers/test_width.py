"""The width multiplier."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretodet.layers.width import check_width, scaled


@given(st.integers(1, 4096))
def test_width_one_is_the_papers_number(channels):
    assert scaled(channels, 1.0) == channels


@given(st.integers(1, 4096), st.floats(0.01, 8.0))
def test_a_layer_keeps_eight_channels_and_never_gets_more(channels, width):
    assert scaled(channels, width) >= min(8, channels)
    assert scaled(channels, width) <= max(8, channels * width)


@pytest.mark.parametrize(
    ("channels", "width", "found"), [(32, 0.25, 8), (1024, 0.25, 256), (64, 0.01, 8), (33, 0.5, 16)]
)
def test_depths_round_down(channels, width, found):
    assert scaled(channels, width) == found


@pytest.mark.parametrize("width", [0.0, -1.0, 8.5, float("nan"), float("inf")])
def test_a_bad_width_is_refused(width):
    with pytest.raises(ValueError, match="width: got"):
        check_width(width)
