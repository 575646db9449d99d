"""A function as a Candidate."""

import numpy as np
import pytest
import torch

from paretodet.bench.candidate import Candidate, ModelInfo, Stated
from paretodet.sources.function import FunctionAdapter
from paretodet.transforms.resize_policy import Stretch
from paretodet.types import Images

IMAGE = np.full((50, 100, 3), 51, np.uint8)
SIZES = torch.tensor([[50.0, 100.0]])


def middle(batch: Images) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two boxes an image, the better one second: it scores the mean of the pixels."""
    count = len(batch.pixels)
    boxes = torch.tensor([[[0.0, 0.0, 4.0, 4.0], [2.0, 2.0, 6.0, 6.0]]]).expand(count, 2, 4)
    scores = torch.stack((torch.full((count,), 0.1), batch.pixels.float().mean((1, 2, 3)) / 255), dim=1)
    return boxes, scores, torch.tensor([[1, 2]]).expand(count, 2)


def test_a_function_becomes_a_candidate() -> None:
    one = FunctionAdapter("middle", middle, fit=Stretch(height=8, width=8), facts=ModelInfo(classes=3))
    assert isinstance(one, Candidate) and isinstance(one, Stated) and one.facts().classes == 3
    found = one.finish(one.infer(one.prepare([IMAGE, IMAGE])), SIZES.expand(2, 2))
    assert found.labels.tolist() == [[2, 1]] * 2 and found.scores[0].tolist() == pytest.approx([0.2, 0.1])
    assert found.boxes[1, 0].tolist() == [25.0, 12.5, 75.0, 37.5]
