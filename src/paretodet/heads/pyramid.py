"""Region heads on a feature pyramid: each box is cropped from the level that fits its size."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from paretodet.heads.region import BoxHead
from paretodet.layers.init import caffe_xavier_
from paretodet.ops.geometry import area
from paretodet.ops.roi import roi_align
from paretodet.types import FeatureInfo, Predictions, References

CANONICAL = 224.0  # px: boxes of this side belong to the level of stride 16 (Lin et al. 2017, equation 1)


@dataclass(frozen=True, kw_only=True)
class PyramidAlign:
    """RoIAlign from the pyramid's finest maps, one for each of `strides`; coarser maps are used for proposals only.

    `samples` for each bin and axis, 0 for as many as a box needs. With `aligned`, coordinates are shifted by half a
    cell, as in Detectron2; Detectron and torchvision's first form do not shift them. `trim` px are subtracted from x2
    and y2: in Detectron these are the last pixel of a box, not the one after it.
    """

    bins: int = 7
    samples: int = 2
    strides: tuple[int, ...] = (4, 8, 16, 32)
    trim: float = 0.0
    aligned: bool = False

    def __call__(self, maps: tuple[Tensor, ...], boxes: Tensor, canvas: tuple[int, int]) -> Tensor:
        """[B, R, 4] -> [B*R, C, bins, bins]; no gradient to the boxes."""
        fine = maps[: len(self.strides)]
        ends = boxes - boxes.new_tensor([0.0, 0.0, self.trim, self.trim])
        levels = level_of(boxes, self.strides)
        crops = roi_align(
            fine, ends, strides=self.strides, bins=self.bins, samples=self.samples, aligned=self.aligned, levels=levels
        )
        return crops.flatten(0, 1)


def level_of(boxes: Tensor, strides: tuple[int, ...]) -> Tensor:
    """Lin et al. 2017 (arXiv 1612.03144), equation 1: boxes [B, R, 4] -> index [B, R] into `strides`, which double."""
    finest = strides[0].bit_length() - 1
    octave = (area(boxes).sqrt() / CANONICAL + 1e-6).log2() + 4
    return octave.floor().clamp(finest, finest + len(strides) - 1).long() - finest


@dataclass(frozen=True, kw_only=True)
class ConnectedHead:
    """The FPN detectors' second stage (Lin et al. section 5.2): two fully connected layers on each crop instead of the
    tail of the backbone, then class and box. As in Detectron and torchvision a box is also predicted for the
    background, and not used; Detectron2 has none (`background_box`). `class_agnostic` is as in `BoxHead`.
    """

    crops_first: ClassVar[bool] = True
    crop: PyramidAlign = PyramidAlign()
    width: int = 1024
    class_agnostic: bool = False
    background_box: bool = True

    def build(self, info: FeatureInfo, tail_channels: int, classes: int, logits: int) -> nn.Module:
        head = self._boxes.build(info, self.width, classes, logits)
        return _ConnectedHead(info.channels[0] * self.crop.bins**2, self.width, self.crop, head)

    @property
    def _boxes(self) -> BoxHead:
        return BoxHead(crop=self.crop, background_box=self.background_box, class_agnostic=self.class_agnostic)

    def predictions(self, codes: Tensor, logits: Tensor, refs: References) -> Predictions:
        """As `BoxHead.predictions`."""
        return self._boxes.predictions(codes, logits, refs)


class _ConnectedHead(nn.Module):
    def __init__(self, inputs: int, width: int, crop: PyramidAlign, head: nn.Module):
        super().__init__()
        self.crop = crop
        self.hidden = nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width),
            nn.ReLU(inplace=True),
        )
        caffe_xavier_(self.hidden)
        self.head: Any = head

    def forward(
        self, maps: tuple[Tensor, ...], refs: References, canvas: tuple[int, int], tail: Callable[[Tensor], Tensor]
    ) -> Predictions:
        return self.predict(self.crop(maps, refs.boxes, canvas), refs, tail)

    def predict(self, crops: Tensor, refs: References, tail: Callable[[Tensor], Tensor]) -> Predictions:
        """From the crops [B*R, C, bins, bins] of the references; no backbone's tail is run."""
        return self.head.predict(crops, refs, self.hidden)

    def outputs(self, crops: Tensor, tail: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """As `BoxHead`'s; no backbone's tail is run."""
        outputs: tuple[Tensor, Tensor] = self.head.outputs(crops, self.hidden)
        return outputs
