"""Geometry of boxes: compared with plain arithmetic, and as identities."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paretodet.ops.geometry import area, center_size, clip, contained, from_center, giou, iou, shape_iou

corner = st.integers(-4, 12)
boxes = st.lists(st.tuples(corner, corner, corner, corner), min_size=1, max_size=6)


def naive_parts(a, b) -> tuple[float, float, float]:
    """Intersection, union and area of the smallest box around both."""

    def size(box) -> float:
        return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)

    common = size((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    hull = size((min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])))
    return common, size(a) + size(b) - common, hull


@given(boxes, boxes)
def test_iou_of_every_pair_equals_counting(a, b):
    found = iou(torch.tensor(a).float(), torch.tensor(b).float())
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            common, union, _ = naive_parts(one, other)
            assert found[i, j].item() == pytest.approx(common / union if union else 0)


@given(boxes)
def test_giou_equals_its_definition(a):
    b = a[1:] + a[:1]
    found = giou(torch.tensor(a).float(), torch.tensor(b).float())
    for i, pair in enumerate(zip(a, b, strict=True)):
        common, union, hull = naive_parts(*pair)
        expected = (common / union if union else 0) - ((hull - union) / hull if hull else 0)
        assert found[i].item() == pytest.approx(expected, abs=1e-6)


def test_giou_of_distant_boxes_still_has_a_gradient():
    near = torch.tensor([0.0, 0, 2, 2], requires_grad=True)
    giou(near, torch.tensor([5.0, 0, 7, 2])).backward()
    assert near.grad[2] > 0  # moving the right edge towards the other box helps


@pytest.mark.parametrize("bad", [[3.0, 3, 3, 3], [5.0, 5, 1, 1], [math.nan] * 4, [-math.inf, 0, math.inf, 1]])
def test_boxes_without_a_valid_area_overlap_nothing(bad):
    a = torch.tensor([bad], requires_grad=True)
    found = iou(a, torch.tensor([[0.0, 0, 4, 4], bad]))
    assert found.tolist() == [[0, 0]]


def test_gradients_stay_finite_for_empty_boxes():
    a = torch.tensor([[1.0, 1, 1, 1], [2, 2, 0, 0]], requires_grad=True)
    (iou(a, a).sum() + giou(a, a).sum()).backward()
    assert a.grad.isfinite().all()


def test_shape_iou_is_iou_of_centered_boxes():
    a, b = torch.rand(5, 2) * 9, torch.rand(7, 2) * 9
    zero = torch.zeros(1)
    expected = iou(from_center(zero, a), from_center(zero, b))
    torch.testing.assert_close(shape_iou(a, b), expected)
    assert shape_iou(torch.zeros(1, 2), torch.zeros(1, 2)).item() == 0


def test_pairs_keep_their_leading_dimensions():
    a, b = torch.rand(2, 3, 5, 4), torch.rand(2, 3, 6, 4)
    assert iou(a, b).shape == (2, 3, 5, 6)
    assert torch.equal(iou(a, b)[1, 2], iou(a[1, 2], b[1, 2]))


@given(st.lists(st.tuples(corner, corner, corner, corner), min_size=1, max_size=5))
def test_forms_convert_there_and_back(rows):
    rows = torch.tensor(rows).float()
    assert torch.equal(from_center(*center_size(rows)), rows)


def test_center_size_by_hand():
    center, size = center_size(torch.tensor([[1.0, 2, 5, 12]]))
    assert (center.tolist(), size.tolist()) == ([[3, 7]], [[4, 10]])


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 4), (2, 3, 5, 4)])
def test_clip_cuts_each_image_to_its_own_size(shape):
    rows = torch.tensor([-5.0, -5, 100, 100]).expand(shape)
    found = clip(rows, torch.tensor([[10.0, 20], [30, 40]]))
    assert found.shape == shape
    assert found[0].reshape(-1, 4).unique(dim=0).tolist() == [[0, 0, 20, 10]]
    assert found[1].reshape(-1, 4).unique(dim=0).tolist() == [[0, 0, 40, 30]]


@given(boxes, st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=3))
def test_contained_boxes_have_every_corner_inside(rows, sizes):
    found = contained(torch.tensor(rows).float(), torch.tensor(sizes).float())
    for image, (height, width) in enumerate(sizes):
        wanted = [x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height for x1, y1, x2, y2 in rows]
        assert found[image].tolist() == wanted
    assert torch.equal(contained(torch.tensor([rows] * len(sizes)).float(), torch.tensor(sizes).float()), found)


def test_area_of_an_inverted_box_is_zero():
    assert area(torch.tensor([[0.0, 0, 2, 3], [2, 3, 0, 0], [0, 0, -1, 5]])).tolist() == [6, 0, 0]
