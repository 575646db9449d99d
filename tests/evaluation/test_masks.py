import importlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as official

from paretodet.evaluation.masks import PASTINGS, paste, segmentations
from paretodet.labels.rle import decode, encode
from paretodet.ops.roi import crop_and_resize
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


def test_a_half_is_inside_for_detectron2_alone():
    box = torch.tensor([0.0, 0.0, 28.0, 28.0])
    for pasting, inside in (("detectron", False), ("detectron2", True), ("tensorflow", False)):
        assert paste(torch.full((28, 28), 0.5), box, (28, 28), pasting)[2:-2, 2:-2].all() == inside
        assert paste(torch.full((28, 28), 0.501), box, (28, 28), pasting)[2:-2, 2:-2].all()


CORNERS = st.tuples(*[st.floats(-30, 110, width=32)] * 4)


@pytest.mark.parametrize("pasting", PASTINGS)
@settings(max_examples=60)
@given(CORNERS, st.tuples(st.integers(1, 70), st.integers(1, 90)))
def test_any_mask_stays_near_its_box(pasting, corners, size):
    x, y = sorted(corners[::2]), sorted(corners[1::2])
    mask = paste(torch.ones(28, 28), torch.tensor([x[0], y[0], x[1], y[1]]), size, pasting)
    assert mask.shape == size
    margin = 3 + 0.04 * (max(corners) - min(corners))
    rows, cols = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    if len(rows):
        assert rows.min() >= y[0] - margin and rows.max() <= y[1] + margin
        assert cols.min() >= x[0] - margin and cols.max() <= x[1] + margin


def one_by_one(mask, box, size):
    """Every pixel's middle in cells of the mask, of which four are joined; those around it are 0."""
    found = np.zeros(size)
    cells = mask.shape[0]
    framed = np.pad(mask.numpy().astype(np.float64), 1)
    for row in range(size[0]):
        for column in range(size[1]):
            y = (row + 0.5 - box[1]) / (box[3] - box[1]) * cells + 0.5
            x = (column + 0.5 - box[0]) / (box[2] - box[0]) * cells + 0.5
            if 0 <= y < cells + 1 and 0 <= x < cells + 1:
                up, left = int(y), int(x)
                four = framed[up : up + 2, left : left + 2]
                found[row, column] = np.outer([1 - y + up, y - up], [1 - x + left, x - left]).ravel() @ four.ravel()
    return found


@settings(max_examples=40)
@given(CORNERS, st.tuples(st.integers(1, 30), st.integers(1, 40)), st.integers(0, 2**31))
def test_detectron2_looks_pixels_up_in_the_box(corners, size, seed):
    x, y = sorted(corners[::2]), sorted(corners[1::2])
    mask = torch.rand(7, 7, generator=torch.Generator().manual_seed(seed))
    found = paste(mask, torch.tensor([x[0], y[0], x[1], y[1]]), size, "detectron2")
    if x[1] - x[0] < 0.1 or y[1] - y[0] < 0.1:
        return
    values = one_by_one(mask, (x[0], y[0], x[1], y[1]), size)
    sure = np.abs(values - 0.5) > 1e-3
    assert np.array_equal(found[sure], values[sure] > 0.5)


@settings(max_examples=60)
@given(CORNERS, st.tuples(st.integers(1, 70), st.integers(1, 90)), st.integers(0, 2**31))
def test_tensorflow_crops_the_image_out_of_the_mask(corners, size, seed):
    """By `crop_and_resize` of the whole image, in the coordinates of the box."""
    x, y = sorted(corners[::2]), sorted(corners[1::2])
    if x[1] - x[0] < 1 or y[1] - y[0] < 1:
        return
    mask = torch.rand(15, 15, generator=torch.Generator().manual_seed(seed))
    low, high = torch.tensor([x[0] / size[1], y[0] / size[0]]), torch.tensor([x[1] / size[1], y[1] / size[0]])
    image = torch.cat((-low / (high - low), (1 - low) / (high - low)))
    values = crop_and_resize(mask[None, None], image[None, None], size, (1, 1))[0, 0, 0].numpy()
    sure = np.abs(values - 0.5) > 1e-3
    found = paste(mask, torch.tensor([x[0], y[0], x[1], y[1]]), size, "tensorflow")
    near_edge = (values == 0) != (
        paste(torch.ones(15, 15), torch.tensor([x[0], y[0], x[1], y[1]]), size, "tensorflow") == 0
    )
    sure &= ~near_edge
    assert np.array_equal(found[sure], values[sure] > 0.5) and near_edge.sum() <= 2 * sum(size)


def test_the_edges_of_a_box_are_the_middles_of_tensorflows_outermost_cells():
    """By hand, 15 cells over 30 px, of which the first column is 1: it reaches half of 30 / 14 px into the box for
    TensorFlow, whose pixels stand 51 / 50 px apart, and a whole cell of 2 px for Detectron2.
    """
    mask = torch.zeros(15, 15)
    mask[:, 0] = 1
    box, size = torch.tensor([10.0, 10.0, 40.0, 40.0]), (51, 51)
    columns = {name: paste(mask, box, size, name)[25].nonzero()[0].tolist() for name in PASTINGS}
    assert columns["tensorflow"] == [10] and columns["detectron2"] == [10, 11]


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
