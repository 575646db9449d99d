"""Box coders: a box as a code relative to its reference, in the order x, y, width, height.

Decoding is in float32 for any dtype of the codes.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from paretodet.ops.geometry import center_size, from_center
from paretodet.types import Coder, References

DETECTRON_CLAMP = math.log(1000 / 16)  # keeps the sizes of an untrained network finite
TINY = 1e-8  # added to sizes before a logarithm or a division, as in TF's faster_rcnn_box_coder
GOLDEN = 1.2207440846057596  # the positive root of x^4 = x + 1
UNIT = 2**24  # whole numbers below it are exact in float32
IMPOSSIBLE = -12345.678  # px; no decoded box has this coordinate


@dataclass(frozen=True, kw_only=True)
class DeltaCoder:
    """R-CNN's code: shift in units of the reference's size and log of the sizes' ratio, times `weights` (x, y, w, h).

    Huang et al. section 2.1 and Caffe's SSD (variances .1, .1, .2, .2) have 10, 10, 5, 5. `clamp` is the upper
    bound of the decoded logarithms: None in TF and Caffe, `DETECTRON_CLAMP` in Detectron.
    """

    weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    clamp: float | None = None

    def encode(self, boxes: Tensor, refs: References) -> Tensor:
        """boxes [B, N, 4], one for each reference -> codes [B, N, 4]; also finite for boxes without area."""
        (center, size), (ref_center, ref_size) = center_size(boxes.float()), center_size(refs.boxes)
        size, ref_size = size.clamp(min=0) + TINY, ref_size.clamp(min=0) + TINY
        codes = torch.cat([(center - ref_center) / ref_size, (size / ref_size).log()], -1)
        return codes * codes.new_tensor(self.weights)

    def decode(self, codes: Tensor, refs: References) -> Tensor:
        """codes [B, N, 4] or, one box for each class, [B, N, K, 4] -> boxes of the same shape, float32, not clipped."""
        center, size = center_size(_expand_classes(codes, refs.boxes))
        scaled = codes.float() / torch.tensor(self.weights, device=codes.device)
        growth = scaled[..., 2:] if self.clamp is None else scaled[..., 2:].clamp(max=self.clamp)
        return from_center(center + scaled[..., :2] * size, size * growth.exp())


@dataclass(frozen=True, kw_only=True)
class CellCoder:
    """YOLO v2 and v3: the center is a sigmoid inside the reference's cell, the size is that of the prior times an
    exponential.

    As in darknet, the exponent has no bound. `scale` stretches the sigmoid around the cell's center, so that a box
    center can be on the edge of the cell and beyond (`scale_x_y` of darknet's later cfgs).
    """

    scale: float = 1.0

    def offsets(self, boxes: Tensor, refs: References) -> Tensor:
        """boxes [B, N, 4] -> regression targets: position in the cell (x, y), 0..1 inside, and log sizes (w, h)."""
        (center, size), (ref_center, ref_size) = center_size(boxes.float()), center_size(refs.boxes)
        inside = (center - ref_center) / (refs.cell * self.scale) + 0.5
        return torch.cat([inside, ((size.clamp(min=0) + TINY) / ref_size).log()], -1)

    def encode(self, boxes: Tensor, refs: References) -> Tensor:
        """boxes [B, N, 4] -> codes [B, N, 4]; a center outside or on the edge of its cell is moved inside."""
        offsets = self.offsets(boxes, refs)
        return torch.cat([offsets[..., :2].logit(eps=1e-6), offsets[..., 2:]], -1)

    def decode(self, codes: Tensor, refs: References) -> Tensor:
        """codes [B, N, 4] -> boxes [B, N, 4], float32, not clipped."""
        codes = codes.float()
        center, size = center_size(refs.boxes)
        shift = (codes[..., :2].sigmoid() - 0.5) * (refs.cell * self.scale)
        return from_center(center + shift, size * codes[..., 2:].exp())


@dataclass(frozen=True, kw_only=True)
class DistanceCoder:
    """FCOS: the logarithms of the distances, px, from the reference's center to the left, top, right and bottom side.

    `trim` px are taken off x2 and y2: a source whose boxes end on their last pixel measures to that pixel's place.
    Decoding does not bound the exponent.
    """

    trim: float = 0.0

    def distances(self, boxes: Tensor, refs: References) -> Tensor:
        """boxes [B, N, 4], one per reference -> [B, N, 4] px, negative if the center lies outside."""
        return distances(center_size(refs.boxes)[0], boxes.float(), self.trim)

    def encode(self, boxes: Tensor, refs: References) -> Tensor:
        """boxes [B, N, 4] -> codes [B, N, 4]; a center outside its box moves just inside."""
        return self.distances(boxes, refs).clamp(min=TINY).log()

    def decode(self, codes: Tensor, refs: References) -> Tensor:
        """codes [B, N, 4] -> boxes [B, N, 4], float32, not clipped."""
        center, sides = center_size(refs.boxes)[0], codes.float().exp()
        return torch.cat([center - sides[..., :2], center + sides[..., 2:] + self.trim], -1)


def distances(centers: Tensor, boxes: Tensor, trim: float = 0.0) -> Tensor:
    """From points [..., 2] to the sides of boxes [..., 4] that end `trim` px earlier: left, top, right, bottom."""
    return torch.cat([centers - boxes[..., :2], boxes[..., 2:] - trim - centers], -1)


@dataclass(frozen=True, kw_only=True)
class WorstCaseCoder:
    """Decodes as `coder` does, then replaces the boxes by those of `spread_boxes`.

    Boxes of an untrained network nearly coincide, so suppression would keep few of them; these give it the worst case.
    Encoding raises TypeError: the coder is for measuring, not for training.
    """

    coder: Coder
    height: int
    width: int
    seed: int = 0

    def encode(self, boxes: Tensor, refs: References) -> Tensor:
        raise TypeError("WorstCaseCoder: cannot encode; train with the coder that it wraps")

    def decode(self, codes: Tensor, refs: References) -> Tensor:
        """codes [B, N, 4] or [B, N, K, 4] -> boxes of that shape, the same for every image of the batch."""
        decoded = self.coder.decode(codes, refs)
        spread = self.spread(math.prod(codes.shape[1:-1]), codes.device)
        # A condition that no compiler can evaluate keeps the decoding, and its cost, in the graph. It is never true.
        return torch.where(decoded == IMPOSSIBLE, decoded, spread.view(codes.shape[1:]))

    def spread(self, count: int, device: torch.device | str | None = None) -> Tensor:
        """The boxes [count, 4] that take the place of those of every image."""
        return spread_boxes(count, self.height, self.width, self.seed, device)


def spread_boxes(
    count: int, height: int, width: int, seed: int = 0, device: torch.device | str | None = None
) -> Tensor:
    """Boxes [count, 4] float32 inside the canvas: sides log-uniform in 1/32..1/2 of it, centers uniform.

    Terms of an additive recurrence with the generalized golden ratio in whole numbers, starting at a term given by
    `seed`: equal on every machine, and simple enough for an exported graph.
    """
    steps = torch.tensor([round(UNIT * GOLDEN**-power) for power in (1, 2, 3)], device=device)
    place = torch.arange(seed * 7919 + 1, seed * 7919 + 1 + count, device=device)
    side, x, y = ((steps[:, None] * place & (UNIT - 1)).float() / UNIT).unbind(0)
    side = torch.exp2(side * 4 - 5)
    left, top = x * (1 - side), y * (1 - side)
    canvas = torch.tensor([width, height, width, height], device=device)
    return torch.stack([left, top, left + side, top + side], -1) * canvas


def _expand_classes(codes: Tensor, boxes: Tensor) -> Tensor:
    """Boxes that broadcast with codes, which may have one box for each class."""
    return boxes[..., None, :] if codes.dim() == 4 else boxes
