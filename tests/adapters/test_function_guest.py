"""A function as a Candidate, and what `finished` makes of its outputs."""

import numpy as np
import pytest
import torch

from paretodet.adapters.function import FunctionAdapter, artefact, finished
from paretodet.bench.candidate import Candidate, ModelInfo, Stated
from paretodet.transforms.resize_policy import Letterbox, Stretch
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
    guest = FunctionAdapter("middle", middle, fit=Stretch(height=8, width=8), facts=ModelInfo(classes=3))
    assert isinstance(guest, Candidate) and isinstance(guest, Stated) and guest.facts().classes == 3
    found = guest.finish(guest.infer(guest.prepare([IMAGE, IMAGE])), SIZES.expand(2, 2))
    assert found.labels.tolist() == [[2, 1]] * 2 and found.scores[0].tolist() == pytest.approx([0.2, 0.1])
    assert found.boxes[1, 0].tolist() == [25.0, 12.5, 75.0, 37.5]


def test_finished_sorts_stably_clips_and_empties() -> None:
    boxes = torch.tensor([[[-9.0, 0, 4, 4], [0, 0, 99, 99], [1, 1, 2, 2]]])
    found = finished((boxes, np.array([[0.5, 0.5, 0.9]]), [[0, 1, 2]]), Stretch(height=50, width=100), SIZES)
    assert found.labels.tolist() == [[2, 0, 1]]
    assert found.boxes[0, 1:].tolist() == [[0, 0, 4, 4], [0, 0, 99, 50]]
    assert found.boxes.dtype == found.scores.dtype == torch.float32 and found.labels.dtype == torch.int64
    kept = finished(
        (boxes, np.array([[0.5, 0.5, 0.9]]), [[0, 1, 2]]), Letterbox(height=9, width=9), SIZES, threshold=0.5
    )
    assert kept.scores[0].tolist() == pytest.approx([0.9, 0, 0])


@pytest.mark.parametrize("shapes", [((1, 3, 4), (1, 2), (1, 3)), ((3, 4), (3,), (3,)), ((1, 3, 5), (1, 3), (1, 3))])
def test_outputs_that_do_not_belong_together_are_named(shapes: tuple[tuple[int, ...], ...]) -> None:
    outputs = tuple(torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"outputs: boxes, scores, labels have shapes .*must be \[B, N, 4\]"):
        finished(outputs, Stretch(height=8, width=8), SIZES)  # type: ignore[arg-type]


def test_an_artefact_changes_with_any_part_and_not_with_order() -> None:
    fit = Stretch(height=8, width=8)
    assert artefact(a=1, fit=fit) == artefact(fit=Stretch(height=8, width=8), a=1)
    assert artefact(a=1, fit=fit) != artefact(a=1, fit=Stretch(height=8, width=9))
