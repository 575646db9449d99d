import pytest
import torch

from paretodet.rules.scores import (
    Centerness,
    Logit,
    ObjectnessSigmoid,
    ObjectnessSoftmax,
    Sigmoid,
    SigmoidBackground,
    Softmax,
)

ALL = [Softmax(), Sigmoid(), SigmoidBackground(), ObjectnessSoftmax(), ObjectnessSigmoid(), Centerness()]


@pytest.mark.parametrize("scores", ALL, ids=lambda s: type(s).__name__)
def test_shape_range_and_type(scores):
    logits = torch.randn(2, 7, scores.width(5)).bfloat16() * 10
    found = scores(logits)
    assert found.shape == (2, 7, 5)
    assert found.dtype == torch.float32
    assert ((found >= 0) & (found <= 1)).all()
    torch.testing.assert_close(scores(logits.float()), found)  # computed in float32


def test_widths():
    assert [s.width(80) for s in ALL] == [81, 80, 81, 81, 81, 81]


def test_softmax_leaves_the_rest_to_the_background():
    logits = torch.randn(3, 4, 6)
    found = Softmax()(logits)
    torch.testing.assert_close(found.sum(-1), 1 - logits.softmax(-1)[..., 0])


def test_the_background_slot_is_not_used():
    logits = torch.randn(1, 4, 6)
    other = logits.clone()
    other[..., 0] += 7
    assert torch.equal(SigmoidBackground()(logits), SigmoidBackground()(other))
    assert torch.equal(SigmoidBackground()(logits), Sigmoid()(logits[..., 1:]))


def test_objectness_bounds_the_classes():
    logits = torch.randn(1, 4, 6)
    objectness = logits[..., 0].sigmoid()
    torch.testing.assert_close(ObjectnessSoftmax()(logits).sum(-1), objectness)
    torch.testing.assert_close(ObjectnessSigmoid()(logits), objectness[..., None] * logits[..., 1:].sigmoid())


def test_centerness_weighs_classes_that_are_above_the_threshold():
    logits = torch.tensor([[[0.0, 2.0, -1.0, -4.0]]])  # probabilities 0.5; 0.881, 0.269, 0.018
    found = Centerness(threshold=0.05)(logits)[0, 0]
    torch.testing.assert_close(found, torch.tensor([0.8808 * 0.5, 0.2689 * 0.5, 0.0]).sqrt(), atol=1e-4, rtol=0)


def test_logits_rank_where_the_sigmoid_is_one():
    logits = torch.tensor([[[40.0], [17.5], [18.0], [-200.0]]])
    assert Sigmoid()(logits)[0, :3, 0].tolist() == [1, 1, 1]
    assert Logit()(logits.bfloat16())[0, :, 0].tolist() == [40, 17.5, 18, -200]
    assert Logit().width(1) == 1
