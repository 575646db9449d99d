"""What the numbers for a photograph contradict."""

import pytest
import torch

from made_onnx import CELLS, SIDE
from paretodet.layouts.layout import FileLayout, OutputLayout
from paretodet.readings.look import contradiction, doubt, repeated


@pytest.mark.parametrize(("step", "above"), [(0.0125, 1.0024), (0.0125, 1.01), (0.004, 1.002), (0.0, 1.0024)])
def test_a_score_of_one_that_is_rounded_to_8_bits_may_be_above_it(step: float, above: float) -> None:
    """As the only class of a YOLOv5 in int8."""
    head = torch.rand(1, CELLS, 6, generator=torch.Generator().manual_seed(0)) * 0.02
    head[0, :, :2] = torch.linspace(0, 0.9, CELLS)[:, None]
    head[0, :, 2:4] = 0.2
    head = (head / step).round() * step if step else head
    head[0, :, 5] = above
    layout = FileLayout(
        family="YOLOv5",
        outputs=OutputLayout(
            columns=(("output", ("box", "objectness", "classes")),), box="cxcywh", unit="fractions", suppressed=False
        ),
    )
    against = contradiction({"output": head}, layout, (SIDE, SIDE))
    assert (against is None) == (0 < above - 1 < step / 2 + 1e-3), against


COLUMNS = (("boxes", ("box",)), ("scores", ("score",)), ("labels", ("label",)))


def near(moves: list[float], scores: float = 0.9, labels: list[int] | None = None) -> dict[str, torch.Tensor]:
    """A row for every move of a box by so many pixels, of 60."""
    boxes = torch.tensor([[20.0 + move, 20, 80 + move, 80] for move in moves])
    numbers = torch.tensor(labels or [0] * len(moves))
    return {"boxes": boxes[None], "scores": torch.full((1, len(moves)), scores), "labels": numbers[None]}


@pytest.mark.parametrize(
    ("outputs", "against"),
    [
        (near([0, 1, 2, 3]), True),
        (near([0, 1, 40, 41, 80, 81]), True),
        (near([0, 1, 2]), False),  # two of them are no more than an accident
        (near([0, 1, 2, 3], scores=0.4), False),  # faint ones
        (near([0, 1, 2, 3], labels=[0, 1, 2, 3]), False),  # of several labels
        (near([0, 30, 60, 90]), False),
        (near([0.0, 0.001, 0.002, 0.003, 0.004]), False),  # of the same image in a batch
        (near([0] * 8), False),
    ],
)
def test_clear_boxes_that_repeat_another_are_not_suppressed(outputs: dict[str, torch.Tensor], against: bool) -> None:
    layout = FileLayout(family="", outputs=OutputLayout(columns=COLUMNS))
    assert bool(repeated(outputs, layout, (SIDE, SIDE))) is against
    layout = FileLayout(family="", outputs=OutputLayout(columns=COLUMNS, suppressed=False))
    assert repeated(outputs, layout, (SIDE, SIDE)) is None


def test_boxes_of_classes_that_repeat_another_are_not_suppressed() -> None:
    """As of queries, whose label is their best class."""
    rows = torch.cat((near([0, 1, 2, 3])["boxes"], torch.tensor([[[0.1, 0.9]] * 4]).reshape(1, 4, 2)), dim=2)
    layout = FileLayout(family="", outputs=OutputLayout(columns=(("rows", ("box", "classes")),)))
    assert repeated({"rows": rows}, layout, (SIDE, SIDE))


@pytest.mark.parametrize(("scores", "against"), [(torch.linspace(0.9, 0, 60), True), (torch.full((60,), 0.4), False)])
def test_rows_of_cells_are_not_sorted(scores: torch.Tensor, against: bool) -> None:
    outputs = near([float(move) for move in range(60)]) | {"scores": scores[None]}
    layout = OutputLayout(columns=COLUMNS, suppressed=False)
    assert bool(doubt(outputs, layout)) is against
    assert doubt(outputs | {"scores": scores[None].flip(1)}, layout) is None
    assert doubt({name: part[:, :20] for name, part in outputs.items()}, layout) is None
