"""What the tests of stages share: two images, their truths, and what every stage's loss was called with."""

import torch

from paretodet.rules.losses import BoxLoss
from paretodet.types import Images, Targets


def batch(side=64, count=2):
    pixels = torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(0))
    return Images(pixels.to(torch.uint8), torch.tensor([[side, side], [side - 7, side - 20]][:count]).float())


def targets():
    """Classes 1 and 2, and padding."""
    boxes = torch.tensor([[[8.0, 8.0, 40.0, 30.0], [4.0, 20.0, 40.0, 50.0], [0.0, 0.0, 0.0, 0.0]]]).expand(2, 3, 4)
    valid = torch.tensor([[True, True, False]]).expand(2, 3)
    return Targets(boxes, torch.tensor([[1, 2, 0]]).expand(2, 3), valid, torch.zeros(2, 3, dtype=torch.bool))


def noise(count=2):
    return torch.rand(count, 3000, generator=torch.Generator().manual_seed(0))


def taught(monkeypatch, detector):
    """The terms of one loss and, of each stage, what its loss was called with."""
    calls, own = [], BoxLoss.__call__

    def recorded(self, predictions, refs, decoded, targets, assignment, weight, divisor):
        calls.append((predictions, refs, targets, assignment, weight))
        return own(self, predictions, refs, decoded, targets, assignment, weight, divisor)

    monkeypatch.setattr(BoxLoss, "__call__", recorded)
    return detector.loss(batch(), targets(), noise=noise()), calls
