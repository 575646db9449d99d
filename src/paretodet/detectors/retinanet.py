"""RetinaNet (Lin et al. 2017, arXiv 1708.02002): Detectron's, and `_tv` torchvision's first one.

Detectron reads BGR pixels: its first convolution's weights are turned to RGB when they are imported.
"""

from dataclasses import replace

from paretodet.backbones.resnet import ResNet
from paretodet.data.fit import ShortSide
from paretodet.detectors.names import Name
from paretodet.detectors.spec import DetectorSpec, Pixels, StageSpec
from paretodet.heads.towers import TowerHead
from paretodet.layers.norms import FrozenNorm
from paretodet.necks.fpn import FPN, Convolutions
from paretodet.rules.anchors import PyramidAnchors, RoundedAnchors
from paretodet.rules.coders import DETECTRON_CLAMP, DeltaCoder
from paretodet.rules.losses import BoxLoss, FocalScore, PerImagePositive, PerPositive
from paretodet.rules.matchers import TieMatcher
from paretodet.rules.samplers import AllSampler
from paretodet.rules.scores import Sigmoid
from paretodet.rules.select import Select, at_least

Labels = tuple[str | None, ...]

UNCOUNTED = (
    "anchors that Detectron marks positive and then overwrites with background (2 % of its positives on photographs of "
    "COCO) are in its loss normaliser, not in ours; suppression is in pixels of the canvas, Detectron's of the image"
)
CODER = DeltaCoder(weights=(1.0, 1.0, 1.0, 1.0), clamp=DETECTRON_CLAMP)
CAFFE = Pixels(mean=(122.7717, 115.9465, 102.9801))
TORCHVISION = Pixels(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
LONG_SIDE = 1333 / 800  # the longest side, in units of the shortest
RESNETS = {
    depth: ResNet(depth=int(depth.removeprefix("resnet")), layout="caffe", taps=(3, 4, 5), tail=False, output_stride=32)
    for depth in ("resnet50", "resnet101", "resnet152")
}
DETECTRON = StageSpec(
    head=TowerHead(),
    coder=CODER,
    scores=Sigmoid(),
    matcher=TieMatcher(positive=0.5, negative=0.4, floor=0.4),
    sampler=AllSampler(),
    losses=BoxLoss(score=FocalScore(), normaliser=PerPositive(extra=1), coder=CODER, beta=0.11),
    select=Select(
        threshold=0.05, threshold_last=0.0, candidates_per_level=1000, overlap=at_least(0.5), keep=100, clip="before"
    ),
)
TV = replace(
    DETECTRON,
    matcher=TieMatcher(positive=0.5, negative=0.4),
    losses=BoxLoss(score=FocalScore(), normaliser=PerImagePositive(), coder=CODER, beta=0.0),
    select=Select(threshold=0.05, candidates_per_level=1000, overlap=0.5, keep=300, clip="before"),
)


def retinanet(name: Name, labels: Labels) -> DetectorSpec:
    """Detectron's, with its selection whole: level 7 has no score threshold. Raises ValueError for another backbone
    than a ResNet or a side under 33 px.
    """
    _check(name, tuple(RESNETS))
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=_fit(name, multiple=128),
        pixels=CAFFE,
        backbone=RESNETS[name.backbone or ""],
        neck=FPN(extra=Convolutions()),
        anchors=PyramidAnchors.retinanet(),
        stages=(DETECTRON,),
        labels=labels,
        assumption=UNCOUNTED,
    )


def retinanet_tv(name: Name, labels: Labels) -> DetectorSpec:
    """torchvision's retinanet_resnet50_fpn; `labels` should start with its unused slot 0. Raises as `retinanet`.

    The norms' epsilon is the published weights': they were trained before torchvision added one.
    """
    _check(name, ("resnet50",))
    backbone = replace(RESNETS["resnet50"], layout="torchvision", norm=FrozenNorm(eps=0.0))
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=_fit(name, multiple=32),
        pixels=TORCHVISION,
        backbone=backbone,
        neck=FPN(extra=Convolutions(smoothed=True)),
        anchors=RoundedAnchors.retinanet(),
        stages=(TV,),
        labels=labels,
    )


def _check(name: Name, backbones: tuple[str, ...]) -> None:
    if name.backbone not in backbones:
        raise ValueError(f"backbone: {name.backbone!r} is not one of {', '.join(backbones)}")
    if min(name.height, name.width) < 33:
        raise ValueError(f"size: {name.height}x{name.width} is too small, {name.architecture} takes at least 33")


def _fit(name: Name, *, multiple: int) -> ShortSide:
    """The short side at the name's, the long one at most 1333 px where that is 800."""
    short = min(name.height, name.width)
    long = max(int(short * LONG_SIDE), name.height, name.width)
    return ShortSide(short=short, long=long, multiple=multiple)
