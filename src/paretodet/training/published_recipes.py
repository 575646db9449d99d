"""The recipes that the authors of the detectors trained with, one function for each family.

`Recipe.assumption` states what the source does not say. Huang et al. 2017 trained asynchronously, which no synchronous
recipe equals (section 3.6): their recipes here have the batch of one worker. Layers that a source froze
(`Recipe.frozen`) had pretrained weights; without initial weights they have to be trained.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from paretodet.detectors.names import DetectorName, parse
from paretodet.detectors.pyramids import short_side_d2
from paretodet.errors import InputError
from paretodet.training.clipping import ClipEach
from paretodet.training.ema import Ema
from paretodet.training.optimizers import RmsProp, Sgd
from paretodet.training.recipe import Recipe
from paretodet.training.schedules import LinearRamp, Power, Schedule, Staircase, Steps, WarmUp
from paretodet.transforms.published import DARKNET, DARKNET_2016, DARKNET_CANVASES, REGIONS, SSD_HUANG, SSD_LIU
from paretodet.transforms.resize_policy import Stretch

T = TypeVar("T")
FASTER_RCNN_LRS = {  # Huang et al. section 3.6.1; ResNet-50: the released configuration
    "vgg16": 5e-4,
    "resnet101": 3e-4,
    "resnet50": 3e-4,
    "inception_v2": 2e-4,
    "inception_v3": 3e-4,
    "inception_resnet_v2": 1e-3,
    "mobilenet_v1": 3e-3,
}
MASK_RCNN_LRS = {"inception_v2": 2e-4, "resnet50": 3e-4, "resnet101": 3e-4, "inception_resnet_v2": 3e-4}  # of the zoo
RFCN_LRS = {  # section 3.6.2: learning rate, and the updates at which it is divided by ten
    "resnet101": (3e-4, (1_000_000, 1_200_000)),
    "inception_v2": (2e-4, (1_800_000, 2_000_000)),
    "inception_resnet_v2": (7e-4, (1_000_000, 1_200_000)),
    "mobilenet_v1": (2e-3, (1_600_000, 1_800_000)),
}
SSD_STAIRS = Staircase(every=800_000, factor=0.95)
SSD_START = Steps(at=(0, 10_000, 20_000), factors=(0.8**2, 1 / 0.8, 1 / 0.8))
SSD_LRS: dict[str, tuple[float, Schedule]] = {  # section 3.6.3
    "vgg16": (3e-4, SSD_START),
    "resnet101": (3e-4, SSD_START),
    "inception_v2": (2e-3, SSD_STAIRS),
    "inception_resnet_v2": (5e-4, SSD_STAIRS),
    "mobilenet_v1": (4e-3, SSD_STAIRS),
}
DARKNET_SGD = Sgd(lr=1e-3, weight_decay=5e-4)
ASYNCHRONOUS = "total steps, clipping and decay are not in the paper: {}; its workers were asynchronous"
EARLY = 12_800  # images in which YOLO v2 also pulls boxes to their priors
VGG_TWO = ("backbone.blocks.0.", "backbone.blocks.1.")  # conv1_x and conv2_x
RESNET_TWO = (
    "backbone.stem.",
    *(f"backbone.blocks.{block}." for block in range(3)),
)  # up to res2, torchvision's layer1
COCO_EPOCH = 7_330  # updates of 16 images in COCO 2017's 117,266 annotated training images


def published_recipe(name: str) -> Recipe:
    """The recipe of a catalogue name, or of another name of the same form.

    Raises ValueError if no source gives the learning rate of the family with this backbone.
    """
    part = parse(name)
    family = FAMILIES.get(part.architecture)
    if family is None:
        raise InputError(
            f"recipe: none is published for {part.architecture}, only for {', '.join(FAMILIES)}; use --recipe quick",
            "recipe-unpublished",
        )
    return family(part)


def faster_rcnn(name: DetectorName) -> Recipe:
    """Huang et al. section 3.6.1: momentum 0.9, learning rate divided by ten at 900,000 and 1,200,000."""
    return _huang_two_stage(_for_backbone(FASTER_RCNN_LRS, name), (900_000, 1_200_000))


def mask_rcnn_zoo(name: DetectorName) -> Recipe:
    """The zoo's sample configurations: as Huang et al.'s Faster R-CNN."""
    return _huang_two_stage(_for_backbone(MASK_RCNN_LRS, name), (900_000, 1_200_000))


def rfcn(name: DetectorName) -> Recipe:
    """Huang et al. section 3.6.2: as Faster R-CNN, with a learning rate and drops for each backbone."""
    return _huang_two_stage(*_for_backbone(RFCN_LRS, name))


def ssd(name: DetectorName) -> Recipe:
    """Huang et al. section 3.6.3: RMSProp, 32 images; epsilon, decay and EMA from the files of their library."""
    lr, schedule = _for_backbone(SSD_LRS, name)
    return Recipe(
        optimizer=RmsProp(lr=lr, smoothing=0.9, momentum=0.9, eps=1.0, weight_decay=4e-5),
        schedule=schedule,
        steps=800_000,
        batch=32,
        ema=Ema(decay=0.9999),
        augmentation=SSD_HUANG,
        assumption=ASYNCHRONOUS.format("800,000 (one stair), none, and 4e-5 from the library's files"),
    )


def ssdlite(name: DetectorName) -> Recipe:
    """ssdlite_mobilenet_v2_coco.config of TensorFlow's Object Detection API: as SSD on MobileNet v1, with 24 images."""
    return Recipe(
        optimizer=RmsProp(lr=4e-3, smoothing=0.9, momentum=0.9, eps=1.0, weight_decay=4e-5),
        schedule=Staircase(every=800_720, factor=0.95),
        steps=800_000,
        batch=24,
        ema=Ema(decay=0.9999),
        augmentation=SSD_HUANG,
        assumption="the file's 200,000 steps are for a small data set, as it says; these are SSD's",
    )


