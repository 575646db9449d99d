"""Faster and Mask R-CNN on a feature pyramid (He et al. 2017, arXiv 1703.06870; Lin et al. 2017, arXiv 1612.03144).

`faster_rcnn_fpn` and `mask_rcnn` are Detectron's, `faster_rcnn_d2` and `mask_rcnn_d2` Detectron2's; `faster_rcnn_tv`
and `mask_rcnn_tv` are torchvision's first.
"""

from dataclasses import replace

from paretodet.detectors.extractors import backbone_row, check_no_stride, check_proposals, check_side
from paretodet.detectors.names import PROPOSALS, DetectorName
from paretodet.detectors.pyramids import (
    CAFFE,
    DETECTRON2,
    TORCHVISION,
    resnets,
    short_side,
    short_side_d2,
    torchvision_resnet,
)
from paretodet.detectors.spec import DetectorSpec, MaskSpec, StageSpec
from paretodet.heads.dense import ProposalHead
from paretodet.heads.mask import MaskHead
from paretodet.heads.pyramid import ConnectedHead, PyramidAlign
from paretodet.layers.init import Normal
from paretodet.necks.fpn import FPN, Subsample
from paretodet.rules.anchors import PyramidAnchors, RoundedAnchors, UnroundedAnchors
from paretodet.rules.coders import DETECTRON_CLAMP, DeltaCoder
from paretodet.rules.losses import BoxLoss, PerBatchSample, SigmoidScore, SoftmaxScore
from paretodet.rules.masks import MaskLoss
from paretodet.rules.matchers import ArgmaxMatcher, TieMatcher
from paretodet.rules.samplers import BalancedSampler
from paretodet.rules.scores import Logit, Sigmoid, Softmax
from paretodet.rules.select import PostProcess, at_least

Labels = tuple[str | None, ...]

NO_SLOT = "an empty box takes no slot of a detection"
POSITIVE = 2.0**-126  # px, the least normal float32: a box with such sides is not empty
TAPS = (2, 3, 4, 5)
MOST = PROPOSALS["mask_rcnn"]
BACKBONES = resnets(TAPS, 50, 101)
BACKBONES_TV = torchvision_resnet(TAPS)
PROPOSAL_CODER = DeltaCoder(weights=(1.0, 1.0, 1.0, 1.0), clamp=DETECTRON_CLAMP)
BOX_CODER = DeltaCoder(weights=(10.0, 10.0, 5.0, 5.0), clamp=DETECTRON_CLAMP)

PROPOSE = StageSpec(
    head=ProposalHead(channels=256, ceiling=None, init=Normal(std=0.01)),
    coder=PROPOSAL_CODER,
    scores=Sigmoid(),
    matcher=TieMatcher(positive=0.7, negative=0.3, inside_only=True),
    sampler=BalancedSampler(size=256, positive_fraction=0.5),
    losses=BoxLoss(score=SigmoidScore(), normalizer=PerBatchSample(), coder=PROPOSAL_CODER, beta=1 / 9),
    select=PostProcess(overlap=at_least(0.7), keep=MOST, candidates_per_level=1000, within="level", clip="before"),
    train_select=PostProcess(
        overlap=at_least(0.7), keep=1000, candidates_per_level=2000, within="level", clip="before"
    ),
)
REFINE = StageSpec(
    head=ConnectedHead(crop=PyramidAlign(bins=7, trim=1.0)),
    coder=BOX_CODER,
    scores=Softmax(),
    matcher=ArgmaxMatcher(positive=0.5, negative=0.5),
    sampler=BalancedSampler(size=512, positive_fraction=0.25),
    losses=BoxLoss(score=SoftmaxScore(), normalizer=PerBatchSample(), coder=BOX_CODER),
    # min_size: what an empty slot of the proposals decodes to has no area
    select=PostProcess(threshold=0.05, overlap=at_least(0.5), keep=100, min_size=1e-3, clip="before"),
    append_targets=True,
)
MASKS = MaskSpec(head=MaskHead(crop=PyramidAlign(bins=14, trim=1.0)), loss=MaskLoss(threshold=0.5))

PROPOSE_TV = replace(
    PROPOSE,
    scores=Logit(),
    matcher=TieMatcher(positive=0.7, negative=0.3),
    select=PostProcess(overlap=0.7, keep=MOST, candidates_per_level=1000, within="level", min_size=1e-3, clip="before"),
    train_select=PostProcess(
        overlap=0.7, keep=2000, candidates_per_level=2000, within="level", min_size=1e-3, clip="before"
    ),
)
REFINE_TV = replace(
    REFINE,
    head=ConnectedHead(crop=PyramidAlign(bins=7)),
    losses=BoxLoss(score=SoftmaxScore(), normalizer=PerBatchSample(), coder=BOX_CODER, beta=1 / 9),
    select=PostProcess(threshold=0.05, overlap=0.5, keep=100, min_size=1e-2, clip="before"),
)
MASKS_TV = MaskSpec(head=MaskHead(crop=PyramidAlign(bins=14)), loss=MaskLoss(threshold=None))

