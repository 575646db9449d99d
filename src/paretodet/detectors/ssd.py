"""SSD: one stage of dense predictions on a chain of maps.

`ssd` is Huang et al.'s (section 3.6.3), `ssdlite` the same with separable convolutions (Sandler et al. 2018, arXiv
1801.04381), `ssd_liu` the original (Liu et al. 2016, arXiv 1512.02325), `ssd_tv` torchvision's.
"""

from dataclasses import dataclass, replace

from paretodet.backbones.inception_resnet_v2 import InceptionResNetV2
from paretodet.backbones.inception_v2 import InceptionV2
from paretodet.backbones.inception_v3 import InceptionV3
from paretodet.backbones.mobilenet_v1 import MobileNetV1
from paretodet.backbones.mobilenet_v2 import MobileNetV2
from paretodet.backbones.resnet import ResNet
from paretodet.backbones.vgg import VGG16Reduced
from paretodet.detectors.extractors import (
    PIXELS,
    backbone_row,
    check_no_proposals,
    check_one_stage,
    check_side,
    of_stride,
)
from paretodet.detectors.names import DetectorName
from paretodet.detectors.spec import BackboneSpec, DetectorSpec, Pixels, StageSpec
from paretodet.errors import InputError
from paretodet.heads.dense import SeparableHead, SeparateHead
from paretodet.layers.activations import Activation, Relu, Relu6
from paretodet.layers.init import CaffeXavier
from paretodet.layers.norms import BatchNorm, NoNorm
from paretodet.necks.extra import Extra, ExtraLayers, SeparableExtraLayers
from paretodet.rules.anchors import MultiGridAnchors, PriorBoxes
from paretodet.rules.coders import DETECTRON_CLAMP, DeltaCoder
from paretodet.rules.losses import BoxLoss, PerPositive, SigmoidBackgroundScore, SoftmaxScore
from paretodet.rules.matchers import ArgmaxMatcher
from paretodet.rules.samplers import HardNegativeMiner
from paretodet.rules.scores import SigmoidBackground, Softmax
from paretodet.rules.select import PostProcess
from paretodet.transforms.resize_policy import Stretch

NORM = BatchNorm(eps=1e-3, momentum=3e-4)
UNRELEASED = "3x3 heads, ReLU in the extra layers and trainable norms are assumed, as no such SSD was released"
PADDED = "layers are padded as in the region detectors"
CAFFE = Pixels(mean=(123.0, 117.0, 104.0))
TORCHVISION = Pixels(mean=(255 * 0.48235, 255 * 0.45882, 255 * 0.40784))


@dataclass(frozen=True, kw_only=True)
class SsdExtractor:
    """A row of section 3.6.3: the backbone at each output stride (None: there is only one), the number of its maps with
    predictions, the channels of the extra layers, the kernel of the heads, and what the source does not say.
    """

    backbones: dict[int | None, BackboneSpec]
    taps: int = 2
    extras: tuple[int, ...] = (512, 256, 256, 128)
    activation: Activation = Relu6()
    kernel: int = 3
    scale: float | None = None  # initial scale of the L2 norm of the first map
    min_side: int = 33  # px
    assumption: str | None = None


EXTRACTORS = {
    "vgg16": SsdExtractor(
        backbones={None: VGG16Reduced()},
        extras=(512, 256, 256, 256, 256),
        activation=Relu(),
        scale=20.0,
        assumption=f"fc6 and fc7 are Liu et al.'s convolutions; {UNRELEASED}",
    ),
    "resnet101": SsdExtractor(
        backbones={
            stride: ResNet(depth=101, tail=False, output_stride=stride, norm=BatchNorm(eps=1e-5, momentum=3e-3))
            for stride in (16, 8)
        },
        taps=1,
        extras=(512, 512, 256, 256, 128),
        activation=Relu(),
        assumption=UNRELEASED,
    ),
    "mobilenet_v1": SsdExtractor(backbones={None: MobileNetV1(taps=(11, 13), norm=NORM)}, kernel=1),
    "inception_v2": SsdExtractor(
        backbones={None: InceptionV2(taps=("Mixed_4c", "Mixed_5c"), norm=NORM, activation=Relu6())}
    ),
    "inception_v3": SsdExtractor(
        backbones={None: InceptionV3(taps=("Mixed_5d", "Mixed_6e", "Mixed_7c"), norm=NORM, activation=Relu6())},
        taps=3,
        extras=(512, 256, 128),
        min_side=75,
        assumption="not in the paper: maps, extra layers and initial scale are from the released code",
    ),
    "inception_resnet_v2": SsdExtractor(
        backbones={None: InceptionResNetV2(taps=("Mixed_6a", "Conv2d_7b"), norm=NORM)},
        extras=(512, 256, 128),
        activation=Relu(),
        assumption=f"Mixed_6a is taken after its residual blocks, as in the region detectors; {PADDED}; {UNRELEASED}",
    ),
}


def ssd(name: DetectorName, labels: tuple[str | None, ...]) -> DetectorSpec:
    """Huang et al.'s SSD. Raises ValueError for an unknown backbone or stride, a side too small, or proposals."""
    part = backbone_row(EXTRACTORS, name)
    neck = ExtraLayers(layers=_extras(part), norm=NORM, activation=part.activation, scale=part.scale)
    return _huang(name, labels, part, neck=neck, head=SeparateHead(kernel=part.kernel))


