"""How the heads of a darknet cfg are read: the map of the last convolution as boxes and scores."""

from dataclasses import dataclass

import torch
from torch import Tensor

from paretodet.errors import InputError
from paretodet.heads.dense import rows
from paretodet.ops.geometry import center_size, from_center
from paretodet.rules.anchors import CellPriors
from paretodet.rules.coders import CellCoder
from paretodet.rules.scores import ObjectnessSigmoid, ObjectnessSoftmax
from paretodet.sources.darknet_layers import DarknetHead
from paretodet.types import Coder, References

MEANS, UNCERTAINTIES = [0, 2, 4, 6], [1, 3, 5, 7]  # of x, y, width and height in a Gaussian head
SHIFTS = {"center": 0.0, "left_top": 0.5, "right_bottom": -0.5}  # sides from the located point to the center


@dataclass(frozen=True, kw_only=True)
class SquaredCellCoder:
    """`new_coords`: as `CellCoder`, of numbers that are sigmoids already; the size is that of the prior times the
    square of twice the number. It only decodes."""

    scale: float = 1.0

    def encode(self, boxes: Tensor, refs: References) -> Tensor:
        raise InputError("SquaredCellCoder: cannot encode; darknet cfgs are not trained here", "value-refused")

    def decode(self, codes: Tensor, refs: References) -> Tensor:
        """codes [B, N, 4] -> boxes [B, N, 4], float32, not clipped."""
        codes = codes.float()
        center, size = center_size(refs.boxes)
        return from_center(
            center + (codes[..., :2] - 0.5) * (refs.cell * self.scale), size * (2 * codes[..., 2:]).square()
        )


@dataclass(frozen=True, kw_only=True)
class PointCoder:
    """A Gaussian head whose coordinates locate a corner: the center lies half the size from it. It only decodes."""

    coder: Coder
    shift: float

    def encode(self, boxes: Tensor, refs: References) -> Tensor:
        raise InputError("PointCoder: cannot encode; darknet cfgs are not trained here", "value-refused")

    def decode(self, codes: Tensor, refs: References) -> Tensor:
        """codes [B, N, 4] -> boxes [B, N, 4], float32, not clipped."""
        point, size = center_size(self.coder.decode(codes, refs))
        return from_center(point + self.shift * size, size)


def cell_coder(head: DarknetHead) -> Coder:
    """How the head's four coordinates are boxes."""
    coder: Coder = SquaredCellCoder(scale=head.scale) if head.activated else CellCoder(scale=head.scale)
    shift = SHIFTS[head.point]
    return PointCoder(coder=coder, shift=shift) if shift else coder


def read_head(x: Tensor, head: DarknetHead, coder: Coder, canvas: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """One head's map -> boxes [B, n, 4] and scores [B, n, K]."""
    unit = canvas[1] / x.shape[3] if head.in_cells else 1.0
    priors = tuple((width * unit, height * unit) for width, height in head.priors)
    references = CellPriors(priors=(priors,))((x,), canvas)
    found = rows(x, head.width)
    coordinates = found[..., MEANS] if head.uncertain else found[..., :4]
    return coder.decode(coordinates, references), _scores(found, head)


def _scores(found: Tensor, head: DarknetHead) -> Tensor:
    """Objectness times class; of a Gaussian head, times one minus the mean uncertainty of the coordinates."""
    logits = found[..., -1 - head.classes :]
    if head.activated:
        return (logits[..., :1] * logits[..., 1:]).float()
    scores: Tensor = (ObjectnessSoftmax() if head.softmax else ObjectnessSigmoid())(logits)
    if not head.uncertain:
        return scores
    doubt = torch.sigmoid(found[..., UNCERTAINTIES].float()).mean(-1, keepdim=True)
    return scores * (1 - doubt)