PROPOSE_D2 = replace(
    PROPOSE,
    scores=Logit(),
    matcher=TieMatcher(positive=0.7, negative=0.3),
    losses=BoxLoss(score=SigmoidScore(), normalizer=PerBatchSample(), coder=PROPOSAL_CODER, beta=0.0),
    select=PostProcess(
        overlap=0.7, keep=MOST, candidates_per_level=1000, within="level", min_size=POSITIVE, clip="before"
    ),
    train_select=PostProcess(
        overlap=0.7, keep=1000, candidates_per_level=2000, within="level", min_size=POSITIVE, clip="before"
    ),
)
REFINE_D2 = replace(
    REFINE,
    head=ConnectedHead(crop=PyramidAlign(bins=7, samples=0, aligned=True), background_box=False),
    losses=BoxLoss(score=SoftmaxScore(), normalizer=PerBatchSample(), coder=BOX_CODER, beta=0.0),
    select=PostProcess(threshold=0.05, overlap=0.5, keep=100, min_size=POSITIVE, clip="before"),
)
MASKS_D2 = MaskSpec(
    head=MaskHead(crop=PyramidAlign(bins=14, samples=0, aligned=True), background=False),
    loss=MaskLoss(threshold=0.5),
    pasting="detectron2",
)


def mask_rcnn(name: DetectorName, labels: Labels) -> DetectorSpec:
    """Detectron's Mask R-CNN on ResNet-50 or -101. Raises ValueError for another backbone, a side under 33 px,
    an output stride or proposals outside 1..1000.
    """
    _check(name)
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=short_side(name, multiple=32),
        pixels=CAFFE,
        backbone=backbone_row(BACKBONES, name),
        neck=FPN(extra=Subsample()),
        anchors=PyramidAnchors.fpn(),
        stages=(_limited(PROPOSE, name), REFINE),
        masks=MASKS,
        labels=labels,
        assumption="training keeps 1000 proposals an image, Detectron the best 2000 of the two images of a GPU",
    )


def faster_rcnn_fpn(name: DetectorName, labels: Labels) -> DetectorSpec:
    """Detectron's Faster R-CNN on a feature pyramid. Raises as `mask_rcnn`."""
    return replace(mask_rcnn(name, labels), masks=None)


def mask_rcnn_d2(name: DetectorName, labels: Labels) -> DetectorSpec:
    """Detectron2's mask_rcnn_R_50_FPN and its siblings. Raises as `mask_rcnn`."""
    _check(name)
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=short_side_d2(name),
        pixels=DETECTRON2,
        backbone=backbone_row(BACKBONES, name),
        neck=FPN(extra=Subsample()),
        anchors=UnroundedAnchors.fpn(),
        stages=(_limited(PROPOSE_D2, name), REFINE_D2),
        masks=MASKS_D2,
        labels=labels,
        assumption=NO_SLOT,
    )


def faster_rcnn_d2(name: DetectorName, labels: Labels) -> DetectorSpec:
    """Detectron2's faster_rcnn_R_50_FPN and its siblings. Raises as `mask_rcnn`."""
    return replace(mask_rcnn_d2(name, labels), masks=None)


def faster_rcnn_tv(name: DetectorName, labels: Labels) -> DetectorSpec:
    """torchvision's fasterrcnn_resnet50_fpn. Raises as `mask_rcnn`."""
    return replace(mask_rcnn_tv(name, labels), masks=None)


def mask_rcnn_tv(name: DetectorName, labels: Labels) -> DetectorSpec:
    """torchvision's maskrcnn_resnet50_fpn; its labels keep the gaps of COCO's ids. Raises as `mask_rcnn`."""
    _check(name)
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=short_side(name, multiple=32, whole="below", sampling="torch"),
        pixels=TORCHVISION,
        backbone=backbone_row(BACKBONES_TV, name),
        neck=FPN(extra=Subsample()),
        anchors=RoundedAnchors.fpn(),
        stages=(_limited(PROPOSE_TV, name), REFINE_TV),
        masks=MASKS_TV,
        labels=labels,
    )


def _limited(stage: StageSpec, name: DetectorName) -> StageSpec:
    return replace(stage, select=replace(stage.select, keep=check_proposals(name)))  # type: ignore[type-var]


def _check(name: DetectorName) -> None:
    check_side(name, 33)
    check_no_stride(name)
