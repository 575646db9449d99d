"""The operator of crops whose samples depend on the box: gradients, windows, and what opcheck checks. Its values are
compared with a loop in test_roi.py.
"""

import torch

from paretodet.ops import adaptive
from paretodet.ops.roi import roi_align

STRIDES = [8, 4]


def made_map(channels: int, stride: int = 8, *, seed: int = 0) -> torch.Tensor:
    noise = torch.Generator().manual_seed(seed)
    return torch.randn(2, channels, 96 // stride, 120 // stride, generator=noise)


def made_boxes() -> torch.Tensor:
    """Inside the canvas of 96 x 120, across its border, outside, inverted, empty, oblong."""
    boxes = [[3, 5, 40, 90], [-30, -20, 50, 30], [100, 80, 150, 130], [200, 200, 220, 230], [50, 60, 20, 30]]
    boxes += [[10, 10, 10, 10], [0, 40, 120, 44], [30, 0, 33, 96], [0, 0, 120, 96]]
    return torch.tensor(boxes).float().expand(2, -1, -1)


def test_the_adaptive_operator_passes_opcheck():
    maps = [made_map(3, stride).requires_grad_() for stride in STRIDES]
    levels = (made_boxes()[..., 0] > 20).long()
    torch.library.opcheck(torch.ops.paretodet.adaptive_align.default, (maps, made_boxes(), levels, STRIDES, 3, True))


def test_the_gradient_of_adaptive_crops_is_that_of_finite_differences():
    features, boxes = made_map(2).double().requires_grad_(), made_boxes()
    crop = lambda m: roi_align([m], boxes, strides=[8], bins=3, samples=0, aligned=True)  # noqa: E731
    assert torch.autograd.gradcheck(crop, (features,), eps=1e-5, atol=1e-4)


def test_windows_that_are_computed_apart_give_the_same(monkeypatch):
    maps, boxes = [made_map(4)], made_boxes()
    whole = roi_align(maps, boxes, strides=[8], bins=7, samples=0, aligned=True)
    monkeypatch.setattr(adaptive, "WINDOWS", 1)
    torch.testing.assert_close(roi_align(maps, boxes, strides=[8], bins=7, samples=0, aligned=True), whole)
