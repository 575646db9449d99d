"""SSD: one stage of dense predictions on a chain of maps.

`ssd` is Huang et al.'s (section 3.6.3), `ssd_liu` the original (Liu et al. 2016, arXiv 1512.02325).
"""

from dataclasses import dataclass

from paretodet.backbones.mobilenet_v1 import MobileNetV1
from paretodet.backbones.vgg import VGG16Reduced
from paretodet.data.fit import Stretch
from paretodet.detectors.names import Name
from paretodet.detectors.spec import BackboneSpec, DetectorSpec, Pixels, StageSpec
from paretodet.heads.dense import SeparateHead
from paretodet.layers.activations import Activation, Relu, Relu6
from paretodet.layers.norms import BatchNorm, NoNorm
from paretodet.necks.extra import Extra, ExtraLayers
from paretodet.rules.anchors import MultiGridAnchors, PriorBoxes
from paretodet.rules.coders import DeltaCoder
from paretodet.rules.losses import BoxLoss, PerPositive, SigmoidBackgroundScore, SoftmaxScore
from paretodet.rules.matchers import ArgmaxMatcher
from paretodet.rules.samplers import HardNegativeMiner
from paretodet.rules.scores import SigmoidBackground, Softmax
from paretodet.rules.select import Select

NORM = BatchNorm(eps=1e-3, momentum=3e-4)
UNIT = Pixels(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))
CAFFE = Pixels(mean=(123.0, 117.0, 104.0))


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """A row of section 3.6.3: the tapped maps, the depths of the extra layers, the kernel of the heads."""

    backbone: BackboneSpec
    extras: tuple[int, ...]
    activation: Activation
    kernel: int
    pixels: Pixels


EXTRACTORS = {
    "mobilenet_v1": Extractor(
        backbone=MobileNetV1(taps=(11, 13), norm=NORM),
        extras=(512, 256, 256, 128),
        activation=Relu6(),
        kernel=1,
        pixels=UNIT,
    ),
}


def ssd(name: Name, labels: tuple[str | None, ...]) -> DetectorSpec:
    """Huang et al.'s SSD. Raises ValueError for an unknown backbone or a side under 33 px."""
    part = EXTRACTORS.get(name.backbone or "")
    if part is None:
        raise ValueError(f"backbone: {name.backbone!r} is not one of {', '.join(EXTRACTORS)}")
    _check_side(name, 33)
    extras = tuple(Extra(squeeze=depth // 2, channels=depth) for depth in part.extras)
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=Stretch(height=name.height, width=name.width),
        pixels=part.pixels,
        backbone=part.backbone,
        neck=ExtraLayers(layers=extras, norm=NORM, activation=part.activation),
        anchors=MultiGridAnchors(levels=2 + len(extras)),
        stages=(
            StageSpec(
                head=SeparateHead(kernel=part.kernel),
                coder=DeltaCoder(weights=(10.0, 10.0, 5.0, 5.0)),
                scores=SigmoidBackground(),
                matcher=ArgmaxMatcher(positive=0.5, negative=0.5, force_best=True),
                sampler=HardNegativeMiner(ratio=3.0, overlap=0.99),
                losses=BoxLoss(score=SigmoidBackgroundScore(), normaliser=PerPositive()),
                select=Select(threshold=1e-8, overlap=0.6, keep=100, keep_per_class=100),
            ),
        ),
        labels=labels,
    )


LIU_300 = (  # conv6 to conv9
    Extra(squeeze=256, channels=512, padding=1),
    Extra(squeeze=128, channels=256, padding=1),
    Extra(squeeze=128, channels=256, stride=1, padding=0),
    Extra(squeeze=128, channels=256, stride=1, padding=0),
)
LIU_512 = (  # conv6 to conv10
    Extra(squeeze=256, channels=512, padding=1),
    *(Extra(squeeze=128, channels=256, padding=1),) * 3,
    Extra(squeeze=128, channels=256, kernel=4, stride=1, padding=1),
)
UNSCRIPTED = (
    "Liu et al. released no script of SSD512 on COCO: sizes by their paper's rule, cut to whole pixels as Caffe"
)


def ssd_liu(name: Name, labels: tuple[str | None, ...]) -> DetectorSpec:
    """Liu et al.'s SSD300 with the sizes of their COCO model, from a side of 512 on their SSD512.

    Other sides scale the default boxes. Raises ValueError for another backbone or a side under 266.
    """
    if name.backbone != "vgg16":
        raise ValueError(f"backbone: {name.backbone!r} is not vgg16, the only one Liu et al. use on COCO")
    _check_side(name, 266)
    large = min(name.height, name.width) >= 512
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=Stretch(height=name.height, width=name.width),
        pixels=CAFFE,
        backbone=VGG16Reduced(),
        neck=ExtraLayers(layers=LIU_512 if large else LIU_300, norm=NoNorm(), activation=Relu(), scale=20.0),
        anchors=PriorBoxes.ssd512() if large else PriorBoxes.ssd300(),
        stages=(
            StageSpec(
                head=SeparateHead(kernel=3),
                coder=DeltaCoder(weights=(10.0, 10.0, 5.0, 5.0)),
                scores=Softmax(),
                matcher=ArgmaxMatcher(positive=0.5, negative=0.5, force_best=True),
                sampler=HardNegativeMiner(ratio=3.0),
                losses=BoxLoss(score=SoftmaxScore(), normaliser=PerPositive()),
                select=Select(threshold=0.01, candidates_per_class=400, overlap=0.45, keep=200),
            ),
        ),
        labels=labels,
        assumption=UNSCRIPTED if large else None,
    )


def _check_side(name: Name, least: int) -> None:
    if min(name.height, name.width) < least:
        raise ValueError(f"size: {name.height}x{name.width} is too small, {name.architecture} takes at least {least}")
