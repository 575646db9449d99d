"""Faster R-CNN on VGG-16 as its authors released it for COCO (Ren et al. 2015, arXiv 1506.01497; py-faster-rcnn)."""

from paretodet.backbones.vgg import VGG16
from paretodet.detectors.extractors import backbone_row, check_no_stride, check_proposals, check_side
from paretodet.detectors.names import DetectorName
from paretodet.detectors.spec import DetectorSpec, Pixels, StageSpec
from paretodet.heads.dense import ProposalHead
from paretodet.heads.region import BoxHead, RoIPool
from paretodet.layers.init import Normal
from paretodet.rules.anchors import PyramidAnchors
from paretodet.rules.coders import DeltaCoder
from paretodet.rules.losses import BoxLoss, PerSample, SoftmaxScore
from paretodet.rules.matchers import ArgmaxMatcher, TieMatcher
from paretodet.rules.samplers import BalancedSampler
from paretodet.rules.scores import Softmax
from paretodet.rules.select import PostProcess
from paretodet.transforms.resize_policy import ShortSide

BACKBONES = {"vgg16": VGG16(taps=(5,), tail=True)}
CAFFE = Pixels(mean=(122.7717, 115.9465, 102.9801))
LONG_SIDE = 1000 / 600  # the longest side over the shortest
PHOTOGRAPH = 480  # px, the short side of most COCO images
UNSCALED = DeltaCoder(weights=(1.0, 1.0, 1.0, 1.0))
SCALED = DeltaCoder(weights=(10.0, 10.0, 5.0, 5.0))  # targets divided by their standard deviations .1, .1, .2, .2
ASSUMPTION = (
    f"proposals of less than 16 px of a photograph are dropped as if its short side had {PHOTOGRAPH}; "
    "decoded boxes end where their code says, those of the released decoder one pixel farther right and down"
)


def faster_rcnn_ren(name: DetectorName, labels: tuple[str | None, ...]) -> DetectorSpec:
    """Ren et al.'s Faster R-CNN. Raises ValueError for another backbone, a side below 33 px, proposals out of range."""
    backbone = backbone_row(BACKBONES, name)
    check_side(name, 33)
    check_no_stride(name)
    short = min(name.height, name.width)
    long = max(round(short * LONG_SIDE), name.height, name.width)
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=ShortSide(short=short, long=long, whole="detectron", sampling="opencv"),
        pixels=CAFFE,
        backbone=backbone,
        anchors=PyramidAnchors.ren(),
        stages=(_proposal_stage(check_proposals(name), 16.0 * short / PHOTOGRAPH), _region_stage()),
        labels=labels,
        assumption=ASSUMPTION,
    )


def _proposal_stage(proposals: int, min_size: float) -> StageSpec:
    return StageSpec(
        head=ProposalHead(channels=512, ceiling=None, init=Normal(std=0.01)),
        coder=UNSCALED,
        scores=Softmax(),
        matcher=TieMatcher(positive=0.7, negative=0.3, inside_only=True),
        sampler=BalancedSampler(size=256, positive_fraction=0.5),
        losses=BoxLoss(score=SoftmaxScore(), normalizer=PerSample(), coder=UNSCALED, beta=1 / 9),
        select=PostProcess(candidates=6000, overlap=0.7, keep=proposals, min_size=min_size, clip="before"),
        train_select=PostProcess(candidates=12000, overlap=0.7, keep=2000, min_size=min_size, clip="before"),
    )


def _region_stage() -> StageSpec:
    return StageSpec(
        head=BoxHead(crop=RoIPool(bins=7, stride=16), background_box=True),
        coder=SCALED,
        scores=Softmax(),
        matcher=ArgmaxMatcher(positive=0.5, negative=0.5),
        sampler=BalancedSampler(size=128, positive_fraction=0.25),
        losses=BoxLoss(score=SoftmaxScore(), normalizer=PerSample(), coder=SCALED),
        # min_size removes what empty slots of the proposals decode to, boxes without area
        select=PostProcess(threshold=0.05, overlap=0.3, keep=100, min_size=1e-3, clip="before"),
        append_targets=True,
    )
