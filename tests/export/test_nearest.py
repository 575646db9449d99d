"""What a network is changed to before LiteRT's converter reads it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import GraphModule

from paretodet.export.litert import nearest, resize_by_index

NEAREST = torch.ops.aten.upsample_nearest2d.vec


class Merge(nn.Module):
    """A coarser level of 5x7 on a finer one, as pyramids merge them."""

    def __init__(self, side: tuple[int, int]) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, size=self.side, mode="nearest") + 1


@pytest.mark.parametrize(
    ("side", "kept"),
    [((10, 14), 1), ((15, 7), 1), ((9, 14), 0), ((10, 13), 0), ((9, 13), 0), ((3, 4), 0), ((17, 25), 0)],
)
def test_neighbors_are_selected_where_a_level_is_no_whole_number_of_times_larger(
    side: tuple[int, int], kept: int
) -> None:
    x = torch.rand(2, 3, 5, 7)
    module = torch.export.export(Merge(side), (x,), strict=True).module()
    assert isinstance(module, GraphModule)
    resize_by_index(module)
    assert len(module.graph.find_nodes(op="call_function", target=NEAREST)) == kept
    assert torch.equal(module(x), F.interpolate(x, size=side, mode="nearest") + 1)


@pytest.mark.parametrize(("before", "after"), [(7, 13), (13, 25), (19, 38), (25, 13), (1, 3), (21, 41)])
def test_neighbors_are_rounded_down(before: int, after: int) -> None:
    assert nearest(before, after).tolist() == [place * before // after for place in range(after)]
