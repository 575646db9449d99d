import pytest
import torch

from paretodet.training.clipping import ClipEach, ClipTotal, NoClip, total_norm


def gradients():
    return [torch.tensor([3.0, 4.0]), torch.tensor([[0.3], [0.4]]), torch.zeros(2)]


def test_clip_each_uses_the_norm_of_each_gradient():
    long, short, none = found = gradients()
    ClipEach(norm=1.0)(found)
    assert long.tolist() == pytest.approx([0.6, 0.8])  # its norm was 5
    assert short.flatten().tolist() == pytest.approx([0.3, 0.4]) and none.tolist() == [0, 0]


def test_clip_total_uses_the_norm_of_all_gradients():
    found = gradients()
    ClipTotal(norm=1.0)(found)
    torch.testing.assert_close(total_norm(found), torch.tensor(1.0))
    ratio = [g / wanted for g, wanted in zip(found[:2], gradients(), strict=False)]
    torch.testing.assert_close(torch.cat([r.flatten() for r in ratio]), torch.full((4,), 1 / 25.25**0.5))


@pytest.mark.parametrize("clip", [NoClip(), ClipEach(norm=6.0), ClipTotal(norm=6.0)])
def test_short_gradients_are_unchanged(clip):
    found = gradients()
    clip(found)
    assert all(torch.equal(g, wanted) for g, wanted in zip(found, gradients(), strict=True))


@pytest.mark.parametrize("kind", [ClipEach, ClipTotal])
@pytest.mark.parametrize("norm", [0.0, -1.0, float("inf"), float("nan")])
def test_a_norm_out_of_range_is_refused(kind, norm):
    with pytest.raises(ValueError, match="norm: got"):
        kind(norm=norm)
