"""Padding, the largest boxes, and masks as crops of their boxes."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from drawn_sets import Drawn, rectangle, sample
from paretodet.evaluation.masks import paste
from paretodet.loader.targets import crop_mask, pad, truth
from paretodet.transforms.resize_policy import Letterbox, ShortSideCrop, Stretch
from paretodet.transforms.view import ImageView, mirror, whole

SIZE = (60, 90)
FIT = Stretch(height=120, width=90)


def view_of(boxes: object) -> ImageView:
    return whole(np.zeros((*SIZE, 3), np.uint8), sample(boxes, SIZE))


def test_boxes_lie_where_the_fit_puts_them() -> None:
    assert truth(view_of([[10, 20, 30, 40]]), FIT).boxes.tolist() == [[10, 40, 30, 80]]
    assert truth(view_of([[10, 20, 30, 40]]), Letterbox(height=90, width=90)).boxes.tolist() == [[10, 35, 30, 55]]
    cut = ShortSideCrop(height=60, width=60)
    assert truth(view_of([[0, 0, 15, 9], [10, 0, 20, 9]]), cut).boxes.tolist() == [[0, 0, 5, 9]]


@given(count=st.integers(0, 30), most=st.integers(1, 20))
def test_the_largest_stay_in_their_order_and_the_rest_is_counted(count: int, most: int) -> None:
    sides = np.random.default_rng(count).permutation(count) + 1
    found = truth(view_of([[0, 0, side, side] for side in sides]), FIT, most=most)
    kept = sides[found.labels]
    assert found.dropped == max(0, count - most)
    assert (np.diff(found.labels) > 0).all()
    assert sorted(kept) == sorted(sides)[count - len(kept) :]


def test_padding_is_not_valid_and_empty() -> None:
    mask = rectangle((10, 20, 30, 40), SIZE)
    full = truth(view_of([[10, 20, 30, 40]]), FIT, masks=(mask,), side=7)
    targets = pad([full, truth(view_of([]), FIT, masks=(), side=7)], most=3)
    assert targets.valid.tolist() == [[True, False, False], [False] * 3]
    assert targets.boxes.shape == (2, 3, 4) and targets.boxes.dtype == torch.float32
    assert targets.labels.dtype == torch.int64 and targets.crowd.dtype == torch.bool
    assert targets.masks is not None and targets.masks.shape == (2, 3, 7, 7)
    for part in (targets.boxes, targets.labels, targets.crowd, targets.masks):
        assert not part[~targets.valid].any()
    assert (targets.masks[0, 0] == 1).all()


def test_without_masks_there_are_none() -> None:
    assert pad([truth(view_of([[10, 20, 30, 40]]), FIT)])[4:] == (None, None)


def test_a_box_stays_though_its_mask_is_missing_or_unreadable() -> None:
    masks = (Drawn(np.zeros((5, 5), bool)), rectangle((0, 0, 9, 9), SIZE), None)
    found = truth(view_of([[10, 20, 30, 40], [0, 0, 9, 9], [5, 5, 50, 50]]), FIT, masks=masks)
    assert found.unreadable_masks == 1 and found.labels.tolist() == [0, 1, 2]
    targets = pad([found, truth(view_of([]), FIT, masks=())], most=4)
    assert targets.has_mask is not None and targets.masks is not None
    assert targets.has_mask.tolist() == [[False, True, False, False], [False] * 4]
    assert targets.masks.flatten(2).any(2).tolist() == targets.has_mask.tolist()


def test_a_mirrored_mask_is_read_mirrored() -> None:
    shape = rectangle((10, 20, 20, 40), SIZE)  # the left half of the box
    view = view_of([[10, 20, 30, 40]])
    plain, flipped = (truth(p, FIT, masks=(shape,), side=4).masks for p in (view, mirror(view)))
    assert plain is not None and flipped is not None
    assert np.array_equal(flipped, plain[..., ::-1])
    assert plain[0, 0].tolist()[0] == 1 and plain[0, 0].tolist()[-1] == 0


def test_a_crop_is_the_share_covered_where_cells_are_pixels() -> None:
    shape = np.random.default_rng(0).random(SIZE) > 0.5
    assert np.array_equal(crop_mask(shape, np.float32([5, 7, 33, 35])), shape[7:35, 5:33].astype(np.float32))


def test_a_box_outside_of_the_mask_reads_nothing() -> None:
    assert not crop_mask(np.ones(SIZE, bool), np.float32([90, 0, 95, 9])).any()


@given(st.integers(0, 60), st.integers(0, 30), st.integers(10, 30), st.integers(10, 30))
def test_pasted_back_a_disc_is_the_disc(left: int, top: int, width: int, height: int) -> None:
    """Against the way finished masks are pasted: all but the rim agrees."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    far = ((x - left - width / 2) / (width / 2)) ** 2 + ((y - top - height / 2) / (height / 2)) ** 2
    box = np.float32([left, top, left + width, top + height])
    back = paste(torch.from_numpy(crop_mask(far < 1, box)), torch.from_numpy(box), SIZE)
    inside, outside = far < 0.6, far > 1.5
    assert back[inside].all() and not back[outside].any()
