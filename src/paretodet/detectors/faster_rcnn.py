"""Faster R-CNN as Huang et al. built it (section 3.6.1): proposals on one map, then a crop for each of them."""

from dataclasses import dataclass, replace

from paretodet.backbones.inception_resnet_v2 import InceptionResNetV2
from paretodet.backbones.inception_v2 import InceptionV2
from paretodet.backbones.inception_v3 import InceptionV3
from paretodet.backbones.mobilenet_v1 import MobileNetV1
from paretodet.backbones.resnet import ResNet
from paretodet.backbones.vgg import VGG16
from paretodet.detectors.extractors import PIXELS, backbone_row, check_proposals, check_side, of_stride
from paretodet.detectors.names import DetectorName
from paretodet.detectors.spec import BackboneSpec, DetectorSpec, StageSpec
from paretodet.heads.dense import ProposalHead
from paretodet.heads.region import BoxHead, CropAndResize
from paretodet.layers.norms import FrozenNorm
from paretodet.rules.anchors import GridAnchors
from paretodet.rules.coders import DeltaCoder
from paretodet.rules.losses import BoxLoss, PerSample, SoftmaxScore
from paretodet.rules.matchers import ArgmaxMatcher
from paretodet.rules.samplers import BalancedSampler
from paretodet.rules.scores import Softmax
from paretodet.rules.select import PostProcess
from paretodet.transforms.resize_policy import ShortSide

LOSS = BoxLoss(score=SoftmaxScore(), normalizer=PerSample(), box_weight=2.0)  # of both stages
LONG_SIDE = 1024 / 600  # the longest side over the shortest


@dataclass(frozen=True, kw_only=True)
class FasterRcnnExtractor:
    """A row of section 3.6.1: the backbone at each output stride, the crop, and what the source does not say.

    `keep` is the number of detections in the released configurations.
    """

    backbones: dict[int | None, BackboneSpec]
    crop: CropAndResize
    keep: int = 300
    min_side: int = 33  # px
    assumption: str | None = None


UNDILATED = "conv5 has stride 1 without the dilation of the paper, as released"
FULL = CropAndResize(bins=17, pool=1)
POOLED = CropAndResize(bins=14, pool=2)
EXTRACTORS = {
    "vgg16": FasterRcnnExtractor(
        backbones={16: VGG16(taps=(5,), tail=True)},
        crop=POOLED,
        assumption="pixel means are those of VGG, fc6 and fc7 have no dropout and 300 detections are kept as with "
        "ResNet-101, as this network was not released",
    ),
    "resnet101": FasterRcnnExtractor(
        backbones={stride: ResNet(depth=101, tail=True, output_stride=stride) for stride in (16, 8)},
        crop=POOLED,
        assumption=UNDILATED,
    ),
    "resnet50": FasterRcnnExtractor(
        backbones={stride: ResNet(depth=50, tail=True, output_stride=stride) for stride in (16, 8)},
        crop=POOLED,
        assumption=f"{UNDILATED}; the paper does not have this network, which was released with the code",
    ),
    "mobilenet_v1": FasterRcnnExtractor(
        backbones={16: MobileNetV1(taps=(11,), tail=True, norm=FrozenNorm(eps=1e-3))},
        crop=CropAndResize(bins=14, pool=1),
        assumption="the second stage is that of an extractor which was released without a configuration",
    ),
    "inception_v2": FasterRcnnExtractor(
        backbones={16: InceptionV2(taps=("Mixed_4e",), tail=True, norm=FrozenNorm(eps=1e-3))},
        crop=CropAndResize(bins=14, pool=1),
        assumption="crops of 14 are not pooled, as in the paper; the released configuration pools to 7",
    ),
    "inception_v3": FasterRcnnExtractor(
        backbones={16: InceptionV3(taps=("Mixed_6e",), tail=True, norm=FrozenNorm(eps=1e-3, scale=False))},
        crop=FULL,
        min_side=75,
        assumption="the second stage is Mixed_7a to Mixed_7c and the network is unpadded like its classifier, as this "
        "detector was not released",
    ),
    "inception_resnet_v2": FasterRcnnExtractor(
        backbones={
            stride: InceptionResNetV2(
                taps=("Mixed_6a",), tail=True, output_stride=stride, norm=FrozenNorm(eps=1e-3, scale=False)
            )
            for stride in (16, 8)
        },
        crop=FULL,
        keep=100,
    ),
}


def faster_rcnn(name: DetectorName, labels: tuple[str | None, ...]) -> DetectorSpec:
    """Huang et al.'s Faster R-CNN. Raises ValueError for an unknown backbone, stride, side or number of proposals."""
    part = backbone_row(EXTRACTORS, name)
    backbone = of_stride(part.backbones, name)
    check_side(name, part.min_side)
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=short_side(name),
        pixels=PIXELS[name.backbone or ""],
        backbone=backbone,
        anchors=GridAnchors(
            base=256, scales=(0.25, 0.5, 1.0, 2.0), ratios=(0.5, 1.0, 2.0), stride=name.output_stride or 16
        ),
        stages=(
            proposal_stage(name),
            StageSpec(
                head=BoxHead(crop=part.crop),
                coder=DeltaCoder(weights=(10.0, 10.0, 5.0, 5.0)),
                scores=Softmax(),
                matcher=ArgmaxMatcher(positive=0.5, negative=0.5, force_best=False),
                sampler=BalancedSampler(size=64, positive_fraction=0.25),
                losses=LOSS,
                select=PostProcess(threshold=0.0, overlap=0.6, keep=part.keep, keep_per_class=100),
            ),
        ),
        labels=labels,
        assumption=join_assumptions(proposal_assumptions(name), part.assumption),
    )


def proposal_stage(name: DetectorName) -> StageSpec:
    """The region proposals of Faster R-CNN and R-FCN, without a limit before suppression (sections 2.1.2, 3.6.1).

    Anchors that cross the border, 58 % at 600 px, are ignored in training and clipped in inference, as in TF.
    """
    proposals = check_proposals(name)
    select = PostProcess(threshold=0.0, overlap=0.7, keep=proposals, keep_per_class=proposals)
    return StageSpec(
        head=ProposalHead(channels=512, dilation=2 if name.output_stride == 8 else 1),
        coder=DeltaCoder(weights=(10.0, 10.0, 5.0, 5.0)),
        scores=Softmax(),
        matcher=ArgmaxMatcher(positive=0.7, negative=0.3, force_best=True, inside_only=True),
        sampler=BalancedSampler(size=256, positive_fraction=0.5),
        losses=LOSS,
        select=select,
        train_select=replace(select, keep=300, keep_per_class=300),
        boundary_anchors="clipped",
    )


def short_side(name: DetectorName) -> ShortSide:
    """The shorter side is resized (section 3.3), the longer one limited as in the released configurations."""
    short = min(name.height, name.width)
    long = max(round(short * LONG_SIDE), name.height, name.width)
    return ShortSide(short=short, long=long, whole="tf1", sampling="tf1")


def proposal_assumptions(name: DetectorName) -> str:
    """What both families assume about anchors and canvas."""
    anchors = (
        "the anchors' 4 scales x 3 ratios and the limit of the long side are from the released configuration; "
        "the paper lists neither"
    )
    scaled = min(name.height, name.width) != 600
    return anchors + ("; the limit at this resolution is scaled from 600:1024" if scaled else "")


def join_assumptions(*parts: str | None) -> str:
    """Assumptions as one line, without those that are None."""
    return "; ".join(part for part in parts if part)
