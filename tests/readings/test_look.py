"""What the numbers for a photograph contradict."""

import pytest
import torch

from made_onnx import CELLS, SIDE
from paretodet.layouts.layout import FileLayout, OutputLayout
from paretodet.readings.look import contradiction


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
