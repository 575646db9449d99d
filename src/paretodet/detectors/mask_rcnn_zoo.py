"""Mask R-CNN of TensorFlow's detection zoo, without a pyramid: Huang et al.'s Faster R-CNN and a branch on its boxes.

The final boxes are cropped from the same map and pass the same tail of the backbone as the proposals before them (He et
al. 2017, figure 4, left). The numbers are those of the API's sample configurations mask_rcnn_*_coco.config.
"""

from dataclasses import dataclass, replace

from paretodet.detectors.extractors import backbone_row
from paretodet.detectors.faster_rcnn import FULL, POOLED, UNDILATED, faster_rcnn, join_assumptions
from paretodet.detectors.names import DetectorName
from paretodet.detectors.spec import DetectorSpec, MaskSpec
from paretodet.heads.mask import TailMaskHead
from paretodet.heads.region import BoxHead, CropAndResize
from paretodet.rules.masks import MaskLoss

KEEP = 100
LOSS = MaskLoss(threshold=None, weight=4.0, edges=True)
ASSUMPTION = (
    "100 proposals and 100 detections, as the zoo's other region detectors of that release have; the sample "
    "configurations have 300, but 100 detections on Inception-ResNet V2"
)


@dataclass(frozen=True, kw_only=True)
class ZooExtractor:
    """A configuration: the crop of both branches, the convolutions and the side of the masks."""

    crop: CropAndResize = POOLED
    convs: int = 4
    side: int = 33
    assumption: str | None = None


EXTRACTORS = {
    "inception_v2": ZooExtractor(convs=2, side=15),
    "resnet50": ZooExtractor(assumption=UNDILATED),
    "resnet101": ZooExtractor(assumption=UNDILATED),
    "inception_resnet_v2": ZooExtractor(crop=FULL),
}


def mask_rcnn_zoo(name: DetectorName, labels: tuple[str | None, ...]) -> DetectorSpec:
    """The zoo's. Raises ValueError for an unknown backbone, and as `faster_rcnn`."""
    part = backbone_row(EXTRACTORS, name)
    made = faster_rcnn(name, labels)
    first, second = made.stages
    select = replace(second.select, keep=KEEP)  # type: ignore[type-var]
    return replace(
        made,
        stages=(first, replace(second, head=BoxHead(crop=part.crop), select=select)),
        masks=MaskSpec(
            head=TailMaskHead(crop=part.crop, convs=part.convs, side=part.side), loss=LOSS, pasting="tensorflow"
        ),
        assumption=join_assumptions(ASSUMPTION, part.assumption),
    )
