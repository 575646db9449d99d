"""R-FCN as Huang et al. built it (section 3.6.2; Dai et al. 2016): Faster R-CNN with a position-sensitive region head.

The tail of the network runs once, on the whole map; proposals only average its score maps.
"""

from dataclasses import dataclass, replace

from paretodet.backbones.vgg import VGG16
from paretodet.detectors.extractors import backbone_row
from paretodet.detectors.faster_rcnn import UNDILATED, faster_rcnn, join_assumptions, proposal_assumptions
from paretodet.detectors.names import DetectorName
from paretodet.detectors.spec import BackboneSpec, DetectorSpec
from paretodet.heads.position_sensitive import PositionSensitiveHead
from paretodet.rules.losses import BoxLoss, PerReference, SoftmaxScore
from paretodet.rules.samplers import AllSampler, OnlineHardSampler
from paretodet.types import Sampler

FINE = PositionSensitiveHead(bins=7, crop=21)
COARSE = PositionSensitiveHead(bins=3, crop=12)
HARD = OnlineHardSampler(size=128)  # no suppression: proposals are already suppressed at OHEM's threshold of 0.7
LOSS = BoxLoss(score=SoftmaxScore(), normalizer=PerReference(), box_weight=2.0, mined="both")
ASSUMPTION = (
    "the reduction to 1024 channels, one box for each class, the cost that is mined (both losses) and the normalizer "
    "(all proposals) are from the released code; at most 300 detections are kept as in its only configuration"
)
HALVED = "the tail halves the map as it halves Faster R-CNN's crops; the paper gives no other stride"
UNPADDED = "Mixed_7a does not pad the whole map, as it does not pad a crop; an even map loses its last row or column"
NOT_IN_PAPER = "the paper does not have this combination"


@dataclass(frozen=True, kw_only=True)
class RfcnExtractor:
    """A row of section 3.6.2: bins and crop, the sampler, and what the source does not say."""

    head: PositionSensitiveHead
    sampler: Sampler = HARD
    backbone: BackboneSpec | None = None  # None: that of Faster R-CNN
    assumption: str | None = None


EXTRACTORS = {
    "vgg16": RfcnExtractor(
        head=FINE,
        backbone=VGG16(taps=(5,), tail=False),
        assumption=f"{NOT_IN_PAPER}: maps follow conv5_3, as fc6 needs a fixed size; bins as with ResNet-101",
    ),
    "resnet101": RfcnExtractor(head=FINE, assumption=UNDILATED),
    "mobilenet_v1": RfcnExtractor(head=COARSE, assumption=HALVED),
    "inception_v2": RfcnExtractor(head=COARSE, assumption=HALVED),
    "inception_v3": RfcnExtractor(head=COARSE, assumption=f"{NOT_IN_PAPER}: bins as with Inception V2; {HALVED}"),
    "inception_resnet_v2": RfcnExtractor(head=FINE, sampler=AllSampler(), assumption=f"{HALVED}; {UNPADDED}"),
}


def rfcn(name: DetectorName, labels: tuple[str | None, ...]) -> DetectorSpec:
    """Huang et al.'s R-FCN. Raises ValueError for an unknown backbone, stride, side or number of proposals."""
    part = backbone_row(EXTRACTORS, name)
    made = faster_rcnn(name, labels)
    first, second = made.stages
    select = replace(second.select, keep=300)  # type: ignore[type-var]
    region = replace(second, head=part.head, sampler=part.sampler, losses=LOSS, select=select)
    return replace(
        made,
        backbone=part.backbone or made.backbone,
        stages=(first, region),
        assumption=join_assumptions(proposal_assumptions(name), ASSUMPTION, part.assumption),
    )
