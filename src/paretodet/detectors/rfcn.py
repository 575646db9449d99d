"""R-FCN as Huang et al. built it (section 3.6.2; Dai et al. 2016): Faster R-CNN with a position-sensitive region head.

The rest of the network runs once, on the whole map; proposals only average its score maps.
"""

from dataclasses import dataclass, replace

from paretodet.backbones.vgg import VGG16
from paretodet.detectors.extractors import row_of
from paretodet.detectors.faster_rcnn import UNDILATED, faster_rcnn, proposals_silent, sentences
from paretodet.detectors.names import DetectorName
from paretodet.detectors.spec import BackboneSpec, DetectorSpec
from paretodet.heads.position_sensitive import PositionSensitiveHead
from paretodet.rules.losses import BoxLoss, PerReference, SoftmaxScore
from paretodet.rules.samplers import AllSampler, OnlineHardSampler
from paretodet.types import Sampler

FINE = PositionSensitiveHead(bins=7, crop=21)
COARSE = PositionSensitiveHead(bins=3, crop=12)
HARD = OnlineHardSampler(size=128)  # no suppression: at 0.7, OHEM's, proposals are already apart
LOSS = BoxLoss(score=SoftmaxScore(), normalizer=PerReference(), box_weight=2.0, mined="both")
SILENT = (
    "the reduction to 1024 channels, one box a class, what is mined by (both losses) and divided by (all proposals) "
    "are the released code's; at most 300 detections are kept as in its one configuration"
)
HALVED = "the tail halves the map as it halves Faster R-CNN's crops; the paper tells of no other stride"
UNPADDED = "Mixed_7a runs unpadded over the whole map as over a crop, so that an even map loses its last row or column"
OURS = "this combination is ours, the paper has none"


@dataclass(frozen=True, kw_only=True)
class RfcnExtractor:
    """A row of section 3.6.2: bins and crop, what is mined, where the source is silent."""

    head: PositionSensitiveHead
    sampler: Sampler = HARD
    backbone: BackboneSpec | None = None  # None: Faster R-CNN's
    silent: str | None = None


EXTRACTORS = {
    "vgg16": RfcnExtractor(
        head=FINE,
        backbone=VGG16(taps=(5,), tail=False),
        silent=f"{OURS}: position-sensitive maps grow from conv5_3, as fc6 takes no whole map; bins of ResNet-101",
    ),
    "resnet101": RfcnExtractor(head=FINE, silent=UNDILATED),
    "mobilenet_v1": RfcnExtractor(head=COARSE, silent=HALVED),
    "inception_v2": RfcnExtractor(head=COARSE, silent=HALVED),
    "inception_v3": RfcnExtractor(head=COARSE, silent=f"{OURS}: bins of Inception V2; {HALVED}"),
    "inception_resnet_v2": RfcnExtractor(head=FINE, sampler=AllSampler(), silent=f"{HALVED}; {UNPADDED}"),
}


def rfcn(name: DetectorName, labels: tuple[str | None, ...]) -> DetectorSpec:
    """Huang et al.'s R-FCN. Raises ValueError for an unknown backbone, stride, side or number of proposals."""
    part = row_of(EXTRACTORS, name)
    made = faster_rcnn(name, labels)
    proposing, second = made.stages
    select = replace(second.select, keep=300)  # type: ignore[type-var]
    region = replace(second, head=part.head, sampler=part.sampler, losses=LOSS, select=select)
    return replace(
        made,
        backbone=part.backbone or made.backbone,
        stages=(proposing, region),
        assumption=sentences(proposals_silent(name), SILENT, part.silent),
    )
