"""Faster R-CNN as Huang et al. built it (section 3.6.1): a proposal stage on one map, then a crop for each proposal."""

from dataclasses import dataclass, replace

from paretodet.backbones.inception_resnet_v2 import InceptionResNetV2
from paretodet.backbones.inception_v2 import InceptionV2
from paretodet.backbones.inception_v3 import InceptionV3
from paretodet.backbones.mobilenet_v1 import MobileNetV1
from paretodet.backbones.resnet import ResNet
from paretodet.backbones.vgg import VGG16
from paretodet.detectors.extractors import PIXELS, check_proposals, check_side, of_stride, row_of
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

LOSS = BoxLoss(score=SoftmaxScore(), normalizer=PerSample(), box_weight=2.0)  # of either stage
LONG_SIDE = 1024 / 600  # the longest side, in units of the shortest


@dataclass(frozen=True, kw_only=True)
class FasterRcnnExtractor:
    """A row of section 3.6.1: the backbone at each output stride, how its crops are cut, where the source is silent.

    `keep` detections leave the last suppression in the released configurations.
    """

    backbones: dict[int | None, BackboneSpec]
    crop: CropAndResize
    keep: int = 300
    least: int = 33  # px a side
    silent: str | None = None


UNDILATED = "conv5 has stride 1 without the dilation that the paper tells of, as released"
WHOLE = CropAndResize(bins=17, pool=1)
POOLED = CropAndResize(bins=14, pool=2)
EXTRACTORS = {
    "vgg16": FasterRcnnExtractor(
        backbones={16: VGG16(taps=(5,), tail=True)},
        crop=POOLED,
        silent="the pixels are VGG's own means, fc6 and fc7 train without dropout and 300 detections are kept as with "
        "ResNet-101, as this network was not released",
    ),
    "resnet101": FasterRcnnExtractor(
        backbones={stride: ResNet(depth=101, tail=True, output_stride=stride) for stride in (16, 8)},
        crop=POOLED,
        silent=UNDILATED,
    ),
    "mobilenet_v1": FasterRcnnExtractor(
        backbones={16: MobileNetV1(taps=(11,), tail=True, norm=FrozenNorm(eps=1e-3))},
        crop=CropAndResize(bins=14, pool=1),
        silent="the second stage is that of an extractor which was released without a configuration",
    ),
    "inception_v2": FasterRcnnExtractor(
        backbones={16: InceptionV2(taps=("Mixed_4e",), tail=True, norm=FrozenNorm(eps=1e-3))},
        crop=CropAndResize(bins=14, pool=1),
        silent="crops of 14 are not pooled, as the paper tells of no pooling; the released configuration pools to 7",
    ),
    "inception_v3": FasterRcnnExtractor(
        backbones={16: InceptionV3(taps=("Mixed_6e",), tail=True, norm=FrozenNorm(eps=1e-3, scale=False))},
        crop=WHOLE,
        least=75,
        silent="the second stage is Mixed_7a to Mixed_7c and the network unpadded as its classifier, as this detector "
        "was not released",
    ),
    "inception_resnet_v2": FasterRcnnExtractor(
        backbones={
            stride: InceptionResNetV2(
                taps=("Mixed_6a",), tail=True, output_stride=stride, norm=FrozenNorm(eps=1e-3, scale=False)
            )
            for stride in (16, 8)
        },
        crop=WHOLE,
        keep=100,
    ),
}


def faster_rcnn(name: DetectorName, labels: tuple[str | None, ...]) -> DetectorSpec:
    """Huang et al.'s Faster R-CNN. Raises ValueError for an unknown backbone, stride, side or number of proposals."""
    part = row_of(EXTRACTORS, name)
    backbone = of_stride(part.backbones, name)
    check_side(name, part.least)
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=fit(name),
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
        assumption=sentences(proposals_silent(name), part.silent),
    )


def proposal_stage(name: DetectorName) -> StageSpec:
    """The region proposals of either family, without a limit before suppression (sections 2.1.2, 3.6.1).

    Anchors that cross the border, 58 % at 600 px, take no part in training and are clipped at test, as in TF.
    """
    most = check_proposals(name)
    select = PostProcess(threshold=0.0, overlap=0.7, keep=most, keep_per_class=most)
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


def fit(name: DetectorName) -> ShortSide:
    """The shorter side resized (section 3.3), the longer one capped as in the released configurations."""
    short = min(name.height, name.width)
    return ShortSide(short=short, long=max(round(short * LONG_SIDE), name.height, name.width))


def proposals_silent(name: DetectorName) -> str:
    """What either family assumes of anchors and canvas."""
    found = (
        "the anchors' 4 scales x 3 ratios and the cap of the long side are the released configuration's; "
        "the paper lists neither"
    )
    scaled = min(name.height, name.width) != 600
    return found + ("; the cap at this resolution is scaled from 600:1024" if scaled else "")


def sentences(*parts: str | None) -> str:
    """Assumptions as one line, parts that are None left out."""
    return "; ".join(part for part in parts if part)
