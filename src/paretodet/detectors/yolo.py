"""YOLO v2 (Redmon and Farhadi 2017, arXiv 1612.08242) and v3 (2018, arXiv 1804.02767), as in darknet's configuration
files.
"""

from paretodet.backbones.darknet19 import Darknet19
from paretodet.backbones.darknet53 import Darknet53
from paretodet.backbones.darknet_tiny import DarknetTiny
from paretodet.detectors.extractors import check_no_proposals, check_no_stride
from paretodet.detectors.names import DetectorName
from paretodet.detectors.spec import BackboneSpec, DetectorSpec, NeckSpec, Pixels, StageSpec
from paretodet.errors import InputError
from paretodet.heads.dense import JointHead
from paretodet.necks.passthrough import Passthrough
from paretodet.necks.top_down import TopDown
from paretodet.rules.anchors import CellPriors, Shape
from paretodet.rules.coders import CellCoder
from paretodet.rules.losses import YoloV2Loss, YoloV3Loss
from paretodet.rules.matchers import YoloMatcher
from paretodet.rules.samplers import AllSampler
from paretodet.rules.scores import ObjectnessSigmoid, ObjectnessSoftmax
from paretodet.rules.select import PostProcess
from paretodet.transforms.resize_policy import Letterbox

Labels = tuple[str | None, ...]

UNIT = Pixels(std=(255.0, 255.0, 255.0))
V2_CELLS = ((0.57273, 0.677385), (1.87446, 2.06253), (3.33843, 5.47434), (7.88282, 3.52778), (9.77052, 9.16828))
V2_2016_CELLS = ((0.738768, 0.874946), (2.42204, 2.65704), (4.30971, 7.04493), (10.246, 4.59428), (12.6868, 11.8741))
V3_PRIORS = (  # width, height in px; strides 32, 16, 8
    ((116, 90), (156, 198), (373, 326)),
    ((30, 61), (62, 45), (59, 119)),
    ((10, 13), (16, 30), (33, 23)),
)
TINY_PRIORS = (  # strides 32 and 16; (81, 82) is in both, as in the training of the published weights
    ((81, 82), (135, 169), (344, 319)),
    ((23, 27), (37, 58), (81, 82)),
)
V2 = StageSpec(
    head=JointHead(),
    coder=CellCoder(),
    scores=ObjectnessSoftmax(),
    matcher=YoloMatcher(ignore=0.6),
    sampler=AllSampler(),
    losses=YoloV2Loss(),
    select=PostProcess(threshold=0.005, overlap=0.45, keep=100),
)
V3 = StageSpec(
    head=JointHead(),
    coder=CellCoder(),
    scores=ObjectnessSigmoid(),
    matcher=YoloMatcher(ignore=0.7),
    sampler=AllSampler(),
    losses=YoloV3Loss(),
    select=PostProcess(threshold=0.005, overlap=0.45, keep=100),
)
KEPT = "darknet keeps every box above the threshold; here the best 100 are kept, as many as COCO's evaluation uses"
UNSIZED = "the source of the published accuracy does not give its input size; 416 is that of the configuration"


def yolo_v2(name: DetectorName, labels: Labels) -> DetectorSpec:
    """YOLO v2 as in the current yolov2.cfg. Raises ValueError for another backbone, or a side not a multiple of 32."""
    _check(name, "darknet19")
    return _spec(name, labels, Darknet19(), Passthrough(), (_pixels(V2_CELLS),), V2, KEPT)


def yolo_v2_2016(name: DetectorName, labels: Labels) -> DetectorSpec:
    """YOLO v2 as first published (yolo.2.0.cfg): no convolution before the reorg layer, and other priors. Raises as
    `yolo_v2`.
    """
    _check(name, "darknet19")
    neck = Passthrough(squeeze=None)
    return _spec(name, labels, Darknet19(), neck, (_pixels(V2_2016_CELLS),), V2, f"{KEPT}; {UNSIZED}")


def yolo_v3(name: DetectorName, labels: Labels) -> DetectorSpec:
    """YOLO v3. Raises ValueError for another backbone, or a side not a multiple of 32."""
    _check(name, "darknet53")
    return _spec(name, labels, Darknet53(), TopDown(), V3_PRIORS, V3, KEPT)


def yolo_v3_tiny(name: DetectorName, labels: Labels) -> DetectorSpec:
    """YOLO v3-tiny with the priors of its published weights (masks 3,4,5 and 1,2,3); the current cfg has 0,1,2 for the
    second level. Raises ValueError if the name has a backbone, or a side is not a multiple of 32.
    """
    _check(name, None)
    return _spec(name, labels, DarknetTiny(), TopDown.tiny(), TINY_PRIORS, V3, KEPT)


def _check(name: DetectorName, backbone: str | None) -> None:
    if name.backbone != backbone:
        allowed = (
            f"allowed {backbone}" if backbone else f"but {name.architecture} has a fixed one; remove it from the name"
        )
        raise InputError(f"backbone: got {name.backbone!r}, {allowed}", "name-unknown")
    check_no_stride(name)
    check_no_proposals(name)
    if name.height % 32 or name.width % 32 or min(name.height, name.width) < 32:
        raise InputError(f"size: got {name.height}x{name.width}, allowed multiples of 32", "name-unknown")


def _pixels(cells: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """Priors of v2, in cells of 32 px, as px."""
    return tuple((width * 32, height * 32) for width, height in cells)


def _spec(
    name: DetectorName,
    labels: Labels,
    backbone: BackboneSpec,
    neck: NeckSpec,
    priors: tuple[tuple[Shape, ...], ...],
    stage: StageSpec,
    assumption: str,
) -> DetectorSpec:
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=Letterbox(height=name.height, width=name.width, sampling="corners"),
        pixels=UNIT,
        backbone=backbone,
        neck=neck,
        anchors=CellPriors(priors=priors),
        stages=(stage,),
        labels=labels,
        assumption=assumption,
    )
