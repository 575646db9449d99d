import importlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as official

from paretodet.evaluation.masks import paste, segmentations
from paretodet.labels.rle import decode, encode
from paretodet.types import Detections

MASKS = arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@given(MASKS)
def test_run_lengths_are_pycocotools(mask):
    found = encode(mask)
    expected = official.encode(np.asfortranarray(mask, dtype=np.uint8))
    assert found == {"size": list(expected["size"]), "counts": expected["counts"].decode()}
    assert np.array_equal(decode(found), mask)
    assert np.array_equal(official.decode(found), mask)


def test_a_full_mask_fills_its_box_and_the_pixels_it_ends_on():
    """By hand: the frame spans 8..68 and 19..49, both ends drawn: 61 and 31 px for 30 cells, the outermost empty."""
    mask = paste(torch.ones(28, 28), torch.tensor([10.0, 20.0, 66.0, 48.0]), (60, 80))
    expected = np.zeros((60, 80), bool)
    expected[20:49, 10:67] = True
    assert np.array_equal(mask, expected)


def test_an_empty_mask_is_nowhere():
    assert not paste(torch.zeros(28, 28), torch.tensor([1.0, 2.0, 30.0, 30.0]), (40, 40)).any()


def test_the_threshold_is_not_itself_inside():
    box = torch.tensor([0.0, 0.0, 28.0, 28.0])
    assert not paste(torch.full((28, 28), 0.5), box, (28, 28)).any()
    assert paste(torch.full((28, 28), 0.5), box, (28, 28), threshold=0.49)[2:-2, 2:-2].all()


CORNERS = st.tuples(*[st.floats(-30, 110, width=32)] * 4)


@settings(max_examples=60)
@given(CORNERS, st.tuples(st.integers(1, 70), st.integers(1, 90)))
def test_any_mask_stays_near_its_box(corners, size):
    x, y = sorted(corners[::2]), sorted(corners[1::2])
    mask = paste(torch.ones(28, 28), torch.tensor([x[0], y[0], x[1], y[1]]), size)
    assert mask.shape == size
    margin = 3 + 0.04 * (max(corners) - min(corners))
    rows, cols = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    if len(rows):
        assert rows.min() >= y[0] - margin and rows.max() <= y[1] + margin
        assert cols.min() >= x[0] - margin and cols.max() <= x[1] + margin


def test_slots_that_are_empty_or_without_masks_have_none():
    boxes, scores = torch.tensor([[[0.0, 0.0, 9.0, 9.0]] * 2]), torch.tensor([[0.5, 0.0]])
    labels = torch.zeros(1, 2, dtype=torch.int64)
    assert segmentations(Detections(boxes, scores, labels), 0, (9, 9)) == [None, None]
    first, second = segmentations(Detections(boxes, scores, labels, torch.ones(1, 2, 28, 28)), 0, (9, 9))
    assert second is None and decode(first).all()


@pytest.mark.full
@settings(max_examples=300)
@given(CORNERS, st.tuples(st.integers(1, 70), st.integers(1, 90)), st.integers(0, 2**31))
def test_pasted_as_torchvision_pastes(corners, size, seed):
    """Pixel for pixel, but for boxes so far outside that torchvision raises."""
    try:
        theirs = importlib.import_module("torchvision.models.detection.roi_heads").paste_masks_in_image
    except (ImportError, RuntimeError) as missing:
        pytest.skip(f"torchvision: {missing}")
    x, y = sorted(corners[::2]), sorted(corners[1::2])
    box = torch.tensor([x[0], y[0], x[1], y[1]])
    mask = torch.rand(28, 28, generator=torch.Generator().manual_seed(seed))
    try:
        expected = theirs(mask[None, None], box[None], size)[0, 0] > 0.5
    except RuntimeError:
        assert not paste(mask, box, size).any()
        return
    assert np.array_equal(paste(mask, box, size), expected.numpy())