def ssd_liu(name: DetectorName) -> Recipe:
    """Liu et al. 2016 section 3.4 (COCO): 160,000 steps at 1e-3, then 40,000 at a tenth and 40,000 at a hundredth."""
    return Recipe(
        optimizer=Sgd(lr=1e-3, weight_decay=5e-4, bias_lr_factor=2.0),
        schedule=_tenths(160_000, 200_000),
        steps=240_000,
        batch=32,
        augmentation=SSD_LIU,
    )


def ssd_tv(name: DetectorName) -> Recipe:
    """torchvision's reference training of SSD300: 120 epochs, a tenth at 80 and 110, Liu et al.'s augmentation."""
    epoch = COCO_EPOCH // 2
    return Recipe(
        optimizer=Sgd(lr=2e-3, weight_decay=5e-4),
        schedule=WarmUp(first=LinearRamp(steps=1000, start=1e-3), then=_tenths(80 * epoch, 110 * epoch)),
        steps=120 * epoch,
        batch=32,
        augmentation=SSD_LIU,
        frozen=("backbone.conv4_3.0.",),
        assumption="biases are not decayed here",
    )


def faster_rcnn_ren(name: DetectorName) -> Recipe:
    """Ren et al.'s end-to-end training on COCO: one image a pass, gradients of two averaged."""
    return Recipe(
        optimizer=Sgd(lr=1e-3, weight_decay=5e-4, bias_lr_factor=2.0),
        schedule=_tenths(350_000),
        steps=490_000,
        batch=2,
        accumulate=2,
        augmentation=REGIONS,
        frozen=VGG_TWO,
        assumption="biases are not decayed here",
    )


def yolo_v3(name: DetectorName) -> Recipe:
    """darknet's yolov3.cfg: 64 images, burn-in of 1,000 with power 4, a tenth at 400,000 and 450,000, many canvases."""
    drops = _tenths(399_999, 449_999)  # darknet counts updates from 1
    return Recipe(
        optimizer=DARKNET_SGD,
        schedule=WarmUp(first=Power(steps=1000, power=4.0), then=drops),
        steps=500_200,
        batch=64,
        augmentation=DARKNET,
        canvases=DARKNET_CANVASES,
        assumption="darknet ends with 200 batches of its largest canvas",
    )


def yolo_v2(name: DetectorName) -> Recipe:
    """darknet's yolov2.cfg: as YOLO v3, and in the first images boxes are pulled to their priors."""
    return replace(yolo_v3(name), early=EARLY)


def yolo_v2_2016(name: DetectorName) -> Recipe:
    """darknet's first YOLO v2 file for COCO (yolo.2.0.cfg): a tenth of the learning rate for 100 updates, then drops
    at 80,000 and 100,000; one canvas, over which the jittered image is stretched.
    """
    return Recipe(
        optimizer=DARKNET_SGD,
        schedule=Steps(at=(0, 99, 79_999, 99_999), factors=(0.1, 10.0, 0.1, 0.1)),
        steps=120_000,
        batch=64,
        augmentation=DARKNET_2016,
        canvases=(Stretch(height=name.height, width=name.width),),
        early=EARLY,
    )


def retinanet(name: DetectorName) -> Recipe:
    """Detectron's 1x schedule with learning rate 0.01 (Lin et al. 2017, section 4.1)."""
    return _detectron(0.01)


def mask_rcnn(name: DetectorName) -> Recipe:
    """Detectron's 1x schedule with learning rate 0.02 (He et al. 2017, section 3.1), also that of Faster R-CNN on a
    pyramid and of Cascade R-CNN.
    """
    return _detectron(0.02)


