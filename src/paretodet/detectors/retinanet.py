"""RetinaNet (Lin et al. 2017, arXiv 1708.02002): Detectron's, `_d2` Detectron2's, and `_tv` torchvision's first one."""

from dataclasses import replace

from paretodet.detectors.extractors import backbone_row, check_one_stage
from paretodet.detectors.names import DetectorName
from paretodet.detectors.pyramids import (
    CAFFE,
    DETECTRON2,
    TORCHVISION,
    resnets,
    short_side,
    short_side_d2,
    torchvision_resnet,
)
from paretodet.detectors.spec import DetectorSpec, StageSpec
from paretodet.heads.towers import TowerHead
from paretodet.necks.fpn import FPN, Convolutions
from paretodet.rules.anchors import PyramidAnchors, RoundedAnchors, UnroundedAnchors
from paretodet.rules.coders import DETECTRON_CLAMP, DeltaCoder
from paretodet.rules.losses import BoxLoss, FocalScore, PerImagePositive, PerPositive
from paretodet.rules.matchers import TieMatcher
from paretodet.rules.samplers import AllSampler
from paretodet.rules.scores import Sigmoid
from paretodet.rules.select import PostProcess, at_least

Labels = tuple[str | None, ...]

UNCOUNTED = (
    "anchors that Detectron marks positive and then overwrites with background (2 % of its positives on photographs of "
    "COCO) are in its loss normalizer, not in ours; suppression is in pixels of the canvas, Detectron's of the image"
)
AVERAGED = (
    "losses are divided by the positives of a batch, in Detectron2 by their moving average; a box outside the image "
    "takes no slot of a detection"
)
CODER = DeltaCoder(weights=(1.0, 1.0, 1.0, 1.0), clamp=DETECTRON_CLAMP)
TAPS = (3, 4, 5)
BACKBONES = resnets(TAPS, 50, 101, 152)
BACKBONES_TV = torchvision_resnet(TAPS)
DETECTRON = StageSpec(
    head=TowerHead(),
    coder=CODER,
    scores=Sigmoid(),
    matcher=TieMatcher(positive=0.5, negative=0.4, floor=0.4),
    sampler=AllSampler(),
    losses=BoxLoss(score=FocalScore(), normalizer=PerPositive(extra=1), coder=CODER, beta=0.11),
    select=PostProcess(
        threshold=0.05, threshold_last=0.0, candidates_per_level=1000, overlap=at_least(0.5), keep=100, clip="before"
    ),
)
TV = replace(
    DETECTRON,
    matcher=TieMatcher(positive=0.5, negative=0.4),
    losses=BoxLoss(score=FocalScore(), normalizer=PerImagePositive(), coder=CODER, beta=0.0),
    select=PostProcess(threshold=0.05, candidates_per_level=1000, overlap=0.5, keep=300, clip="before"),
)
D2 = replace(
    DETECTRON,
    matcher=TieMatcher(positive=0.5, negative=0.4),
    losses=BoxLoss(score=FocalScore(), normalizer=PerPositive(), coder=CODER, beta=0.0),
    select=PostProcess(threshold=0.05, candidates_per_level=1000, overlap=0.5, keep=100),
)


def retinanet(name: DetectorName, labels: Labels) -> DetectorSpec:
    """Detectron's, with its selection whole: level 7 has no score threshold. Raises ValueError for another backbone
    than a ResNet or a side under 33 px.
    """
    check_one_stage(name, 33)
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=short_side(name, multiple=128),
        pixels=CAFFE,
        backbone=backbone_row(BACKBONES, name),
        neck=FPN(extra=Convolutions()),
        anchors=PyramidAnchors.retinanet(),
        stages=(DETECTRON,),
        labels=labels,
        assumption=UNCOUNTED,
    )


def retinanet_d2(name: DetectorName, labels: Labels) -> DetectorSpec:
    """Detectron2's retinanet_R_50_FPN and its siblings. Raises as `retinanet`."""
    check_one_stage(name, 33)
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=short_side_d2(name),
        pixels=DETECTRON2,
        backbone=backbone_row(BACKBONES, name),
        neck=FPN(extra=Convolutions()),
        anchors=UnroundedAnchors.retinanet(),
        stages=(D2,),
        labels=labels,
        assumption=AVERAGED,
    )


def retinanet_tv(name: DetectorName, labels: Labels) -> DetectorSpec:
    """torchvision's retinanet_resnet50_fpn; `labels` should start with its unused slot 0. Raises as `retinanet`."""
    check_one_stage(name, 33)
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=short_side(name, multiple=32, whole="below", sampling="torch"),
        pixels=TORCHVISION,
        backbone=backbone_row(BACKBONES_TV, name),
        neck=FPN(extra=Convolutions(smoothed=True)),
        anchors=RoundedAnchors.retinanet(),
        stages=(TV,),
        labels=labels,
    )