def _extras(part: SsdExtractor) -> tuple[Extra, ...]:
    return tuple(Extra(squeeze=depth // 2, channels=depth) for depth in part.extras)


def _huang(
    name: DetectorName,
    labels: tuple[str | None, ...],
    part: SsdExtractor,
    *,
    neck: ExtraLayers | SeparableExtraLayers,
    head: SeparateHead | SeparableHead,
) -> DetectorSpec:
    backbone = of_stride(part.backbones, name)
    check_side(name, part.min_side)
    check_no_proposals(name)
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=Stretch(height=name.height, width=name.width, sampling="tf1"),
        pixels=PIXELS[name.backbone or ""],
        backbone=backbone,
        neck=neck,
        anchors=MultiGridAnchors(levels=part.taps + len(part.extras)),
        stages=(
            StageSpec(
                head=head,
                coder=DeltaCoder(weights=(10.0, 10.0, 5.0, 5.0)),
                scores=SigmoidBackground(),
                matcher=ArgmaxMatcher(positive=0.5, negative=0.5, force_best=True),
                sampler=HardNegativeMiner(ratio=3.0, overlap=0.99),
                losses=BoxLoss(score=SigmoidBackgroundScore(), normalizer=PerPositive()),
                select=PostProcess(threshold=1e-8, overlap=0.6, keep=100, keep_per_class=100),
            ),
        ),
        labels=labels,
        assumption=part.assumption,
    )


SSDLITE = SsdExtractor(backbones={None: MobileNetV2(norm=NORM)})  # maps of stride 16, expanded, and 32


def ssdlite(name: DetectorName, labels: tuple[str | None, ...]) -> DetectorSpec:
    """SSDLite of TensorFlow's Object Detection API: `ssd` with separable convolutions in the extra layers and the head.

    Raises ValueError as `ssd`.
    """
    part = backbone_row({"mobilenet_v2": SSDLITE}, name)
    neck = SeparableExtraLayers(layers=_extras(part), norm=NORM, activation=part.activation)
    return _huang(name, labels, part, neck=neck, head=SeparableHead(norm=NORM, activation=part.activation))


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
DIFFERENCES = (
    "of ground truths with the same best default box only the first gets it; in Caffe the others get their next best "
    "(5 of 301 ground truths in 44 COCO images); boxes outside the image are removed before the best 200 are selected, "
    "while Caffe counts them"
)
NO_SCRIPT = (
    "Liu et al. released no script of SSD512 on COCO: sizes are by the rule of their paper, in whole pixels as in Caffe"
)

FIRST_WINS = "of ground truths with the same best default box the first gets it, in torchvision the last"


def ssd_liu(name: DetectorName, labels: tuple[str | None, ...]) -> DetectorSpec:
    """Liu et al.'s SSD300 with the sizes of their COCO model; from a side of 512 on, their SSD512.

    With other sides the default boxes are scaled. Raises ValueError for another backbone or a side below 266.
    """
    if name.backbone != "vgg16":
        raise InputError(f"backbone: got {name.backbone!r}, allowed vgg16", "name-unknown")
    check_one_stage(name, 266)
    large = min(name.height, name.width) >= 512
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=Stretch(height=name.height, width=name.width, sampling="opencv"),
        pixels=CAFFE,
        backbone=VGG16Reduced(),
        neck=ExtraLayers(
            layers=LIU_512 if large else LIU_300, norm=NoNorm(), activation=Relu(), scale=20.0, init=CaffeXavier()
        ),
        anchors=PriorBoxes.ssd512() if large else PriorBoxes.ssd300(),
        stages=(
            StageSpec(
                head=SeparateHead(kernel=3, init=CaffeXavier()),
                coder=DeltaCoder(weights=(10.0, 10.0, 5.0, 5.0)),
                scores=Softmax(),
                matcher=ArgmaxMatcher(positive=0.5, negative=0.5, force_best=True),
                sampler=HardNegativeMiner(ratio=3.0),
                losses=BoxLoss(score=SoftmaxScore(), normalizer=PerPositive()),
                select=PostProcess(threshold=0.01, candidates_per_class=400, overlap=0.45, keep=200),
            ),
        ),
        labels=labels,
        assumption=f"{NO_SCRIPT}; {DIFFERENCES}" if large else DIFFERENCES,
    )


def ssd_tv(name: DetectorName, labels: tuple[str | None, ...]) -> DetectorSpec:
    """torchvision's ssd300_vgg16: Liu et al.'s SSD300 with default boxes and decoded sizes that are bounded, and boxes
    clipped before suppression. Its labels keep the gaps of COCO's ids. Raises ValueError as `ssd_liu`, and for a side
    from 512 on.
    """
    made = ssd_liu(name, labels)
    if min(name.height, name.width) >= 512:
        raise InputError(f"size: got {name.height}x{name.width}, allowed a short side of 266..511", "name-unknown")
    (stage,) = made.stages
    coder = DeltaCoder(weights=(10.0, 10.0, 5.0, 5.0), clamp=DETECTRON_CLAMP)
    bounded = replace(
        stage,
        coder=coder,
        losses=BoxLoss(score=SoftmaxScore(), normalizer=PerPositive(), coder=coder),
        select=PostProcess(threshold=0.01, candidates_per_class=400, overlap=0.45, keep=200, clip="before"),
    )
    anchors = replace(PriorBoxes.ssd300(), bounded=True)
    fit = Stretch(height=name.height, width=name.width, sampling="torch")
    return replace(made, fit=fit, pixels=TORCHVISION, anchors=anchors, stages=(bounded,), assumption=FIRST_WINS)
