"""Targets of the mask branch, and the boxes on which it is trained."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from paretodet.rules.masks import MaskLoss, MaskSample, crops
from paretodet.types import Assignment, References, Targets

TRUTH = torch.tensor([20.0, 40.0, 76.0, 96.0])  # a side of 56 px


def targets(masks, box=TRUTH):
    count = masks.shape[0]
    flags = torch.ones(1, count, dtype=torch.bool)
    return Targets(box.expand(1, count, 4), torch.zeros(1, count, dtype=torch.int64), flags, ~flags, masks[None])


def sample(*boxes):
    boxes = torch.tensor([boxes]) if not isinstance(boxes[0], torch.Tensor) else torch.stack(boxes)[None]
    truth = torch.zeros(boxes.shape[:2], dtype=torch.int64)
    return MaskSample(boxes, truth, truth, torch.ones_like(truth, dtype=torch.bool))


def drawn(side, seed=0):
    return torch.rand(1, side, side, generator=torch.Generator().manual_seed(seed))


@given(st.sampled_from((7, 14, 28)), st.integers(0, 99))
def test_a_box_equal_to_the_ground_truth_has_its_mask(side, seed):
    masks = drawn(side, seed)
    torch.testing.assert_close(crops(sample(TRUTH), targets(masks), side)[0], masks, atol=1e-5, rtol=0)


def test_a_part_of_the_box_has_that_part():
    masks = drawn(28)
    left = crops(sample([20.0, 40.0, 48.0, 96.0]), targets(masks), 28)[0, 0]
    cells = F.interpolate(masks[None], (28, 56), mode="bilinear")[0, 0, :, :28]
    torch.testing.assert_close(left[:, 1:-1], cells[:, 1:-1], atol=1e-5, rtol=0)


def test_the_target_is_0_outside_of_the_ground_truth():
    full = targets(torch.ones(1, 28, 28))
    assert not crops(sample([100.0, 40.0, 150.0, 96.0]), full, 28).any()
    around = crops(sample([-8.0, 12.0, 104.0, 124.0]), full, 28)[0, 0] > 0.5  # twice the side, the same center
    expected = torch.zeros(28, 28, dtype=torch.bool)
    expected[7:21, 7:21] = True
    assert torch.equal(around, expected)


def test_the_loss_is_the_mean_over_the_cells_of_positive_boxes():
    masks, boxes = targets(drawn(28)), torch.rand(48, 4, generator=torch.Generator().manual_seed(1)) * 40
    boxes[:, 2:] += boxes[:, :2] + 20
    learned = sample(*boxes)._replace(valid=(torch.arange(48) < 10)[None])
    logits = torch.randn(1, 48, 28, 28, generator=torch.Generator().manual_seed(0))
    wanted = crops(learned, masks, 28)
    for threshold, target in ((None, wanted), (0.5, (wanted > 0.5).float())):
        expected = F.binary_cross_entropy_with_logits(logits[:, :10], target[:, :10])
        found = MaskLoss(threshold=threshold)(logits, learned, masks)["mask"]
        torch.testing.assert_close(found, expected)


def test_samples_from_edge_to_edge_are_those_of_tensorflows_crop():
    """A mask of the whole image, cropped with corners aligned; inside the object both have the same pixels."""
    side, box = 28, torch.tensor([30.0, 50.0, 60.0, 86.0])  # inside the truth
    masks = drawn(side)
    found = crops(sample(box), targets(masks), 15, edges=True)[0, 0]
    low, size = TRUTH[:2].repeat(2), torch.tensor([56.0] * 4)
    points = torch.linspace(0, 1, 15)
    at = [box[i] + points * (box[i + 2] - box[i]) for i in (0, 1)]
    grid = torch.stack(torch.meshgrid(*[(a - low[i]) / size[i] * 2 - 1 for i, a in enumerate(at)], indexing="xy"), -1)
    wanted = F.grid_sample(masks[None], grid[None], align_corners=False)[0, 0]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_the_weight_is_a_factor():
    masks, logits = targets(drawn(28)), torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    once, four = (MaskLoss(weight=weight)(logits, sample(TRUTH), masks)["mask"] for weight in (1.0, 4.0))
    torch.testing.assert_close(four, 4 * once)


def test_without_positives_loss_and_gradient_are_0():
    logits = torch.randn(1, 4, 28, 28, requires_grad=True)
    nobody = sample(*[TRUTH] * 4)._replace(valid=torch.zeros(1, 4, dtype=torch.bool))
    empty = targets(torch.zeros(1, 28, 28), torch.zeros(4))
    loss = MaskLoss()(logits, nobody, empty)["mask"]
    loss.backward()
    assert loss == 0 and not logits.grad.any()


@given(st.integers(1, 12), st.integers(0, 99))
def test_only_positive_sampled_boxes_are_used(most, seed):
    noise = torch.Generator().manual_seed(seed)
    positive, weight = torch.rand(2, 9, generator=noise) < 0.5, (torch.rand(2, 9, generator=noise) < 0.7).float()
    truth = torch.randint(3, (2, 9), generator=noise)
    refs = References(torch.rand(2, 9, 4, generator=noise), torch.ones(9, 1), (9,))
    truths = Targets(torch.zeros(2, 3, 4), torch.arange(3).expand(2, 3) + 5, *[torch.ones(2, 3, dtype=torch.bool)] * 2)
    found = MaskLoss(max_boxes=most).sample(refs, truths, Assignment(truth, positive, ~positive), weight)
    assert found.valid.shape == (2, min(most, 9))
    for image in range(2):
        wanted = (positive[image] & (weight[image] > 0)).nonzero()[:, 0]
        assert found.valid[image].sum() == min(most, len(wanted))
        kept = found.valid[image]
        assert torch.equal(found.labels[image][kept], found.truth[image][kept] + 5)
        for box in found.boxes[image][kept]:
            assert (refs.boxes[image][wanted] == box).all(1).any()


def test_an_object_without_a_mask_is_not_trained_as_empty():
    """The loss is that of the other objects."""
    boxes = torch.tensor([[20.0, 40.0, 76.0, 96.0], [0.0, 0.0, 60.0, 60.0]])[None]
    refs = References(boxes, torch.ones(2, 1), (2,))
    truths = targets(torch.stack([drawn(28)[0], torch.zeros(28, 28)]))
    every = torch.ones(1, 2, dtype=torch.bool)
    assignment, weight = Assignment(torch.tensor([[0, 1]]), every, ~every), every.float()
    logits = torch.randn(1, 2, 28, 28, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = MaskLoss()
    some = truths._replace(has_mask=torch.tensor([[True, False]]))
    found = loss.sample(refs, some, assignment, weight)
    assert found.valid.tolist() == [[True, False]] and found.truth[0, 0] == 0
    assert loss.sample(refs, truths, assignment, weight).valid.all()
    value = loss(logits, found, some)["mask"]
    alone = loss.sample(refs, truths, assignment, torch.tensor([[1.0, 0.0]]))
    assert value == loss(logits, alone, truths)["mask"] > 0
    value.backward()
    assert not logits.grad[0, 1].any() and logits.grad[0, 0].any()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="max_boxes: got 0"):
        MaskLoss(max_boxes=0)
    with pytest.raises(ValueError, match="targets: got no masks"):
        MaskLoss()(torch.zeros(1, 1, 28, 28), sample(TRUTH), targets(torch.ones(1, 28, 28))._replace(masks=None))
