"""Faster R-CNN as Huang et al. built it (section 3.6.1): a proposal stage on one map, then a crop for each proposal."""

from dataclasses import dataclass

from paretodet.backbones.resnet import ResNet
from paretodet.data.fit import ShortSide
from paretodet.detectors.names import Name
from paretodet.detectors.spec import BackboneSpec, DetectorSpec, Pixels, StageSpec
from paretodet.heads.dense import ProposalHead
from paretodet.heads.region import BoxHead, CropAndResize
from paretodet.rules.anchors import GridAnchors
from paretodet.rules.coders import DeltaCoder
from paretodet.rules.losses import BoxLoss, PerSample, SoftmaxScore
from paretodet.rules.matchers import ArgmaxMatcher
from paretodet.rules.samplers import BalancedSampler
from paretodet.rules.scores import Softmax
from paretodet.rules.select import Select

LOSS = BoxLoss(score=SoftmaxScore(), normaliser=PerSample(), box_weight=2.0)  # of either stage
IMAGENET = Pixels(mean=(123.68, 116.779, 103.939))
LONG_SIDE = 1024 / 600  # the longest side, in units of the shortest


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """A row of section 3.6.1: the backbone at either output stride, and how its crops are cut."""

    backbones: dict[int, BackboneSpec]
    crop: CropAndResize
    pixels: Pixels


EXTRACTORS = {
    "resnet101": Extractor(
        backbones={stride: ResNet(depth=101, output_stride=stride) for stride in (16, 8)},
        crop=CropAndResize(bins=14, pool=2),
        pixels=IMAGENET,
    ),
}


def faster_rcnn(name: Name, labels: tuple[str | None, ...]) -> DetectorSpec:
    """Huang et al.'s Faster R-CNN. Raises ValueError for an unknown backbone, stride, side or number of proposals."""
    part = EXTRACTORS.get(name.backbone or "")
    if part is None:
        raise ValueError(f"backbone: {name.backbone!r} is not one of {', '.join(EXTRACTORS)}")
    backbone = part.backbones.get(name.output_stride or 0)
    if backbone is None:
        allowed = " or ".join(map(str, part.backbones))
        raise ValueError(f"output_stride: {name.output_stride} is not offered by {name.backbone}, use {allowed}")
    if not 1 <= (name.proposals or 0) <= 1000:
        raise ValueError(f"proposals: {name.proposals} is outside 1..1000")
    if min(name.height, name.width) < 33:
        raise ValueError(f"size: {name.height}x{name.width} is too small, faster_rcnn takes at least 33")
    short = min(name.height, name.width)
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=ShortSide(short=short, long=max(round(short * LONG_SIDE), name.height, name.width)),
        pixels=part.pixels,
        backbone=backbone,
        anchors=GridAnchors(
            base=256, scales=(0.25, 0.5, 1.0, 2.0), ratios=(0.5, 1.0, 2.0), stride=name.output_stride or 16
        ),
        stages=(
            StageSpec(
                head=ProposalHead(channels=512, dilation=2 if name.output_stride == 8 else 1),
                coder=DeltaCoder(weights=(10.0, 10.0, 5.0, 5.0)),
                scores=Softmax(),
                matcher=ArgmaxMatcher(positive=0.7, negative=0.3, force_best=True, inside_only=True),
                sampler=BalancedSampler(size=256, positive_fraction=0.5),
                losses=LOSS,
                select=Select(threshold=0.0, overlap=0.7, keep=name.proposals or 300, clip="after"),
                train_select=Select(threshold=0.0, overlap=0.7, keep=300, clip="after"),
            ),
            StageSpec(
                head=BoxHead(crop=part.crop),
                coder=DeltaCoder(weights=(10.0, 10.0, 5.0, 5.0)),
                scores=Softmax(),
                matcher=ArgmaxMatcher(positive=0.5, negative=0.5, force_best=False),
                sampler=BalancedSampler(size=64, positive_fraction=0.25),
                losses=LOSS,
                select=Select(threshold=0.0, overlap=0.6, keep=300, keep_per_class=100),
            ),
        ),
        labels=labels,
        assumption="the anchors' 4 scales x 3 ratios and the cap of the long side are the released configuration's; "
        "the paper lists neither" + ("; the cap at this resolution is scaled from 600:1024" if short != 600 else ""),
    )