def fcos(name: DetectorName) -> Recipe:
    """The authors' FCOS: Detectron's 1x schedule at rate 0.01, a third of it for the first 500 updates."""
    slow = Steps(at=(0, 500, 60_000, 80_000), factors=(1 / 3, 3.0, 0.1, 0.1))
    return replace(_detectron(0.01), schedule=slow)


def retinanet_tv(name: DetectorName) -> Recipe:
    """torchvision's reference training of RetinaNet."""
    return _torchvision(0.01)


def rcnn_tv(name: DetectorName) -> Recipe:
    """torchvision's reference training of Faster and Mask R-CNN."""
    return _torchvision(0.02)


def retinanet_d2(name: DetectorName) -> Recipe:
    """Detectron2's 3x schedule with learning rate 0.01."""
    return _detectron2(0.01, name)


def rcnn_d2(name: DetectorName) -> Recipe:
    """Detectron2's 3x schedule with learning rate 0.02, of Faster and Mask R-CNN."""
    return _detectron2(0.02, name)


def _huang_two_stage(lr: float, drops: tuple[int, int]) -> Recipe:
    before, last = drops
    return Recipe(
        optimizer=Sgd(lr=lr),
        schedule=_tenths(before, last),
        steps=2 * last - before,
        batch=1,
        clip=ClipEach(norm=10.0),
        augmentation=REGIONS,
        assumption=ASYNCHRONOUS.format("as many steps after the last drop as before it, 10 a variable, and none"),
    )


def _detectron(lr: float) -> Recipe:
    return Recipe(
        optimizer=Sgd(lr=lr, weight_decay=1e-4, bias_lr_factor=2.0),
        schedule=WarmUp(first=LinearRamp(steps=500, start=1 / 3), then=_tenths(60_000, 80_000)),
        steps=90_000,
        batch=16,
        augmentation=REGIONS,
        frozen=RESNET_TWO,
    )


def _detectron2(lr: float, name: DetectorName) -> Recipe:
    """The short side of a batch is one of six, from 0.8 of the name's on."""
    fit = short_side_d2(name)
    return Recipe(
        optimizer=Sgd(lr=lr, weight_decay=1e-4),
        schedule=WarmUp(first=LinearRamp(steps=1000, start=1e-3), then=_tenths(210_000, 250_000)),
        steps=270_000,
        batch=16,
        augmentation=REGIONS,
        canvases=tuple(replace(fit, short=round(fit.short * side / 800)) for side in range(640, 801, 32)),
        frozen=RESNET_TWO,
        assumption="biases are not decayed here; ten batches, not each image, have one short side",
    )


def _torchvision(lr: float) -> Recipe:
    return Recipe(
        optimizer=Sgd(lr=lr, weight_decay=1e-4),
        schedule=WarmUp(first=LinearRamp(steps=1000, start=1e-3), then=_tenths(16 * COCO_EPOCH, 22 * COCO_EPOCH)),
        steps=26 * COCO_EPOCH,
        batch=16,
        augmentation=REGIONS,
        frozen=RESNET_TWO,
        assumption="biases and norms are not decayed here",
    )


def _tenths(*at: int) -> Steps:
    return Steps(at=at, factors=(0.1,) * len(at))


def _for_backbone(table: Mapping[str, T], name: DetectorName) -> T:
    if name.backbone is None or name.backbone not in table:
        known = ", ".join(table)
        what = f"no learning rate is published for {name.architecture} with {name.backbone}, only with {known}"
        raise InputError(f"recipe: {what}; use --recipe quick", "recipe-unpublished")
    return table[name.backbone]


FAMILIES: dict[str, Callable[[DetectorName], Recipe]] = {
    "faster_rcnn": faster_rcnn,
    "rfcn": rfcn,
    "ssd": ssd,
    "ssdlite": ssdlite,
    "ssd_liu": ssd_liu,
    "ssd_tv": ssd_tv,
    "faster_rcnn_ren": faster_rcnn_ren,
    "yolo_v2": yolo_v2,
    "yolo_v2_2016": yolo_v2_2016,
    "yolo_v3": yolo_v3,
    "yolo_v3_tiny": yolo_v3,
    "retinanet": retinanet,
    "fcos": fcos,
    "faster_rcnn_fpn": mask_rcnn,
    "mask_rcnn": mask_rcnn,
    "cascade_rcnn": mask_rcnn,
    "retinanet_d2": retinanet_d2,
    "faster_rcnn_d2": rcnn_d2,
    "mask_rcnn_d2": rcnn_d2,
    "retinanet_tv": retinanet_tv,
    "faster_rcnn_tv": rcnn_tv,
    "mask_rcnn_tv": rcnn_tv,
    "mask_rcnn_zoo": mask_rcnn_zoo,
}
