"""Mask R-CNN's branch on the final boxes (He et al. 2017, arXiv 1703.06870, section 3 and figure 4)."""

from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor, nn

from paretodet.heads.pyramid import PyramidAlign
from paretodet.layers.init import he_
from paretodet.layers.strides import check_strides
from paretodet.types import FeatureInfo


@dataclass(frozen=True, kw_only=True)
class MaskHead:
    """`convs` 3x3 convolutions, a transposed 2x2/2 one, then one mask for each class, with twice the resolution of
    the crop.

    As in Detectron and torchvision a mask is also predicted for the background, first, and not used.
    """

    crop: PyramidAlign = PyramidAlign(bins=14)
    convs: int = 4
    channels: int = 256

    def build(self, info: FeatureInfo, classes: int) -> nn.Module:
        """Raises ValueError if the strides of the crop are not those of the maps."""
        check_strides("crop", self.crop.strides, info.strides[: len(self.crop.strides)])
        return _MaskHead(self, info.channels[0], classes)


class _MaskHead(nn.Module):
    def __init__(self, spec: MaskHead, channels: int, classes: int):
        super().__init__()
        self.crop = spec.crop
        depth = spec.channels
        steps: OrderedDict[str, nn.Module] = OrderedDict()
        for index in range(spec.convs):
            steps[f"conv{index + 1}"] = nn.Conv2d(depth if index else channels, depth, 3, padding=1)
            steps[f"relu{index + 1}"] = nn.ReLU(inplace=True)
        steps["enlarge"] = nn.ConvTranspose2d(depth, depth, 2, 2)
        steps["relu"] = nn.ReLU(inplace=True)
        steps["masks"] = nn.Conv2d(depth, 1 + classes, 1)
        self.layers = nn.Sequential(steps)
        he_(self)

    def forward(self, maps: tuple[Tensor, ...], boxes: Tensor, labels: Tensor, canvas: tuple[int, int]) -> Tensor:
        """boxes [B, R, 4], labels [B, R] -> logits [B, R, M, M] of the class of each box, M = 2 * bins."""
        return masks_of(self.layers(self.crop(maps, boxes, canvas)), labels)


def masks_of(masks: Tensor, labels: Tensor) -> Tensor:
    """masks [B*R, 1 + K, M, M], labels [B, R] -> [B, R, M, M] of the class of each box."""
    of_class = (labels.flatten() + 1)[:, None, None, None].expand(-1, 1, *masks.shape[2:])
    return masks.gather(1, of_class).view(*labels.shape, *masks.shape[2:])
